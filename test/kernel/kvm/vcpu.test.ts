// vCPUs and requests: entering and leaving the guest, and what a flush guarantees, step by step and on real threads.
import { beforeEach, describe, expect, it } from 'vitest';
import * as abi from '#src/kernel/abi/vcpu.js';
import * as kvmAbi from '#src/kernel/abi/kvm.js';
import { SH_OOPS_COUNT, SH_STOP } from '#src/kernel/abi/layout.js';
import type { TestKernel } from '../harness.js';
import {
  access,
  BASE,
  bootGuestKernel,
  count,
  get,
  type Guest,
  newGuest,
  PRIVATE,
  punch,
  put,
  READ,
  setPrivate,
  tlbEntries,
} from './guest.js';
import { HVA, liveObjects, newVm, setRegion } from './support.js';

const EIO = -5;
const EINTR = -4;
const EINVAL = -22;

let k: TestKernel;
beforeEach(() => {
  k = bootGuestKernel();
});
const modeOf = (vcpu: number): number => k.u32(vcpu + abi.VCPU_MODE) & abi.GUEST_MODE_MASK;

describe('vcpuCreate', () => {
  it('gives indices in order, at most KVM_MAX_VCPUS, and destroying the VM frees them', () => {
    const live = liveObjects(k);
    const kvm = newVm(k);
    const vcpus = Array.from({ length: kvmAbi.KVM_MAX_VCPUS }, () => k.x.vcpuCreate(kvm) >>> 0);
    expect(vcpus.map((vcpu) => k.u32(vcpu + abi.VCPU_INDEX))).toEqual(vcpus.map((_, n) => n));
    expect(k.u32(kvm + kvmAbi.KVM_ONLINE_VCPUS)).toBe(kvmAbi.KVM_MAX_VCPUS);
    expect(k.x.vcpuCreate(kvm)).toBe(EINVAL);
    k.x.destroyVm(kvm);
    expect(liveObjects(k)).toBe(live);
  });
});

describe('vcpu_enter_guest', () => {
  it('enters in a new session each time and leaves to OUTSIDE', () => {
    const { vcpu } = newGuest(k);
    expect(k.x.vcpuEnterGuest(vcpu)).toBe(0);
    const first = k.u32(vcpu + abi.VCPU_MODE);
    expect(modeOf(vcpu)).toBe(abi.IN_GUEST_MODE);
    k.x.vcpuExitGuest(vcpu);
    expect(modeOf(vcpu)).toBe(abi.OUTSIDE_GUEST_MODE);
    k.x.vcpuEnterGuest(vcpu);
    expect(k.u32(vcpu + abi.VCPU_MODE)).not.toBe(first);
    k.x.vcpuExitGuest(vcpu);
  });

  it('a request without wait kicks a vCPU out of the guest and is handled at the next entry', () => {
    const g = newGuest(k);
    put(g, 1, 1);
    expect(k.x.vcpuEnterGuest(g.vcpu)).toBe(0);
    k.x.kvmMakeAllCpusRequest(g.kvm, abi.KVM_REQ_TLB_FLUSH, 0);
    expect(modeOf(g.vcpu)).toBe(abi.EXITING_GUEST_MODE);
    k.x.vcpuExitGuest(g.vcpu);
    expect(count(g, abi.VCPU_COUNT_IPIS)).toBe(1);
    expect(tlbEntries(k, g.vcpu)).toHaveLength(1);
    k.x.vcpuEnterGuest(g.vcpu);
    expect(tlbEntries(k, g.vcpu)).toEqual([]);
    expect(k.u32(g.vcpu + abi.VCPU_REQUESTS)).toBe(0);
    k.x.vcpuExitGuest(g.vcpu);
  });

  it('a flush of a vCPU outside the guest needs no IPI and waits for nobody', () => {
    const g = newGuest(k);
    put(g, 1, 1);
    k.x.kvmFlushRemoteTlbs(g.kvm);
    expect(get(g, 1)).toBe(1);
    expect(count(g, abi.VCPU_COUNT_IPIS)).toBe(0);
    expect(count(g, abi.VCPU_COUNT_TLB_HITS)).toBe(0);
  });

  it('KVM_RUN returns -EINTR once for a signal and -EIO for ever in a dead VM', () => {
    const g = newGuest(k);
    k.x.kvmMakeRequest(g.vcpu, abi.KVM_REQ_INTERRUPT);
    expect(access(g, 0, READ | PRIVATE).ret).toBe(EINTR);
    expect(access(g, 0, READ | PRIVATE).ret).toBe(0);
    k.x.kvmMakeAllCpusRequest(g.kvm, abi.KVM_REQ_VM_DEAD, 0);
    expect(access(g, 0, READ | PRIVATE).ret).toBe(EIO);
    expect(access(g, 0, READ | PRIVATE).ret).toBe(EIO);
  });
});

/** Starts vCPU threads that touch pages until SH_STOP; each counts its accesses in a word of its own that it only raises. */
function runGuests(g: Guest, vcpus: number[], options: { pages: number; flags: number }): Promise<number[]> {
  return k.threads(
    vcpus.length,
    (kernel, index, arg) => {
      let seen = 0;
      for (let n = 0; kernel.u32(arg.stop) === 0; n++) {
        const ret = kernel.x.vcpuAccess(
          arg.vcpus[index]!,
          BigInt(arg.base + (n % arg.pages)),
          arg.flags | (n & 1),
          (index << 16) | n,
        );
        if (ret === 0) seen++;
        kernel.setU32(arg.progress + 4 * index, n);
      }
      return seen;
    },
    { ...options, vcpus, base: BASE, stop: SH_STOP, progress: (progress = k.alloc(256)) },
  );
}
let progress = 0;
const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
/** Until every vCPU thread has made some accesses. */
async function underWay(threads: number): Promise<void> {
  for (let n = 0; n < threads; n++) while (k.u32(progress + 4 * n) < 20) await sleep(2);
}

describe('kvm_flush_remote_tlbs', () => {
  it('returns only when no vCPU runs guest code of a session that began before it', async () => {
    k = bootGuestKernel({ perturbMeanPoints: 30, perturbNs: 20_000 });
    const g = newGuest(k);
    const vcpus = [g.vcpu, k.x.vcpuCreate(g.kvm) >>> 0, k.x.vcpuCreate(g.kvm) >>> 0];
    const run = runGuests(g, vcpus, { pages: 16, flags: PRIVATE });
    await underWay(vcpus.length);
    // Those that were found in the guest are what the flush has to wait for.
    let inside = 0;
    for (let round = 0; inside < 100 && round < 100_000; round++) {
      const before = vcpus.map((vcpu) => Atomics.load(k.words, (vcpu + abi.VCPU_MODE) / 4));
      k.x.kvmFlushRemoteTlbs(g.kvm);
      const after = vcpus.map((vcpu) => Atomics.load(k.words, (vcpu + abi.VCPU_MODE) / 4));
      for (const [n, mode] of before.entries()) {
        if ((mode & abi.GUEST_MODE_MASK) === abi.OUTSIDE_GUEST_MODE) continue;
        inside++;
        expect(after[n]).not.toBe(mode);
        // Same session number: it must be outside by now.
        if (after[n]! >>> 2 === mode >>> 2) expect(after[n]! & abi.GUEST_MODE_MASK).toBe(abi.OUTSIDE_GUEST_MODE);
      }
    }
    expect(inside).toBeGreaterThanOrEqual(100);
    k.setU32(SH_STOP, 1);
    const seen = await run;
    expect(seen.every((n) => n > 0)).toBe(true);
    expect(k.u32(g.vcpu + abi.VCPU_IPI_WAITERS)).toBe(0);
  });

  it('no guest ever uses a page that was punched out under it, converted or collapsed', async () => {
    k = bootGuestKernel({ perturbMeanPoints: 25, perturbNs: 5000, pfnCount: 8192 });
    const g = newGuest(k, { pages: 1024, huge: true });
    const vcpus = [g.vcpu, k.x.vcpuCreate(g.kvm) >>> 0];
    const run = runGuests(g, vcpus, { pages: 1024, flags: PRIVATE });
    await underWay(vcpus.length);
    for (let round = 0; round < 60; round++) {
      const first = (round * 37) % 1000;
      if (round % 3 === 0) punch(g, first, 1 + (round % 20));
      else if (round % 3 === 1) punch(g, 512 * (round & 1), 512);
      else {
        setPrivate(g, first, 10, false);
        setPrivate(g, first, 10, true);
      }
    }
    k.setU32(SH_STOP, 1);
    await run;
    expect(k.u32(SH_OOPS_COUNT)).toBe(0);
    expect(k.u32(g.kvm + kvmAbi.KVM_INVALIDATE_IN_PROGRESS)).toBe(0);
  });
});

/** Waits until the guest has read value number `bit` again. */
async function sees(seen: number, bit: number): Promise<void> {
  const before = k.u32(seen + 4 * bit);
  while (k.u32(seen + 4 * bit) <= before + 1) await sleep(1);
}

describe('set_memory_region_test', () => {
  const SIZE = 2n << 20n;
  const GPA = BigInt(BASE + 4096) << 12n;

  /** A guest that reads the word at GPA all the time; the set of all values it has seen, as bits in the order of `values`. */
  function watch(g: Guest, values: number[], seen: number): Promise<number[]> {
    return k.threads(
      1,
      (kernel, _, arg) => {
        const unknown = [];
        for (let n = 0; kernel.u32(arg.stop) === 0; n++) {
          const ret = kernel.x.vcpuAccess(arg.vcpu, arg.gfn, 0, 0);
          if (ret === -4) continue;
          const value = kernel.u32(arg.value);
          const bit = arg.values.indexOf(value);
          if (bit < 0) unknown.push(value);
          else kernel.setU32(arg.seen + 4 * bit, kernel.u32(arg.seen + 4 * bit) + 1);
        }
        return unknown.length;
      },
      { values, seen, vcpu: g.vcpu, gfn: GPA >> 12n, stop: SH_STOP, value: g.vcpu + abi.VCPU_VALUE },
    );
  }

  it('move: a guest never sees a value written behind a translation it should have lost', async () => {
    k = bootGuestKernel({ perturbMeanPoints: 25, perturbNs: 5000 });
    const g = newGuest(k);
    const region = (gpa: bigint): number => setRegion(k, g.kvm, { id: 10, gpa, size: SIZE, hva: HVA - SIZE });
    const write = (value: number): number => k.x.hostWriteUser(g.kvm, HVA - SIZE, value);
    expect(region(GPA)).toBe(0);
    const seen = k.alloc(64);
    const run = watch(g, [0, 1, 0xbeef], seen);
    await sees(seen, 0);
    for (let round = 0; round < 25; round++) {
      expect(region(GPA - 4096n)).toBe(0);
      write(2);
      await sees(seen, 0); // page 2 of the memory
      write(1);
      expect(region(GPA)).toBe(0);
      await sees(seen, 1);
      write(0);
      await sees(seen, 0);
    }
    k.setU32(SH_STOP, 1);
    expect(await run).toEqual([0]); // no value but 0, 1 and the device's
  });

  it('delete: the guest reads the device; after a new slot with fresh memory it reads 0', async () => {
    k = bootGuestKernel({ perturbMeanPoints: 25, perturbNs: 5000 });
    const g = newGuest(k);
    const region = (size: bigint): number => setRegion(k, g.kvm, { id: 10, gpa: GPA, size, hva: HVA - SIZE });
    const seen = k.alloc(64);
    const run = watch(g, [0, 0xbeef, 7], seen);
    for (let round = 0; round < 15; round++) {
      expect(region(SIZE)).toBe(0);
      await sees(seen, 0);
      k.x.hostWriteUser(g.kvm, HVA - SIZE, 7);
      await sees(seen, 2);
      expect(region(0n)).toBe(0);
      const stale = k.u32(seen + 8);
      await sees(seen, 1);
      expect(k.u32(seen + 8)).toBeLessThanOrEqual(stale + 1);
      k.x.kvmDiscardShared(g.kvm, HVA - SIZE, HVA);
    }
    k.setU32(SH_STOP, 1);
    expect(await run).toEqual([0]);
  });
});

describe('a fault during an invalidation', () => {
  it('waits in KVM_RUN until the end, and installs the page of after it', async () => {
    const g = newGuest(k, { snp: false });
    put(g, 4, 44);
    const lock = g.kvm + kvmAbi.KVM_MMU_LOCK;
    k.x.writeLock(lock);
    k.x.kvmMmuInvalidateBegin(g.kvm);
    k.x.kvmMmuInvalidateRangeAdd(g.kvm, BigInt(BASE), BigInt(BASE + 8));
    if (k.x.kvmUnmapGfnRange(g.kvm, 0, BigInt(BASE), BigInt(BASE + 8), 1) !== 0) k.x.kvmFlushRemoteTlbs(g.kvm);
    k.x.writeUnlock(lock);
    const run = k.threads(1, (kernel, _, arg) => kernel.x.vcpuAccess(arg.vcpu, BigInt(arg.gfn), 2, 0), {
      vcpu: g.vcpu,
      gfn: BASE + 4,
    });
    while (count(g, abi.VCPU_COUNT_RETRIES) < 40) await sleep(2);
    expect(k.x.tdpLookup(g.kvm, BigInt(BASE + 4))).toBe(0n);
    k.x.writeLock(lock);
    k.x.kvmMmuInvalidateEnd(g.kvm);
    k.x.writeUnlock(lock);
    expect(await run).toEqual([0]);
    expect(k.u32(g.vcpu + abi.VCPU_VALUE)).toBe(44);
  });
});
