// Patterns of KVM's own selftests that are more than a table of errors: memslots that come, go and move beside running vCPUs.
// kernel: tools/testing/selftests/kvm private_mem_kvm_exits_test, memslot_modification_stress_test, memslot_perf_test, max_guest_memory_test (6.8).
import { describe, expect, it } from 'vitest';
import * as kvmAbi from '#src/kernel/abi/kvm.js';
import { PROTOCOL_GUEST_MEMFD, PROTOCOL_RFC_V8, SH_STOP } from '#src/kernel/abi/layout.js';
import {
  VCPU_COUNT_FAULTS,
  VCPU_EXIT_FLAGS,
  VCPU_EXIT_GPA,
  VCPU_EXIT_REASON,
  VCPU_EXIT_SIZE,
  VCPU_MUTEX,
  VCPU_ROOT,
  VCPU_VALUE,
} from '#src/kernel/abi/vcpu.js';
import { MEETING_SIZE } from '../harness.js';
import { BASE, bootGuestKernel, deleteSlot, EFAULT, get, type Guest, newGuest, PRIVATE, put, WRITE } from './guest.js';
import { counter, HVA, setRegion } from './support.js';

function pagesOf(first: number, count: number): number[] {
  return Array.from({ length: count }, (_, n) => first + n);
}

interface Writers {
  /** What each vCPU met beside success, as gfns of its exits. */
  readonly exits: Promise<number[][]>;
  /** Until each vCPU has made a whole pass over its pages that began after the call. */
  passed(): Promise<void>;
}

/** vCPUs that write pages [first, first + count) of the area until the stop flag. */
function writers(g: Guest, vcpus: readonly number[], first: number, count: number): Writers {
  const progress = g.k.alloc(4 * vcpus.length);
  const arg = {
    progress,
    vcpus: [...vcpus],
    first: BASE + first,
    count,
    stop: SH_STOP,
    reason: VCPU_EXIT_REASON,
    gpa: VCPU_EXIT_GPA,
    mmio: kvmAbi.KVM_EXIT_MMIO,
    flags: WRITE,
  };
  const exits = g.k.threads(
    vcpus.length,
    (kernel, index, a: typeof arg) => {
      const vcpu = a.vcpus[index]!;
      const met = new Set<number>();
      for (let n = 0; kernel.u32(a.stop) === 0; n++) {
        if (n % a.count === 0) kernel.setU32(a.progress + 4 * index, n / a.count);
        const ret = kernel.x.vcpuAccess(vcpu, BigInt(a.first + (n % a.count)), a.flags, n);
        if (ret === 0 && kernel.u32(vcpu + a.reason) !== a.mmio) continue;
        if (ret === -4) continue; // EINTR: a kick
        met.add(kernel.u32(vcpu + a.reason) === a.mmio ? Number(kernel.u64(vcpu + a.gpa) >> 12n) : ret);
        kernel.setU32(vcpu + a.reason, 0);
      }
      return [...met];
    },
    arg,
  );
  const passes = (index: number): number => g.k.u32(progress + 4 * index);
  const passed = async (): Promise<void> => {
    const before = vcpus.map((_, index) => passes(index));
    for (let index = 0; index < vcpus.length; index++) while (passes(index) < before[index]! + 2) await tick();
  };
  return { exits, passed };
}

const perturbed = { perturbMeanPoints: 30, perturbNs: 4000 };
const tick = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 1));

describe('private_mem_kvm_exits_test', () => {
  it.each([
    ['rfc-v8', false, PROTOCOL_RFC_V8],
    ['rfc-v8', true, PROTOCOL_RFC_V8],
    ['guest-memfd', true, PROTOCOL_GUEST_MEMFD],
  ])(
    'a memslot that goes under a vCPU at work in its private memory: KVM_RUN ends with the memory fault (%s, SNP: %s)',
    async (_, snp, protocol) => {
      const k = bootGuestKernel({ ...perturbed, protocol });
      const g = newGuest(k, { snp, pages: 1 });
      put(g, 0, 7);
      const reads = k.alloc(4);
      const run = k.threads(
        1,
        (kernel, __, a) => {
          let ret = 0;
          const values = new Set<number>();
          for (let n = 1; ret === 0; n++) {
            ret = kernel.x.vcpuAccess(a.vcpu, BigInt(a.gfn), a.flags, 0);
            if (ret === 0) values.add(kernel.u32(a.vcpu + a.value));
            kernel.setU32(a.reads, n);
          }
          return { ret, values: [...values] };
        },
        { reads, vcpu: g.vcpu, gfn: BASE, flags: PRIVATE, value: VCPU_VALUE },
      );
      while (k.u32(reads) < 100) await tick();
      expect(deleteSlot(g)).toBe(0);
      expect(await run).toEqual([{ ret: EFAULT, values: [7] }]);
      expect(k.u32(g.vcpu + VCPU_EXIT_REASON)).toBe(kvmAbi.KVM_EXIT_MEMORY_FAULT);
      expect(k.u32(g.vcpu + VCPU_EXIT_FLAGS)).toBe(kvmAbi.KVM_MEMORY_EXIT_FLAG_PRIVATE);
      expect(k.u64(g.vcpu + VCPU_EXIT_GPA)).toBe(BigInt(BASE) << 12n);
      expect(k.u64(g.vcpu + VCPU_EXIT_SIZE)).toBe(4096n);
    },
  );
});

describe('memslot_modification_stress_test', () => {
  it('a memslot that comes and goes beside vCPUs at work disturbs none of them, and costs three grace periods a round', async () => {
    const k = bootGuestKernel(perturbed);
    const g = newGuest(k, { snp: false, pages: 256, isPrivate: false });
    const vcpus = [g.vcpu, k.x.vcpuCreate(g.kvm) >>> 0];
    const run = writers(g, vcpus, 0, 256);
    await run.passed();
    const before = counter(k, g.kvm, kvmAbi.KC_GRACE_PERIODS);
    const dummy = { id: 7, gpa: BigInt(BASE - 1) << 12n, hva: HVA - 4096n };
    const rounds = 20;
    for (let n = 0; n < rounds; n++) {
      expect(setRegion(k, g.kvm, { ...dummy, size: 4096n })).toBe(0);
      expect(setRegion(k, g.kvm, { ...dummy, size: 0n })).toBe(0);
    }
    expect(counter(k, g.kvm, kvmAbi.KC_GRACE_PERIODS) - before).toBe(3 * rounds);
    await run.passed();
    k.setU32(SH_STOP, 1);
    expect(await run.exits).toEqual([[], []]);
  });
});

describe('memslot_perf_test', () => {
  /** Moves the memslot behind the area away and back; the exits that a vCPU met that writes pages [first, first + count). */
  async function move(first: number, count: number): Promise<number[]> {
    const k = bootGuestKernel(perturbed);
    const g = newGuest(k, { snp: false, pages: 64, isPrivate: false });
    const moved = { id: 1, size: 64n << 12n, hva: HVA + (64n << 12n) };
    const at = (page: number): number => setRegion(k, g.kvm, { ...moved, gpa: BigInt(BASE + page) << 12n });
    expect(at(64)).toBe(0);
    const run = writers(g, [g.vcpu], first, count);
    for (let n = 0; n < 20; n++) {
      expect(at(4096)).toBe(0);
      await run.passed();
      expect(at(64)).toBe(0);
      await run.passed();
    }
    k.setU32(SH_STOP, 1);
    return (await run.exits)[0]!;
  }

  it('move inactive: who works below the memslot never meets the device', async () => {
    expect(await move(16, 48)).toEqual([]);
  });

  it('move active: the device is met only inside the memslot that moves', async () => {
    const exits = await move(40, 48);
    expect(exits.length).toBeGreaterThan(0);
    for (const gfn of exits) {
      expect(gfn).toBeGreaterThanOrEqual(BASE + 64);
      expect(gfn).toBeLessThan(BASE + 88);
    }
  });
});

describe('max_guest_memory_test', () => {
  const SLOTS = 8;
  const PAGES = 64;
  const MEMORY = HVA + (1n << 30n);
  const gfnOf = (slot: number): number => BASE + 1024 + slot * PAGES;
  const region = (g: Guest, slot: number, pages: number): number =>
    setRegion(g.k, g.kvm, {
      id: 1 + slot,
      gpa: BigInt(gfnOf(slot)) << 12n,
      size: BigInt(pages) << 12n,
      hva: MEMORY,
    });

  /** vCPUs that write each page of their slices; reset: they let go of the page tables as when CR0.WP changes; and write again. They meet after each. */
  function phases(g: Guest, vcpus: readonly number[], meeting: number): Promise<number[]> {
    const each = (SLOTS * PAGES) / vcpus.length;
    return g.k.threads(
      vcpus.length,
      (kernel, index, a) => {
        let failed = 0;
        const vcpu = a.vcpus[index]!;
        const pass = (): void => {
          for (let n = 0; n < a.each; n++)
            if (kernel.x.vcpuAccess(vcpu, BigInt(a.first + index * a.each + n), a.flags, n) !== 0) failed++;
          kernel.arrive(a.meeting);
        };
        kernel.arrive(a.meeting);
        pass();
        kernel.x.mutexLock(vcpu + a.mutex);
        kernel.x.kvmMmuUnload(vcpu);
        kernel.x.mutexUnlock(vcpu + a.mutex);
        kernel.arrive(a.meeting);
        pass();
        return failed;
      },
      { vcpus: [...vcpus], first: gfnOf(0), each, meeting, flags: WRITE, mutex: VCPU_MUTEX },
    );
  }

  it('memslots over one and the same host memory: vCPUs write their slices, are reset, write them again; what half of the memslots and of the memory showed is unmapped then', async () => {
    const k = bootGuestKernel();
    const g = newGuest(k, { snp: false, pages: 8, isPrivate: false });
    for (let slot = 0; slot < SLOTS; slot++) expect(region(g, slot, PAGES)).toBe(0);
    const vcpus = [g.vcpu, k.x.vcpuCreate(g.kvm) >>> 0];
    const meeting = k.alloc(MEETING_SIZE);
    const run = phases(g, vcpus, meeting);
    const faults = (): number[] => vcpus.map((vcpu) => k.u32(vcpu + VCPU_COUNT_FAULTS));
    const roots = (): number[] => vcpus.map((vcpu) => k.u32(vcpu + VCPU_ROOT));
    const met = async (look: () => void): Promise<void> => {
      await k.arrived(meeting, vcpus.length, run);
      look();
      k.goOn(meeting);
    };
    await met(() => expect(faults()).toEqual([0, 0])); // spawned
    let [before, root]: number[][] = [[], []];
    await met(() => {
      [before, root] = [faults(), roots()];
      expect(before.every((n) => n > 0)).toBe(true);
    });
    await met(() => expect(roots()).toEqual([0, 0]));
    // They come back to the same page tables: nobody has to fault again.
    await met(() => expect([faults(), roots()]).toEqual([before, root]));
    expect(await run).toEqual([0, 0]);
    // What one memslot shows, all of them do.
    expect(k.x.hostWriteUser(g.kvm, MEMORY, 77)).toBe(0);
    for (let slot = 0; slot < SLOTS; slot++) expect(get(g, gfnOf(slot) - BASE, false)).toBe(77);
    for (let slot = 0; slot < SLOTS; slot += 2) expect(region(g, slot, 0)).toBe(0);
    expect(k.x.kvmDiscardShared(g.kvm, MEMORY, MEMORY + (BigInt(PAGES / 2) << 12n))).toBe(PAGES / 2);
    for (let slot = 0; slot < SLOTS; slot++) {
      const mapped = pagesOf(0, PAGES).filter((n) => (k.x.tdpLookup(g.kvm, BigInt(gfnOf(slot) + n)) & 1n) !== 0n);
      expect(mapped.filter((n) => slot % 2 === 0 || n < PAGES / 2)).toEqual([]);
    }
    expect(k.x.sysAudit()).toBe(0);
  });
});
