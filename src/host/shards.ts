// A host larger than one linear memory: its memory map cut into shards, each with a kernel of its own, as the RMP of large machines is segmented. A guest
// and its files live in one shard; what concerns the whole host (stop, violations, statistics) goes over all of them.
import * as layout from '../kernel/abi/layout.js';
import { count } from './arguments.js';
import { object, shown } from './options.js';
import { UsageError, type Violation } from './errors.js';
import type { HostLayout } from './layout-file.js';
import { readViolations } from './oops.js';
import { joined, type Shard } from './shard.js';

/** PFNs a shard has room for: RMP, struct page and a heap of 514 GiB fit one linear memory of 4 GiB. */
export const MAX_SHARD_PFNS = 134_742_016;
/** Cuts between shards are multiples of this: 1 GiB, so that no 2M page lies across one. */
export const LEAST_SHARD_PFNS = 262_144;
/** Memory of 16 shards is 8 TiB, more than any host of this kind has. */
export const MAX_SHARDS = 16;

/** The part of the memory map that one shard has. PFNs count from `base`; ranges are [start, end). */
export interface ShardMap {
  /** PFN in the whole host of the shard's PFN 0. */
  base: number;
  pfnCount: number;
  usable: { start: number; end: number }[];
  rmp: { start: number; end: number } | undefined;
}

/**
 * Cuts a memory map into as few shards as hold it, `most` PFNs each. A shard without usable memory is left out. Of a map that is larger than a host can be it returns the
 * first pieces, one more than MAX_SHARDS: making all of them could take for ever.
 */
export function splitLayout(map: HostLayout, most = MAX_SHARD_PFNS): ShardMap[] {
  if (map.pfnCount <= most) return [{ base: 0, pfnCount: map.pfnCount, usable: map.usable, rmp: map.rmp }];
  const step = Math.max(LEAST_SHARD_PFNS, Math.floor(most / LEAST_SHARD_PFNS) * LEAST_SHARD_PFNS);
  const shards: ShardMap[] = [];
  for (let base = firstUsable(map, 0, step); base < map.pfnCount && shards.length <= MAX_SHARDS;) {
    const end = Math.min(base + step, map.pfnCount);
    const inside = (range: { start: number; end: number }): { start: number; end: number }[] => {
      const [from, to] = [Math.max(range.start, base), Math.min(range.end, end)];
      return from < to ? [{ start: from - base, end: to - base }] : [];
    };
    const rmp = map.rmp === undefined ? undefined : inside(map.rmp)[0];
    shards.push({ base, pfnCount: end - base, usable: map.usable.flatMap(inside), rmp });
    base = firstUsable(map, end, step);
  }
  return shards;
}

/** The first multiple of `step`, from `from` on, behind which `step` PFNs have usable memory; Infinity when none has. */
function firstUsable({ usable }: HostLayout, from: number, step: number): number {
  const starts = usable
    .filter(({ start, end }) => start < end && end > from)
    .map(({ start }) => Math.floor(Math.max(start, from) / step) * step);
  return Math.min(...starts);
}

/** PFN in the whole host of a shard's PFN 0. */
function basePfn(shard: Pick<Shard, 'words'>): number {
  return shard.words[layout.SH_PFN_BASE / 4]! >>> 0;
}

/** The shard that a guest or file goes to: the one asked for, else the one whose memory is least used, the first of equals. */
export function placeOf(operation: string, shards: readonly Shard[], options: { shard?: number }): number {
  const { shard: asked } = object(operation, options);
  if (asked !== undefined) {
    if (typeof asked === 'number' && shards[asked] !== undefined) return asked;
    throw new UsageError('shard', `shard: ${shown(asked)} is not a whole number from 0 to ${shards.length - 1}`);
  }
  if (shards.length === 1) return 0;
  const used = shards.map(({ x }) => (x.allocatedPages() >>> 0) / (x.managedPages() >>> 0));
  return used.indexOf(Math.min(...used));
}

/** Reports a hardware memory error on a page of the whole host. Returns what the kernel's memory_failure() does. */
export function failMemory(shards: readonly Shard[], pfn: number): number {
  count('pfn', pfn);
  const shard = joined(shards.findLast((one) => basePfn(one) <= pfn) ?? shards[0]!);
  if (pfn - basePfn(shard) >= shard.words[layout.SH_PFN_COUNT / 4]!) {
    throw new UsageError('pfn', `pfn: 0x${pfn.toString(16)} is no page of this host`, { pfn });
  }
  return shard.x.sysMemoryFailure(pfn - basePfn(shard));
}

/** Lets every thread of every shard leave: `stop` is STOP_REQUESTED (orderly, unless a stop is on already) or STOP_OOPS. */
export function stopShards(shards: readonly Pick<Shard, 'words'>[], stop: number): void {
  for (const { words } of shards) {
    if (stop === layout.STOP_OOPS) Atomics.store(words, layout.SH_STOP / 4, stop);
    else Atomics.compareExchange(words, layout.SH_STOP / 4, 0, stop);
  }
}

/** What was found in any shard. With several, each says where it was, and that its PFNs count from there. */
export function violationsOf(shards: readonly Shard[]): Violation[] {
  return shards.flatMap((shard, n) => {
    const found = readViolations(shard.buffer);
    if (shards.length === 1) return found;
    const where = `shard ${n} (pfns from 0x${basePfn(shard).toString(16)})`;
    return found.map((violation) => ({
      ...violation,
      message: `${where}: ${violation.message}`,
      details: { ...violation.details, shard: n },
    }));
  });
}
