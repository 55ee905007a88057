// The GHCB: page state changes by the layout of its specification, and the VMSA that a guest gives a vCPU of its own.
import { describe, expect, it } from 'vitest';
import * as abi from '#src/kernel/abi/kvm.js';
import { VCPU_GHCB } from '#src/kernel/abi/vcpu.js';
import {
  bootGuestKernel,
  BASE,
  access,
  mapped,
  newGuest,
  PRIVATE,
  punch,
  put,
  setPrivate,
  WRITE,
  type Guest,
} from './guest.js';
import { counter, EINVAL } from './support.js';

const TO_PRIVATE = abi.PSC_OP_PRIVATE;
const TO_SHARED = abi.PSC_OP_SHARED;

interface Entry {
  page: number;
  op: number;
  large?: boolean;
  done?: number;
}

function guest(pages: number): Guest {
  return newGuest(bootGuestKernel(), { pages, isPrivate: false });
}

function encode({ page, op, large = false, done = 0 }: Entry): bigint {
  const size = large ? 1n << BigInt(abi.PSC_PAGESIZE_SHIFT) : 0n;
  return (
    (BigInt(BASE + page) << BigInt(abi.PSC_GFN_SHIFT)) | (BigInt(op) << BigInt(abi.PSC_OP_SHIFT)) | size | BigInt(done)
  );
}

/** VMGEXIT with these entries, from `current` to `last`. */
function change({ k, vcpu }: Guest, entries: readonly Entry[], current = 0, last = entries.length - 1): number {
  const write = (offset: number, value: bigint): unknown => expect(k.x.guestWriteGhcb(vcpu, offset, value)).toBe(0);
  write(abi.GHCB_EXIT_CODE, BigInt(abi.SVM_VMGEXIT_PSC));
  write(abi.GHCB_PSC_HEADER, BigInt(current) | (BigInt(last) << BigInt(abi.PSC_END_SHIFT)));
  entries.forEach((entry, n) => write(abi.GHCB_PSC_ENTRIES + n * 8, encode(entry)));
  return k.x.vcpuVmgexit(vcpu);
}

const word = ({ k, vcpu }: Guest, offset: number): bigint => k.u64(k.u32(vcpu + VCPU_GHCB) + offset);
const current = (g: Guest): number => Number(word(g, abi.GHCB_PSC_HEADER) & 0xffffn);
const curPages = (g: Guest, count: number): number[] =>
  Array.from({ length: count }, (_, n) => Number(word(g, abi.GHCB_PSC_ENTRIES + n * 8) & 0xfffn));
const isPrivate = ({ k, kvm }: Guest, page: number): boolean => k.x.kvmMemIsPrivate(kvm, BigInt(BASE + page)) !== 0;
const updates = ({ k, kvm }: Guest): number => counter(k, kvm, abi.KC_ATTR_UPDATES);

describe('a page state change', () => {
  it('converts each entry, and shows the guest that all are done', () => {
    const g = guest(16);
    const entries = [1, 5, 3].map((page) => ({ page, op: TO_PRIVATE }));
    expect(change(g, entries)).toBe(0);
    expect(Array.from({ length: 8 }, (_, page) => isPrivate(g, page))).toEqual(
      [1, 3, 5].reduce((all, page) => all.with(page, true), Array<boolean>(8).fill(false)),
    );
    expect([current(g), curPages(g, 3), updates(g)]).toEqual([3, [1, 1, 1], 3]);
  });

  it('goes to user space once for entries that continue one another, and again where operation, size or place change', () => {
    const g = guest(2048);
    const small = [4, 5, 6].map((page) => ({ page, op: TO_PRIVATE }));
    expect(change(g, small)).toBe(0);
    expect([updates(g), current(g)]).toEqual([1, 3]);
    const mixed = [
      { page: 4, op: TO_SHARED },
      { page: 5, op: TO_SHARED },
      { page: 512, op: TO_PRIVATE, large: true },
      { page: 1024, op: TO_PRIVATE, large: true },
      { page: 1536, op: TO_PRIVATE },
    ];
    expect(change(g, mixed)).toBe(0);
    expect([updates(g), current(g), curPages(g, 5)]).toEqual([4, 5, [1, 1, 512, 512, 1]]);
    expect([4, 5, 6, 511, 512, 1535, 1536, 1537].map((page) => isPrivate(g, page))).toEqual([
      false,
      false,
      true,
      false,
      true,
      true,
      true,
      false,
    ]);
  });

  it('begins at the current entry, skips what is done, and finishes a 2M entry of which a part is done', () => {
    const g = guest(1024);
    const entries = [
      { page: 1, op: TO_PRIVATE },
      { page: 2, op: TO_PRIVATE, done: 1 },
      { page: 512, op: TO_PRIVATE, large: true, done: 500 },
    ];
    expect(change(g, entries, 1)).toBe(0);
    expect([1, 2, 512, 1011, 1012, 1023].map((page) => isPrivate(g, page))).toEqual([
      false,
      false,
      false,
      false,
      true,
      true,
    ]);
    expect([current(g), curPages(g, 3)]).toEqual([3, [0, 1, 512]]);
  });

  it.each([
    ['an entry behind the last that there is', [{ page: 1, op: TO_PRIVATE }], abi.PSC_MAX_ENTRIES],
    ['an unknown operation', [{ page: 1, op: 3 }], 0],
    ['a 2M entry that is not aligned', [{ page: 1, op: TO_PRIVATE, large: true }], 0],
    ['more pages done than there are', [{ page: 1, op: TO_PRIVATE, done: 2 }], 0],
  ] as const)('%s is refused, and nothing is converted', (_, entries, last) => {
    const g = guest(16);
    expect(change(g, entries, 0, last)).toBe(EINVAL);
    expect([updates(g), current(g)]).toEqual([0, 0]);
  });

  it('that user space refuses stays at its entry: it is not done', () => {
    const g = guest(16);
    const beyond = Number((1n << BigInt(abi.PSC_GFN_BITS)) - 1n) - BASE;
    expect(
      change(g, [
        { page: 1, op: TO_PRIVATE },
        { page: beyond, op: TO_PRIVATE },
      ]),
    ).toBe(0);
    expect([current(g), curPages(g, 2)]).toEqual([2, [1, 1]]);
  });
});

describe('a VMSA that the guest has made', () => {
  const apGuest = (): Guest & { ap: number } => {
    const g = newGuest(bootGuestKernel(), { pages: 16 });
    put(g, 1, 7);
    put(g, 2, 7);
    return { ...g, ap: g.k.x.vcpuCreate(g.kvm) >>> 0 };
  };
  const run = ({ k, ap }: Guest & { ap: number }, page: number): number =>
    k.x.vcpuAccess(ap, BigInt(BASE + page), WRITE | PRIVATE, 9);

  it('runs its vCPU as long as it is the guest’s', () => {
    const g = apGuest();
    expect(g.k.x.snpApCreate(g.ap, BigInt(BASE + 1))).toBe(0);
    expect([run(g, 2), access(g, 2, PRIVATE).value]).toEqual([0, 9]);
    // The page goes back to the host, which would be kept from its own memory by a VMRUN on it.
    expect(punch(g, 1, 1)).toBe(0);
    expect(run(g, 2)).toBe(EINVAL);
  });

  it('does not run it when it is another guest’s', () => {
    const g = apGuest();
    expect(g.k.x.snpApCreate(g.ap, BigInt(BASE + 1))).toBe(0);
    expect(run(g, 2)).toBe(0);
    const pfn = mapped(g, 1);
    const other = 99;
    expect(g.k.x.rmpMakePrivate(pfn, BigInt(BASE + 1) << 12n, 1, other, 0)).toBe(0);
    expect(g.k.x.pvalidate(other, BigInt(BASE + 1) << 12n, pfn, 1, 1)).toBe(0);
    expect(g.k.x.rmpadjust(other, 0, BigInt(BASE + 1) << 12n, pfn, 1, 1, 0, 1)).toBe(0);
    expect(run(g, 2)).toBe(EINVAL);
    setPrivate(g, 2, 1, false);
  });
});
