// Guest accesses end to end on one vCPU: faults, assignment, validation, exits, and the retry protocol step by step.
import * as fc from 'fast-check';
import { beforeEach, describe, expect, it } from 'vitest';
import * as abi from '#src/kernel/abi/vcpu.js';
import * as kvmAbi from '#src/kernel/abi/kvm.js';
import { OOPS_DOUBLE_ASSIGN, OOPS_RETRY_FOREVER, OOPS_STALE_TRANSLATION } from '#src/kernel/abi/oops.js';
import { V_PLANT_DOUBLE_ASSIGN, V_PLANT_NO_RETRY_CHECK, V_PLANT_RETRY_FOREVER } from '#src/kernel/abi/variants.js';
import type { TestKernel } from '../harness.js';
import {
  access,
  BASE,
  bootGuestKernel,
  count,
  createSlot,
  deleteSlot,
  EFAULT,
  get,
  type Guest,
  leafs,
  mapped,
  newGuest,
  PRIVATE,
  punch,
  put,
  READ,
  setPrivate,
  tlbEntries,
  WRITE,
} from './guest.js';
import { HVA, setRegion, violationsOf } from './support.js';

const INVALIDATE_RETRY = 4;
const FIXED = 1;
const ENC = 1n << 34n;
const WRITE_FAULT = 2n;

let k: TestKernel;
beforeEach(() => {
  k = bootGuestKernel();
});

const exitOf = (g: Guest): { reason: number; flags: number; gpa: bigint; size: bigint } => ({
  reason: k.u32(g.vcpu + abi.VCPU_EXIT_REASON),
  flags: k.u32(g.vcpu + abi.VCPU_EXIT_FLAGS),
  gpa: k.u64(g.vcpu + abi.VCPU_EXIT_GPA),
  size: k.u64(g.vcpu + abi.VCPU_EXIT_SIZE),
});
const gpa = (page: number): bigint => BigInt(BASE + page) << 12n;

/** kvm_mmu_page_fault as the exit handler calls it. */
function fault(g: Guest, page: number, code: bigint): number {
  const idx = k.x.srcuReadLock(g.kvm + kvmAbi.KVM_SRCU);
  const ret = k.x.kvmMmuPageFault(g.vcpu, BigInt(BASE + page), code);
  k.x.srcuReadUnlock(g.kvm + kvmAbi.KVM_SRCU, idx);
  return ret;
}

function invalidateBegin(g: Guest, first: number, end: number): void {
  k.x.writeLock(g.kvm + kvmAbi.KVM_MMU_LOCK);
  k.x.kvmMmuInvalidateBegin(g.kvm);
  k.x.kvmMmuInvalidateRangeAdd(g.kvm, BigInt(BASE + first), BigInt(BASE + end));
  k.x.writeUnlock(g.kvm + kvmAbi.KVM_MMU_LOCK);
}

function invalidateEnd(g: Guest): void {
  k.x.writeLock(g.kvm + kvmAbi.KVM_MMU_LOCK);
  k.x.kvmMmuInvalidateEnd(g.kvm);
  k.x.writeUnlock(g.kvm + kvmAbi.KVM_MMU_LOCK);
}

describe('a private access', () => {
  it('faults once, assigns the page, raises #VC, is validated and reads what was written', () => {
    const g = newGuest(k);
    put(g, 3, 0xabc);
    expect(get(g, 3)).toBe(0xabc);
    expect(count(g, abi.VCPU_COUNT_FAULTS)).toBe(1);
    expect(count(g, abi.VCPU_COUNT_VC)).toBe(1);
    expect(count(g, abi.VCPU_COUNT_TLB_HITS)).toBe(1);
    const pfn = mapped(g, 3);
    const lo = k.x.rmpPageLo(pfn);
    const asid = BigInt(k.u32(g.kvm + kvmAbi.KVM_ASID));
    expect(lo).toBe((1n << 62n) | (asid << 51n) | gpa(3) | 1n);
    expect(k.x.pageRefcount(pfn)).toBe(1);
  });

  it('reads zeroes in a page that was never written, and again after a hole punch', () => {
    const g = newGuest(k);
    expect(get(g, 5)).toBe(0);
    put(g, 5, 77);
    const pfn = mapped(g, 5);
    expect(punch(g, 5, 1)).toBe(0);
    expect(mapped(g, 5)).toBe(-1);
    expect(k.x.rmpAssigned(pfn)).toBe(0);
    expect(get(g, 5)).toBe(0);
  });

  it('maps and assigns 2M for a 2M folio, and validates it with one #VC', () => {
    const g = newGuest(k, { pages: 1024, huge: true });
    put(g, 700, 1);
    put(g, 513, 2);
    expect(leafs(k, g.kvm).map(({ gfn, level }) => ({ gfn, level }))).toEqual([{ gfn: BASE + 512, level: 2 }]);
    expect(k.x.rmpLevel(mapped(g, 700))).toBe(2);
    expect(tlbEntries(k, g.vcpu).map((entry) => entry.level)).toEqual([2]);
    expect(count(g, abi.VCPU_COUNT_MAPPED_2M)).toBe(1);
    expect(count(g, abi.VCPU_COUNT_VC)).toBe(1);
    expect([get(g, 700), get(g, 513), get(g, 514)]).toEqual([1, 2, 0]);
  });

  it('maps 4K where the attributes of the 2M page differ, and while an invalidation is open over another part of it', () => {
    const g = newGuest(k, { snp: false, pages: 1024, huge: true });
    setPrivate(g, 600, 1, false);
    put(g, 700, 1);
    invalidateBegin(g, 10, 20);
    put(g, 5, 2);
    invalidateEnd(g);
    expect(leafs(k, g.kvm).map(({ gfn, level }) => ({ gfn, level }))).toEqual([
      { gfn: BASE + 5, level: 1 },
      { gfn: BASE + 700, level: 1 },
    ]);
  });

  it('splits the 2M assignment when one page of it is punched out, and the guest keeps the rest', () => {
    const g = newGuest(k, { pages: 512, huge: true });
    put(g, 0, 1);
    put(g, 100, 2);
    expect(punch(g, 50, 1)).toBe(0);
    expect([get(g, 0), get(g, 100), get(g, 50)]).toEqual([1, 2, 0]);
    expect(leafs(k, g.kvm).every((leaf) => leaf.level === 1)).toBe(true);
  });
});

describe('exits to user space', () => {
  it('memory fault with PRIVATE when the private slot is gone, and when there never was one', () => {
    const g = newGuest(k, { snp: false });
    put(g, 0, 1);
    expect(deleteSlot(g)).toBe(0);
    expect(access(g, 0, READ | PRIVATE).ret).toBe(EFAULT);
    const memoryFault = {
      reason: kvmAbi.KVM_EXIT_MEMORY_FAULT,
      flags: kvmAbi.KVM_MEMORY_EXIT_FLAG_PRIVATE,
      size: 4096n,
    };
    expect(exitOf(g)).toEqual({ ...memoryFault, gpa: gpa(0) });
    expect(setRegion(k, g.kvm, { id: 1, gpa: gpa(0), size: 4096n })).toBe(0);
    expect(access(g, 0, READ | PRIVATE).ret).toBe(EFAULT);
    expect(exitOf(g)).toEqual({ ...memoryFault, gpa: gpa(0) });
  });

  it.each([false, true])('memory fault when the access does not match the attribute (SNP: %s)', (snp) => {
    const g = newGuest(k, { snp });
    setPrivate(g, 1, 1, false);
    put(g, 0, 1);
    expect(access(g, 1, WRITE | PRIVATE, 5).ret).toBe(EFAULT);
    expect(exitOf(g)).toMatchObject({ flags: kvmAbi.KVM_MEMORY_EXIT_FLAG_PRIVATE, gpa: gpa(1) });
    expect(access(g, 0, WRITE, 5).ret).toBe(EFAULT);
    expect(exitOf(g)).toMatchObject({ flags: 0, gpa: gpa(0) });
    expect(get(g, 0)).toBe(1);
  });

  it('MMIO where no slot is: a read gets the value of the device', () => {
    const g = newGuest(k);
    const far = 1 << 20;
    expect(access(g, far, READ)).toEqual({ ret: kvmAbi.KVM_EXIT_MMIO, value: 0xbeef });
    expect(exitOf(g)).toMatchObject({ reason: kvmAbi.KVM_EXIT_MMIO, gpa: gpa(far) });
    k.setU32(g.vcpu + abi.VCPU_MMIO_VALUE, 42);
    expect(access(g, far, READ).value).toBe(42);
  });

  it('MMIO for a write to read-only memory, which can be read', () => {
    const g = newGuest(k, { isPrivate: false });
    const rom = { id: 1, flags: kvmAbi.KVM_MEM_READONLY, gpa: 0n, size: 1n << 16n, hva: HVA - (1n << 30n) };
    expect(setRegion(k, g.kvm, rom)).toBe(0);
    expect(k.x.hostWriteUser(g.kvm, rom.hva + 4096n, 99)).toBe(0);
    expect(access(g, 1 - BASE, READ)).toEqual({ ret: 0, value: 99 });
    expect(access(g, 1 - BASE, WRITE, 5).ret).toBe(kvmAbi.KVM_EXIT_MMIO);
    expect(k.x.hostReadUser(g.kvm, rom.hva + 4096n)).toBe(99);
  });

  it('an SNP guest that reads private memory without the C-bit sees ciphertext, not the token and no exit', () => {
    const g = newGuest(k);
    put(g, 2, 1234);
    const { ret, value } = access(g, 2, READ);
    expect(ret).toBe(0);
    expect(value).not.toBe(1234);
  });
});

describe('shared memory', () => {
  it('is the memory of the process: the host sees what the guest writes and the reverse', () => {
    const g = newGuest(k, { isPrivate: false });
    put(g, 4, 11, false);
    expect(k.x.hostReadUser(g.kvm, HVA + (4n << 12n))).toBe(11);
    k.x.hostWriteUser(g.kvm, HVA + (4n << 12n), 12);
    expect(get(g, 4, false)).toBe(12);
  });

  it('given back through the mmu_notifier it is unmapped, freed and reads as zeroes', () => {
    const g = newGuest(k, { isPrivate: false });
    for (let page = 0; page < 64; page++) put(g, page, 100 + page, false);
    const free = k.x.allocatedPages();
    expect(k.x.kvmDiscardShared(g.kvm, HVA + (10n << 12n), HVA + (30n << 12n))).toBe(20);
    expect(k.x.allocatedPages()).toBe(free - 20);
    expect(mapped(g, 10)).toBe(-1);
    expect([get(g, 9, false), get(g, 10, false), get(g, 30, false)]).toEqual([109, 0, 130]);
  });

  it('survives conversion to private and back, with other pages in between', () => {
    const g = newGuest(k, { isPrivate: false });
    put(g, 4, 11, false);
    setPrivate(g, 0, 64, true);
    expect(get(g, 4)).toBe(0);
    put(g, 4, 22);
    setPrivate(g, 0, 64, false);
    expect(get(g, 4, false)).toBe(11);
  });
});

describe('the retry protocol', () => {
  it('a fault inside an open range installs nothing; outside it does; after the end both do', () => {
    const g = newGuest(k);
    k.x.kvmMmuLoad(g.vcpu);
    invalidateBegin(g, 4, 8);
    expect(fault(g, 4, ENC | WRITE_FAULT)).toBe(INVALIDATE_RETRY);
    expect(fault(g, 7, ENC)).toBe(INVALIDATE_RETRY);
    expect(fault(g, 8, ENC)).toBe(FIXED);
    expect(fault(g, 3, ENC)).toBe(FIXED);
    invalidateEnd(g);
    expect(fault(g, 4, ENC)).toBe(FIXED);
    expect(leafs(k, g.kvm).map((leaf) => leaf.gfn - BASE)).toEqual([3, 4, 8]);
  });

  it('assigns nothing in the RMP while the range is open', () => {
    const g = newGuest(k);
    punch(g, 4, 4);
    k.x.kvmMmuLoad(g.vcpu);
    k.setU32(g.kvm + abi.MMU_NO_EARLY_RETRY, 1);
    invalidateBegin(g, 4, 8);
    expect(fault(g, 4, ENC | WRITE_FAULT)).toBe(INVALIDATE_RETRY);
    invalidateEnd(g);
    const out = k.alloc(16);
    expect(k.x.kvmRestrictedmemGetPfn(k.x.gfnToMemslot(g.kvm, 0, BigInt(BASE)), BigInt(BASE + 4), out, out + 8)).toBe(
      0,
    );
    expect(k.x.rmpAssigned(k.u32(out))).toBe(0);
  });

  it('a fault with an obsolete root installs nothing', () => {
    const g = newGuest(k);
    put(g, 1, 1);
    k.x.kvmMmuZapAllFast(g.kvm);
    expect(fault(g, 2, ENC)).toBe(3);
    expect(get(g, 1)).toBe(1);
  });

  it('without the check (planted) the fault maps and assigns inside an open range', () => {
    k = bootGuestKernel({ variants: [V_PLANT_NO_RETRY_CHECK] });
    const g = newGuest(k);
    punch(g, 4, 4);
    k.x.kvmMmuLoad(g.vcpu);
    invalidateBegin(g, 4, 8);
    expect(fault(g, 4, ENC)).toBe(FIXED);
    expect(k.x.rmpAssigned(mapped(g, 4))).toBe(1);
    invalidateEnd(g);
  });

  it('a sequence number that passes through an int (planted, B30) is reported as a fault that makes no progress', () => {
    k = bootGuestKernel({ variants: [V_PLANT_RETRY_FOREVER] });
    const g = newGuest(k);
    expect(violationsOf(() => access(g, 0, READ | PRIVATE))).toEqual([OOPS_RETRY_FOREVER]);
  });

  it('a page assigned for the wrong gfn (planted) is reported as one page with two owners', () => {
    k = bootGuestKernel({ variants: [V_PLANT_DOUBLE_ASSIGN] });
    const g = newGuest(k, { pages: 1024 });
    const codes = violationsOf(() => {
      for (let page = 0; page < 1024; page++) put(g, page, 1);
    });
    expect(codes).toEqual([OOPS_DOUBLE_ASSIGN]);
  });

  it('a translation that outlives its page is reported when the guest uses it', () => {
    const g = newGuest(k, { snp: false });
    put(g, 0, 1);
    const pfn = mapped(g, 0);
    punch(g, 0, 1);
    k.x.tlbFill(g.vcpu, BigInt(BASE), 1, pfn, 1, 0n);
    k.setU32(g.vcpu + abi.VCPU_REQUESTS, 0);
    expect(violationsOf(() => access(g, 0, READ | PRIVATE))).toEqual([OOPS_STALE_TRANSLATION]);
  });
});

describe('a batch of accesses', () => {
  it('does what the accesses do one by one and stops where user space is needed', () => {
    const g = newGuest(k);
    const list = k.alloc(16 * 5);
    const item = (n: number, page: number, flags: number, token: number): void => {
      k.setU64(list + 16 * n, BigInt(BASE + page));
      k.setU32(list + 16 * n + abi.ACCESS_FLAGS, flags);
      k.setU32(list + 16 * n + abi.ACCESS_VALUE, token);
    };
    item(0, 1, WRITE | PRIVATE, 7);
    item(1, 1, READ | PRIVATE, 0);
    item(2, 2, READ | PRIVATE, 5);
    item(3, 1 << 20, READ, 0);
    item(4, 1, READ | PRIVATE, 0);
    const error = k.alloc(8);
    expect(k.x.vcpuRunAccesses(g.vcpu, list, 5, error)).toBe(3);
    expect(k.u32(error)).toBe(kvmAbi.KVM_EXIT_MMIO);
    expect([1, 2].map((n) => k.u32(list + 16 * n + abi.ACCESS_VALUE))).toEqual([7, 0]);
    expect(k.x.vcpuRunAccesses(g.vcpu, list + 64, 1, error)).toBe(1);
    expect(k.u32(error)).toBe(0);
  });
});

describe('random guests', () => {
  it.each([
    ['4K pages', false],
    ['2M folios', true],
  ])('read what a model says under punches, conversions and slot changes (%s)', (_, huge) => {
    const pages = huge ? 1024 : 48;
    const page = fc.integer({ min: 0, max: pages - 1 });
    const length = fc.integer({ min: 1, max: pages });
    const step = fc.oneof(
      { weight: 8, arbitrary: fc.record({ kind: fc.constant('write' as const), page, length }) },
      { weight: 8, arbitrary: fc.record({ kind: fc.constant('read' as const), page, length }) },
      {
        weight: 3,
        arbitrary: fc.record({
          kind: fc.constantFrom('punch' as const, 'private' as const, 'shared' as const),
          page,
          length,
        }),
      },
      {
        weight: 1,
        arbitrary: fc.record({ kind: fc.constantFrom('recreate' as const, 'discard' as const), page, length }),
      },
    );
    const g = newGuest(k, { pages, huge });
    const check = fc.property(fc.array(step, { minLength: 1, maxLength: 30 }), (steps) => {
      setPrivate(g, 0, pages, true);
      expect(punch(g, 0, pages)).toBe(0);
      k.x.kvmDiscardShared(g.kvm, HVA, HVA + (BigInt(pages) << 12n));
      const isPrivate = Array.from({ length: pages }, () => true);
      const tokens = { true: new Map<number, number>(), false: new Map<number, number>() };
      steps.forEach(({ kind, page: first, length: wanted }, n) => {
        const end = Math.min(pages, first + wanted);
        const store = tokens[String(isPrivate[first]) as 'true' | 'false'];
        if (kind === 'write') {
          put(g, first, 1000 + n, isPrivate[first]);
          store.set(first, 1000 + n);
        } else if (kind === 'read') {
          expect(get(g, first, isPrivate[first])).toBe(store.get(first) ?? 0);
        } else if (kind === 'punch') {
          punch(g, first, end - first);
          for (let p = first; p < end; p++) tokens.true.delete(p);
        } else if (kind === 'discard') {
          k.x.kvmDiscardShared(g.kvm, HVA + (BigInt(first) << 12n), HVA + (BigInt(end) << 12n));
          for (let p = first; p < end; p++) tokens.false.delete(p);
        } else if (kind === 'recreate') {
          expect(deleteSlot(g)).toBe(0);
          // The file keeps its pages over an unbind.
          expect(createSlot(g)).toBe(0);
        } else {
          const to = kind === 'private';
          setPrivate(g, first, end - first, to);
          isPrivate.fill(to, first, end);
        }
      });
      for (const leaf of leafs(k, g.kvm)) {
        for (let p = 0; p < (leaf.level === 2 ? 512 : 1); p++)
          expect(leaf.isPrivate).toBe(isPrivate[leaf.gfn - BASE + p]);
      }
    });
    fc.assert(check, { numRuns: huge ? 60 : 200, seed: 11 });
  });
});
