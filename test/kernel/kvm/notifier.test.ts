// The primary MMU's notifier: host ranges, the count of open calls, and memslot updates that wait for it.
import { setImmediate } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import * as abi from '#src/kernel/abi/kvm.js';
import { SH_TASKS, TASK_SIZE, TASK_WAIT_KIND, TASK_WAIT_LOCK, WAIT_RCUWAIT } from '#src/kernel/abi/layout.js';
import { ACCESS_WRITE, MMU_YIELDS } from '#src/kernel/abi/vcpu.js';
import type { TestKernel } from '../harness.js';
import { bootKvm, counter, HVA, liveObjects, MIB, newVm, PAGE, setRegion, slotIdAt, violationsOf } from './support.js';

const open = (k: TestKernel, kvm: number): number => k.u32(kvm + abi.KVM_INVALIDATE_IN_PROGRESS) | 0;
const active = (k: TestKernel, kvm: number): number => k.u32(kvm + abi.KVM_MN_ACTIVE);

/** Whether some task sleeps for the VM's notifier calls to end. */
function updateWaits(k: TestKernel, kvm: number): boolean {
  const tasks = k.u32(SH_TASKS);
  return Array.from({ length: 16 }, (_, id) => tasks + id * TASK_SIZE).some(
    (task) =>
      k.u32(task + TASK_WAIT_KIND) === WAIT_RCUWAIT && k.u32(task + TASK_WAIT_LOCK) === kvm + abi.KVM_MN_RCUWAIT,
  );
}

describe('range_start and range_end', () => {
  it('open one section over the gfns of the range, rounded outwards to pages', () => {
    const k = bootKvm();
    const kvm = newVm(k);
    setRegion(k, kvm, { id: 1, gpa: MIB, size: 16n * PAGE, hva: HVA });
    expect(k.x.kvmMmuNotifierInvalidateRangeStart(kvm, HVA + 4095n, HVA + 2n * PAGE + 1n, 1)).toBe(0);
    expect([active(k, kvm), open(k, kvm)]).toEqual([1, 1]);
    expect(k.u64(kvm + abi.KVM_INVALIDATE_START)).toBe(0x100n);
    expect(k.u64(kvm + abi.KVM_INVALIDATE_END)).toBe(0x103n);
    k.x.kvmMmuNotifierInvalidateRangeEnd(kvm, HVA + 4095n, HVA + 2n * PAGE + 1n);
    expect([active(k, kvm), open(k, kvm)]).toEqual([0, 0]);
    expect(k.u64(kvm + abi.KVM_INVALIDATE_SEQ)).toBe(1n);
  });

  it('take mmu_lock only when a slot is met: other ranges leave the sequence alone', () => {
    const k = bootKvm();
    const kvm = newVm(k);
    setRegion(k, kvm, { id: 1, gpa: MIB, size: 16n * PAGE, hva: HVA });
    for (const [start, end] of [
      [HVA - PAGE, HVA],
      [HVA + 16n * PAGE, HVA + 17n * PAGE],
      [HVA, HVA],
    ] as const) {
      k.x.writeLock(kvm + abi.KVM_MMU_LOCK);
      expect(k.x.kvmMmuNotifierInvalidateRangeStart(kvm, start, end, 0)).toBe(0);
      k.x.kvmMmuNotifierInvalidateRangeEnd(kvm, start, end);
      k.x.writeUnlock(kvm + abi.KVM_MMU_LOCK);
    }
    expect([active(k, kvm), counter(k, kvm, abi.KC_BEGINS), k.u64(kvm + abi.KVM_INVALIDATE_SEQ)]).toEqual([0, 0, 0n]);
  });

  it('open one section for a range over slots of both address spaces', () => {
    const k = bootKvm();
    const kvm = newVm(k);
    setRegion(k, kvm, { id: 1, gpa: 0n, size: 8n * PAGE, hva: HVA });
    setRegion(k, kvm, { id: 2, gpa: MIB, size: 8n * PAGE, hva: HVA + 8n * PAGE });
    setRegion(k, kvm, { id: 1, asId: 1, gpa: 4n * MIB, size: 16n * PAGE, hva: HVA });
    k.x.kvmMmuNotifierInvalidateRangeStart(kvm, HVA + 6n * PAGE, HVA + 10n * PAGE, 1);
    expect(open(k, kvm)).toBe(1);
    expect(k.u64(kvm + abi.KVM_INVALIDATE_START)).toBe(6n);
    expect(k.u64(kvm + abi.KVM_INVALIDATE_END)).toBe(0x40an);
    k.x.kvmMmuNotifierInvalidateRangeEnd(kvm, HVA + 6n * PAGE, HVA + 10n * PAGE);
    expect(open(k, kvm)).toBe(0);
  });

  it('let a waiter have mmu_lock in the middle of a large zap, unless the caller may not block', async () => {
    const TABLES = 64n;
    const k = bootKvm();
    const kvm = newVm(k);
    const vcpu = k.x.vcpuCreate(kvm) >>> 0;
    const lock = kvm + abi.KVM_MMU_LOCK;
    const done = k.alloc(8);
    expect(setRegion(k, kvm, { id: 1, gpa: 0n, size: TABLES * 2n * MIB, hva: HVA })).toBe(0);
    /** Zaps a page in each of the tables; how often the zap let go of the lock. */
    const zap = (mayBlock: number): number => {
      for (let table = 0n; table < TABLES; table++) expect(k.x.vcpuAccess(vcpu, table * 512n, ACCESS_WRITE, 7)).toBe(0);
      const before = k.u32(kvm + MMU_YIELDS);
      k.x.kvmMmuNotifierInvalidateRangeStart(kvm, HVA, HVA + TABLES * 2n * MIB, mayBlock);
      k.x.kvmMmuNotifierInvalidateRangeEnd(kvm, HVA, HVA + TABLES * 2n * MIB);
      return k.u32(kvm + MMU_YIELDS) - before;
    };
    const waiter = k.threads(
      1,
      (kernel, _, arg) => {
        kernel.setU32(arg.done + 4, 1);
        while (kernel.u32(arg.done) === 0) {
          kernel.x.writeLock(arg.lock);
          kernel.x.writeUnlock(arg.lock);
        }
      },
      { lock, done },
    );
    while (k.u32(done + 4) === 0) await setImmediate();
    while (zap(1) === 0);
    // The other thread is at it, as it was in the round before.
    expect(Array.from({ length: 50 }, () => zap(0))).toEqual(Array(50).fill(0));
    k.setU32(done, 1);
    await waiter;
  });

  it('flush the caches of an SNP guest when memory of it is reclaimed, and of no other', () => {
    for (const [type, flushes] of [
      [abi.KVM_TYPE_SNP, 1],
      [abi.KVM_TYPE_NORMAL, 0],
    ] as const) {
      const k = bootKvm();
      const kvm = newVm(k, type);
      setRegion(k, kvm, { id: 1, gpa: 0n, size: 8n * PAGE, hva: HVA });
      k.x.kvmMmuNotifierInvalidateRangeStart(kvm, HVA, HVA + PAGE, 1);
      k.x.kvmMmuNotifierInvalidateRangeEnd(kvm, HVA, HVA + PAGE);
      k.x.kvmMmuNotifierInvalidateRangeStart(kvm, 0n, PAGE, 1);
      k.x.kvmMmuNotifierInvalidateRangeEnd(kvm, 0n, PAGE);
      expect(counter(k, kvm, abi.KC_RECLAIMED)).toBe(flushes);
    }
  });
});

const createOnThread = (k: TestKernel, kvm: number): Promise<number[]> => {
  const region = k.alloc(abi.REGION_ARG_SIZE);
  k.setU32(region + abi.REGION_SLOT, 3);
  k.setU64(region + abi.REGION_GPA, 0n);
  k.setU64(region + abi.REGION_MEMORY_SIZE, 16n * PAGE);
  k.setU64(region + abi.REGION_USERSPACE_ADDR, HVA);
  return k.threads(1, (t, _, [vm, p]: [number, number]) => t.x.kvmSetMemoryRegion(vm, p), [kvm, region] as [
    number,
    number,
  ]);
};

describe('a memslot update between range_start and range_end (B25)', () => {
  it('waits, so that start and end meet the same slots; a further start does not wait behind it', async () => {
    const k = bootKvm();
    const kvm = newVm(k);
    k.x.kvmMmuNotifierInvalidateRangeStart(kvm, HVA, HVA + PAGE, 1); // no slot there yet: nothing opened
    const published = k.u32(kvm + abi.KVM_MEMSLOTS);
    const created = createOnThread(k, kvm);
    while (!updateWaits(k, kvm)) await setImmediate();
    expect(k.u32(kvm + abi.KVM_MEMSLOTS)).toBe(published);
    expect(counter(k, kvm, abi.KC_SWAPS)).toBe(0);
    // The set to come is marked as being updated, the published one is not.
    const other = k.u32(kvm + abi.KVM_MEMSLOT_SETS + 4);
    expect(k.u64(other + abi.SLOTS_GENERATION) >> 63n).toBe(1n);
    expect(k.x.kvmMemslotsGeneration(kvm, 0) >> 63n).toBe(0n);

    k.x.kvmMmuNotifierInvalidateRangeStart(kvm, HVA + PAGE, HVA + 2n * PAGE, 0);
    expect(active(k, kvm)).toBe(2);
    k.x.kvmMmuNotifierInvalidateRangeEnd(kvm, HVA, HVA + PAGE);
    expect(k.u32(kvm + abi.KVM_MEMSLOTS)).toBe(published); // one is still open
    k.x.kvmMmuNotifierInvalidateRangeEnd(kvm, HVA + PAGE, HVA + 2n * PAGE);

    expect(await created).toEqual([0]);
    expect(k.u32(kvm + abi.KVM_MEMSLOTS)).toBe(other);
    expect([slotIdAt(k, kvm, 0n), open(k, kvm), counter(k, kvm, abi.KC_BEGINS)]).toEqual([3, 0, 0]);
    expect(counter(k, kvm, abi.KC_MN_WAITS)).toBeGreaterThan(0);
  });

  it('after a start without an end: destruction does not wait for it (B28)', () => {
    const k = bootKvm();
    k.x.destroyVm(newVm(k)); // fills the caches that stay
    const before = liveObjects(k);
    const kvm = newVm(k);
    setRegion(k, kvm, { id: 1, gpa: 0n, size: 8n * PAGE, hva: HVA });
    k.x.kvmMmuNotifierInvalidateRangeStart(kvm, HVA, HVA + PAGE, 1);
    expect(violationsOf(() => k.x.destroyVm(kvm))).toEqual([]);
    expect(liveObjects(k)).toBe(before);
  });
});

describe('on real threads', () => {
  it('notifier calls and memslot updates at once: every start has its end, sections balance', async () => {
    const k = bootKvm({ perturbMeanPoints: 300, perturbNs: 20_000 });
    const kvm = newVm(k);
    const rounds = 150;
    const arg = { kvm, rounds, region: k.alloc(abi.REGION_ARG_SIZE), abi: { ...abi } };
    const counts = await k.threads(
      4,
      (t, index, { kvm: vm, rounds: n, region, abi: a }) => {
        const hva = 0x7f00_0000_0000n;
        let done = 0;
        for (let round = 0; round < n; round++) {
          const page = BigInt((round * 7 + index * 3) % 24);
          if (index < 2) {
            t.x.kvmMmuNotifierInvalidateRangeStart(vm, hva + page * 4096n, hva + (page + 5n) * 4096n, 1);
            t.x.kvmMmuNotifierInvalidateRangeEnd(vm, hva + page * 4096n, hva + (page + 5n) * 4096n);
            done++;
          } else if (index === 2) {
            // Create, move, delete.
            t.setU32(region + a.REGION_SLOT, 1);
            t.setU64(region + a.REGION_USERSPACE_ADDR, hva + 8n * 4096n);
            t.setU64(region + a.REGION_MEMORY_SIZE, round % 3 === 2 ? 0n : 8n * 4096n);
            t.setU64(region + a.REGION_GPA, round % 3 === 1 ? 1n << 20n : 0n);
            if (t.x.kvmSetMemoryRegion(vm, region) === 0) done++;
          } else {
            const idx = t.x.srcuReadLock(vm + a.KVM_SRCU);
            const slot = t.x.gfnToMemslot(vm, 0, 3n);
            // Inside the section a slot that was found stays a slot.
            if (slot === 0 || t.u32(slot + a.SLOT_MAGIC) === a.SLOT_MAGIC_VALUE) done++;
            t.x.srcuReadUnlock(vm + a.KVM_SRCU, idx);
          }
        }
        return done;
      },
      arg,
    );
    expect(counts).toEqual([rounds, rounds, rounds, rounds]);
    expect([active(k, kvm), open(k, kvm)]).toEqual([0, 0]);
    expect([abi.KC_MN_STARTS, abi.KC_MN_ENDS].map((n) => counter(k, kvm, n))).toEqual([2 * rounds, 2 * rounds]);
    expect(counter(k, kvm, abi.KC_BEGINS)).toBe(counter(k, kvm, abi.KC_ENDS));
    expect(Number(k.u64(kvm + abi.KVM_INVALIDATE_SEQ))).toBe(counter(k, kvm, abi.KC_ENDS));
    expect(counter(k, kvm, abi.KC_GRACE_PERIODS)).toBe((rounds / 3) * 5); // 1 + 2 + 2 a round
    k.x.destroyVm(kvm);
  });
});
