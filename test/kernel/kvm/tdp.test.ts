// The TDP MMU alone: leafs go in by tdpMap and out by zaps, against a Map from gfn to pfn. No slots, no RMP: only page tables.
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import * as abi from '#src/kernel/abi/vcpu.js';
import { KVM_MMU_LOCK } from '#src/kernel/abi/kvm.js';
import type { TestKernel } from '../harness.js';
import { bootGuestKernel, leafs } from './guest.js';
import { liveObjects, newVm } from './support.js';

const FIXED = 1;
const SPURIOUS = 2;

/** Without oracles: these page tables map PFNs that nobody has allocated. */
const bootBare = (options: Parameters<typeof bootGuestKernel>[0] = {}): TestKernel =>
  bootGuestKernel({ ...options, oracles: false });

interface Mmu {
  k: TestKernel;
  kvm: number;
  vcpu: number;
  table: number;
}

function newMmu(k: TestKernel): Mmu {
  const kvm = newVm(k);
  const vcpu = k.x.vcpuCreate(kvm) >>> 0;
  expect(k.x.kvmMmuLoad(vcpu)).toBe(0);
  return { k, kvm, vcpu, table: k.u32(vcpu + abi.VCPU_ROOT_TABLE) };
}

function map({ k, kvm, table }: Mmu, gfn: number, pfn: number, level: number, writable = true): number {
  k.x.readLock(kvm + KVM_MMU_LOCK);
  const ret = k.x.tdpMap(kvm, table, BigInt(gfn), k.x.makeSpte(pfn, level, writable ? 1 : 0, 1), level);
  k.x.readUnlock(kvm + KVM_MMU_LOCK);
  return ret;
}

function unmap({ k, kvm }: Mmu, start: number, end: number): boolean {
  k.x.writeLock(kvm + KVM_MMU_LOCK);
  const flush = k.x.kvmUnmapGfnRange(kvm, 0, BigInt(start), BigInt(end), 1) !== 0;
  k.x.writeUnlock(kvm + KVM_MMU_LOCK);
  return flush;
}

const gfnsOf = (m: Mmu): number[] => leafs(m.k, m.kvm).map((leaf) => leaf.gfn);

describe('kvm_tdp_mmu_map', () => {
  const k = bootBare();

  it('installs one 4K leaf with the pfn, private, writable, accessed and dirty', () => {
    const m = newMmu(k);
    expect(map(m, 0x12345, 77, 1)).toBe(FIXED);
    expect(leafs(k, m.kvm)).toEqual([{ gfn: 0x12345, pfn: 77, level: 1, isPrivate: true, writable: true }]);
    expect(k.x.tdpLookup(m.kvm, 0x12345n)).toBe((1n << 59n) | (1n << 58n) | (77n << 12n) | 0x67n);
  });

  it('is spurious when the same leaf is there, or a writable one where a read-only one is asked for', () => {
    const m = newMmu(k);
    map(m, 5, 77, 1);
    expect(map(m, 5, 77, 1)).toBe(SPURIOUS);
    expect(map(m, 5, 77, 1, false)).toBe(SPURIOUS);
    expect(leafs(k, m.kvm)[0]!.writable).toBe(true);
  });

  it('makes a read-only leaf writable in place', () => {
    const m = newMmu(k);
    map(m, 5, 77, 1, false);
    expect(map(m, 5, 77, 1)).toBe(FIXED);
    expect(leafs(k, m.kvm)).toEqual([{ gfn: 5, pfn: 77, level: 1, isPrivate: true, writable: true }]);
  });

  it('shows every gfn of a 2M leaf its own pfn', () => {
    const m = newMmu(k);
    map(m, 1024, 512, 2);
    expect(leafs(k, m.kvm)).toEqual([{ gfn: 1024, pfn: 512, level: 2, isPrivate: true, writable: true }]);
    expect((k.x.tdpLookup(m.kvm, 1024n + 300n) >> 12n) & 0xffffffn).toBe(812n);
    expect(k.x.tdpLookup(m.kvm, 1536n)).toBe(0n);
  });

  it('puts a 4K leaf in place of a 2M leaf that stands in the way, after a flush', () => {
    const m = newMmu(k);
    map(m, 1024, 512, 2);
    const flushes = k.u64(m.kvm + abi.MMU_REMOTE_FLUSHES);
    expect(map(m, 1030, 518, 1)).toBe(FIXED);
    expect(gfnsOf(m)).toEqual([1030]);
    expect(k.u64(m.kvm + abi.MMU_REMOTE_FLUSHES)).toBe(flushes + 1n);
  });

  it('puts a 2M leaf over a table of 4K leafs and frees the table after a flush', () => {
    const m = newMmu(k);
    map(m, 1024, 512, 1);
    map(m, 1025, 513, 1);
    const tables = k.u32(m.kvm + abi.MMU_TABLES);
    const flushes = k.u64(m.kvm + abi.MMU_REMOTE_FLUSHES);
    expect(map(m, 1024, 512, 2)).toBe(FIXED);
    expect(leafs(k, m.kvm).map((leaf) => leaf.level)).toEqual([2]);
    expect(k.u32(m.kvm + abi.MMU_TABLES)).toBe(tables - 1);
    expect(k.u64(m.kvm + abi.MMU_REMOTE_FLUSHES)).toBe(flushes + 1n);
  });
});

describe('tdp_mmu_zap_leafs', () => {
  const k = bootBare();

  it('takes exactly [start, end) and says whether anything went', () => {
    const m = newMmu(k);
    for (let gfn = 510; gfn < 516; gfn++) map(m, gfn, gfn, 1);
    expect(unmap(m, 511, 514)).toBe(true);
    expect(gfnsOf(m)).toEqual([510, 514, 515]);
    expect(unmap(m, 511, 514)).toBe(false);
    expect(unmap(m, 515, 515)).toBe(false);
  });

  it('takes exactly [start, end) of a full table, where whole cache lines go at once', () => {
    const m = newMmu(k);
    const gaps = [17, 80];
    const all = Array.from({ length: 200 }, (_, gfn) => gfn).filter((gfn) => !gaps.includes(gfn));
    for (const [start, end] of [
      [0, 64],
      [5, 69],
      [8, 200],
      [15, 103],
      [63, 191],
    ] as const) {
      for (const gfn of all) map(m, gfn, gfn, 1, gfn !== 100);
      expect(unmap(m, start, end)).toBe(true);
      expect(gfnsOf(m)).toEqual(all.filter((gfn) => gfn < start || gfn >= end));
    }
  });

  it('takes a 2M leaf as a whole when the range covers one page of it', () => {
    const m = newMmu(k);
    map(m, 1024, 512, 2);
    map(m, 1536, 1, 1);
    expect(unmap(m, 1535, 1536)).toBe(true);
    expect(gfnsOf(m)).toEqual([1536]);
  });

  it('steps over gaps of the address space and reaches its last gfn', () => {
    const m = newMmu(k);
    const far = abi.TDP_MAX_GFN - 1;
    map(m, 3, 3, 1);
    map(m, far, 4, 1);
    expect(gfnsOf(m)).toEqual([3, far]);
    expect(unmap(m, 4, abi.TDP_MAX_GFN)).toBe(true);
    expect(gfnsOf(m)).toEqual([3]);
  });

  it('zaps leafs of an obsolete root too, which vCPUs may not have left yet', () => {
    const m = newMmu(k);
    map(m, 9, 9, 1);
    k.x.writeLock(m.kvm + KVM_MMU_LOCK);
    k.x.tdpInvalidateAllRoots(m.kvm);
    expect(k.x.kvmUnmapGfnRange(m.kvm, 0, 9n, 10n, 1)).toBe(1);
    k.x.writeUnlock(m.kvm + KVM_MMU_LOCK);
    k.x.tdpZapInvalidatedRoots(m.kvm);
    expect(leafs(k, m.kvm)).toEqual([]);
  });

  it('agrees with a map of gfns under random maps, collapses, splits and zaps', () => {
    const m = newMmu(k);
    // Three 2M blocks at far-apart places; pfn = gfn, so that 4K and 2M agree.
    const blocks = [0, 512, 1 << 20];
    const place = fc.record({ block: fc.integer({ min: 0, max: 2 }), page: fc.integer({ min: 0, max: 511 }) });
    const step = fc.oneof(
      { weight: 6, arbitrary: place.map((p) => ({ kind: 'map' as const, ...p, pages: 1 })) },
      { weight: 1, arbitrary: place.map((p) => ({ kind: 'map2m' as const, ...p, pages: 512 })) },
      {
        weight: 3,
        arbitrary: fc
          .tuple(place, fc.integer({ min: 1, max: 700 }))
          .map(([p, pages]) => ({ kind: 'zap' as const, ...p, pages })),
      },
    );
    const check = fc.property(fc.array(step, { minLength: 1, maxLength: 40 }), (steps) => {
      unmap(m, 0, abi.TDP_MAX_GFN);
      const small = new Set<number>();
      const large = new Set<number>();
      for (const { kind, block, page, pages } of steps) {
        const gfn = blocks[block]! + page;
        const head = gfn - (gfn % 512);
        if (kind === 'map') {
          map(m, gfn, gfn, 1);
          large.delete(head);
          small.add(gfn);
        } else if (kind === 'map2m') {
          map(m, head, head, 2);
          for (let n = head; n < head + 512; n++) small.delete(n);
          large.add(head);
        } else {
          unmap(m, gfn, gfn + pages);
          for (const n of small) if (n >= gfn && n < gfn + pages) small.delete(n);
          for (const n of large) if (n < gfn + pages && n + 512 > gfn) large.delete(n);
        }
      }
      const wanted = [...[...small].map((n) => `${n} 1`), ...[...large].map((n) => `${n} 2`)];
      const found = leafs(k, m.kvm).map((leaf) => `${leaf.gfn} ${leaf.level}`);
      expect(found.toSorted()).toEqual(wanted.toSorted());
    });
    fc.assert(check, { numRuns: 200, seed: 7 });
  });
});

describe('roots', () => {
  it('a memslot update gives a vCPU a new root and frees the old one with all its tables', () => {
    const k = bootBare();
    const m = newMmu(k);
    const live = liveObjects(k);
    for (let gfn = 0; gfn < 4096; gfn += 256) map(m, gfn, 1 + gfn, 1);
    const old = k.u32(m.vcpu + abi.VCPU_ROOT);
    k.x.kvmMmuZapAllFast(m.kvm);
    expect(k.x.tdpRootObsolete(old)).toBe(1);
    expect(leafs(k, m.kvm)).toEqual([]);
    k.x.kvmMmuFreeObsoleteRoots(m.vcpu);
    expect(k.u32(m.kvm + abi.MMU_ROOTS)).toBe(0);
    expect(k.u32(m.kvm + abi.MMU_TABLES)).toBe(0);
    expect(k.x.kvmMmuLoad(m.vcpu)).toBe(0);
    expect(liveObjects(k)).toBe(live);
  });

  it('a vCPU keeps its obsolete root alive, and fills nothing into it', () => {
    const k = bootBare();
    const m = newMmu(k);
    map(m, 1, 1, 1);
    k.x.kvmMmuZapAllFast(m.kvm);
    expect(k.u32(m.kvm + abi.MMU_ROOTS)).toBe(k.u32(m.vcpu + abi.VCPU_ROOT));
    expect(k.u32(m.kvm + abi.MMU_TABLES)).toBe(1);
  });

  it('destroying the VM gives every object back', () => {
    const k = bootBare();
    const live = liveObjects(k);
    const m = newMmu(k);
    for (let gfn = 0; gfn < 1 << 20; gfn += 4099) map(m, gfn, gfn, 1);
    k.x.destroyVm(m.kvm);
    expect(liveObjects(k)).toBe(live);
  });
});

describe('faults of several CPUs', () => {
  it('link and fill the same tables at once without losing a leaf or a table', async () => {
    const k = bootBare({ perturbMeanPoints: 20, perturbNs: 3000 });
    const m = newMmu(k);
    const pages = 1500;
    const results = await k.threads(
      4,
      (kernel, index, { kvm, table, lock, count }) => {
        let fixed = 0;
        for (let n = 0; n < count; n++) {
          const gfn = index % 2 === 0 ? n : count - 1 - n;
          for (let ret = 3; ret === 3;) {
            kernel.x.readLock(lock);
            ret = kernel.x.tdpMap(kvm, table, BigInt(gfn), kernel.x.makeSpte(gfn, 1, 1, 0), 1);
            kernel.x.readUnlock(lock);
            if (ret === 1) fixed++;
          }
        }
        return fixed;
      },
      { kvm: m.kvm, table: m.table, lock: m.kvm + KVM_MMU_LOCK, count: pages },
    );
    expect(results.reduce((a, b) => a + b)).toBe(pages);
    expect(leafs(k, m.kvm).every((leaf, n) => leaf.gfn === n && leaf.pfn === n)).toBe(true);
    expect(leafs(k, m.kvm)).toHaveLength(pages);
    // Root, one table of level 3, one of level 2, three of level 1.
    expect(k.u32(m.kvm + abi.MMU_TABLES)).toBe(6);
  });

  it('collapse to 2M and fill 4K against each other and end with one or the other', async () => {
    const k = bootBare({ perturbMeanPoints: 15, perturbNs: 3000 });
    const m = newMmu(k);
    await k.threads(
      4,
      (kernel, index, { kvm, table, lock }) => {
        for (let n = 0; n < 300; n++) {
          const large = index === 0;
          const gfn = large ? 512 : 512 + ((n * 7 + index) % 512);
          kernel.x.readLock(lock);
          const level = large ? 2 : 1;
          kernel.x.tdpMap(kvm, table, BigInt(gfn), kernel.x.makeSpte(gfn, level, 1, 0), level);
          kernel.x.readUnlock(lock);
        }
      },
      { kvm: m.kvm, table: m.table, lock: m.kvm + KVM_MMU_LOCK },
    );
    const found = leafs(k, m.kvm);
    expect(found.every((leaf) => leaf.pfn === leaf.gfn)).toBe(true);
    const hasLarge = found.some((leaf) => leaf.level === 2);
    expect(k.u32(m.kvm + abi.MMU_TABLES)).toBe(hasLarge ? 3 : 4);
  });
});
