// A restrictedmem file whose notifiers log what they are told.
import { expect } from 'vitest';
import * as mm from '#src/kernel/abi/mm.js';
import type { ShardOptions } from '#src/host/shard.js';
import type { TestKernel } from '../harness.js';
import { bootWithMemory } from './page-kit.js';

export const KEEP = mm.FALLOC_FL_KEEP_SIZE;
export const PUNCH = mm.FALLOC_FL_KEEP_SIZE | mm.FALLOC_FL_PUNCH_HOLE;
export const PAGE = 4096;
const KINDS = ['', 'start', 'end', 'error'] as const;

export interface Call {
  kind: string;
  /** Which notifier: its number in order of creation. */
  who: number;
  start: number;
  end: number;
}

/** A file with a log of what its notifiers were told. */
export class Rig {
  readonly k: TestKernel;
  readonly file: number;
  readonly log: number;
  readonly notifiers: number[] = [];

  constructor(options: Partial<ShardOptions> = {}, pages = 0, k = bootWithMemory(options)) {
    this.k = k;
    this.file = k.x.memfdRestricted(0, 0, -1, 0) >>> 0;
    this.log = k.alloc(8 + 24 * 256);
    k.setU32(this.log + 4, 256);
    if (pages > 0) expect(k.x.restrictedmemSetattr(this.file, BigInt(pages * PAGE))).toBe(0);
  }

  notifier(gate = 0): number {
    const notifier = this.k.alloc(mm.NOTIFIER_SIZE);
    this.k.x.testNotifierInit(notifier, this.log, gate);
    this.notifiers.push(notifier);
    return notifier;
  }

  /** Binds a fresh notifier to [start, end). */
  bind(start: number, end: number, gate = 0): number {
    const notifier = this.notifier(gate);
    expect(this.k.x.restrictedmemBind(this.file, BigInt(start), BigInt(end), notifier, 1)).toBe(0);
    return notifier;
  }

  unbind(start: number, end: number): void {
    this.k.x.restrictedmemUnbind(this.file, BigInt(start), BigInt(end), this.notifiers[0] ?? 0);
  }

  punch(start: number, end: number): number {
    return this.fallocate(PUNCH, start * PAGE, (end - start) * PAGE);
  }

  fallocate(mode: number, offset: number, length: number): number {
    return this.k.x.restrictedmemFallocate(this.file, mode, BigInt(offset), BigInt(length));
  }

  getPage(offset: number): { ret: number; pfn: number; order: number } {
    const out = this.k.alloc(8);
    const ret = this.k.x.restrictedmemGetPage(this.file, BigInt(offset), out, out + 4);
    if (ret === 0) this.k.x.putPage(this.k.u32(out));
    return { ret, pfn: this.k.u32(out), order: this.k.u32(out + 4) };
  }

  binding(offset: number): number {
    return this.notifiers.indexOf(this.k.x.restrictedmemBinding(this.file, BigInt(offset)) >>> 0);
  }

  /** What was told since the last call. */
  calls(): Call[] {
    const count = this.k.u32(this.log);
    this.k.setU32(this.log, 0);
    return Array.from({ length: count }, (_, n) => {
      const entry = this.log + 8 + n * 24;
      return {
        kind: KINDS[this.k.u32(entry)]!,
        who: this.notifiers.indexOf(this.k.u32(entry + 4)),
        start: Number(this.k.u64(entry + 8)),
        end: Number(this.k.u64(entry + 16)),
      };
    });
  }

  get pages(): number {
    return Number(this.k.x.restrictedmemPages(this.file));
  }
}

/** `count` calls of a kind. */
export const times = (count: number, kind: string, who: number, start: number, end: number): Call[] =>
  Array.from({ length: count }, () => ({ kind, who, start, end }));
