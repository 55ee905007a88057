// Patterns of KVM's own selftests that are more than a table of errors: conversions, hole punches, memslots that come, go and move beside running vCPUs.
// kernel: tools/testing/selftests/kvm private_mem_conversions_test, memslot_modification_stress_test, memslot_perf_test, max_guest_memory_test (6.8).
import { describe, expect, it } from 'vitest';
import * as kvmAbi from '#src/kernel/abi/kvm.js';
import { SH_STOP } from '#src/kernel/abi/layout.js';
import { VCPU_EXIT_GPA, VCPU_EXIT_REASON, VCPU_VALUE } from '#src/kernel/abi/vcpu.js';
import { FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE } from '#src/kernel/abi/mm.js';
import { BASE, bootGuestKernel, type Guest, get, newGuest, punch, put, setPrivate, WRITE } from './guest.js';
import { counter, HVA, setRegion } from './support.js';

/** Pages of a vCPU's chunk, and the ranges (first, count) that are converted in it: both sides of 2M, crooked and straight. */
const CHUNK = 1024;
const RANGES = [
  [0, 1],
  [0, 512],
  [1, 1],
  [1, 512],
  [512, 1],
] as const;

const SHARED = false;

/** The VMM's view of the chunk. */
const hva = (page: number): bigint => HVA + (BigInt(page) << 12n);
const hostRead = (g: Guest, page: number): number => g.k.x.hostReadUser(g.kvm, hva(page)) >>> 0;
const hostWrite = (g: Guest, page: number, value: number): number => g.k.x.hostWriteUser(g.kvm, hva(page), value);

function pagesOf(first: number, count: number): number[] {
  return Array.from({ length: count }, (_, n) => first + n);
}

function expectAll(pages: readonly number[], read: (page: number) => number, value: number): void {
  expect(pages.filter((page) => read(page) !== value)).toEqual([]);
}

/** The guest fills pages and reads them back. */
function fill(g: Guest, pages: readonly number[], value: number, isPrivate: boolean): void {
  for (const page of pages) put(g, page, value, isPrivate);
  expectAll(pages, (page) => get(g, page, isPrivate), value);
}

function convert(g: Guest, first: number, count: number, toPrivate: boolean, fallocate: boolean): void {
  if (fallocate) {
    const mode = FALLOC_FL_KEEP_SIZE | (toPrivate ? 0 : FALLOC_FL_PUNCH_HOLE);
    expect(g.k.x.restrictedmemFallocate(g.file, mode, BigInt(first) << 12n, BigInt(count) << 12n)).toBe(0);
  }
  setPrivate(g, first, count, toPrivate);
}

/** One range of the explicit conversion test; the chunk is shared and holds 0xcc before and after. */
function convertRange(g: Guest, first: number, count: number, fallocate: boolean): void {
  const range = pagesOf(first, count);
  fill(g, range, 0x11, SHARED);
  convert(g, first, count, true, fallocate);
  if (count > 1) {
    put(g, first, 0x22);
  } else {
    fill(g, range, 0x22, true);
    expectAll(range, (page) => hostRead(g, page), 0x11); // the shared half is still what it was
    const outside = [first - 1, first + count].filter((page) => page >= 0 && page < CHUNK);
    expectAll(outside, (page) => get(g, page, SHARED), 0xcc);
    convert(g, first, 1, false, fallocate);
    expect(hostRead(g, first)).toBe(0x11);
    expect(hostWrite(g, first, 0x33)).toBe(0);
    expect(get(g, first, SHARED)).toBe(0x33);
  }
  convert(g, first, count, false, fallocate);
  fill(g, range, 0x33, SHARED);
  expectAll(range, (page) => hostRead(g, page), 0x33);
  for (const page of range) hostWrite(g, page, 0x44);
  expectAll(range, (page) => get(g, page, SHARED), 0x44);
  fill(g, range, 0xcc, SHARED);
}

describe.each([true, false])('private_mem_conversions_test (SNP: %s)', (snp) => {
  const guest = (): Guest => newGuest(bootGuestKernel(), { snp, pages: CHUNK, isPrivate: false });
  const all = pagesOf(0, CHUNK);

  it.each([false, true])('explicit conversion, pages allocated and punched along: %s', (fallocate) => {
    const g = guest();
    fill(g, all, 0xaa, SHARED);
    expectAll(all, (page) => hostRead(g, page), 0xaa);
    for (const page of all) hostWrite(g, page, 0xcc);
    expectAll(all, (page) => get(g, page, SHARED), 0xcc);
    for (const [first, count] of RANGES) convertRange(g, first, count, fallocate);
    convert(g, 0, CHUNK, false, true);
    expect(g.k.x.sysAudit()).toBe(0);
  });

  it.each([false, true])('a punched hole reads as zeroes; only the range was written before: %s', (precise) => {
    const g = guest();
    setPrivate(g, 0, CHUNK, true);
    for (const [first, count] of RANGES) {
      expect(punch(g, 0, CHUNK)).toBe(0);
      fill(g, precise ? pagesOf(first, count) : all, 0xcc, true);
      expect(punch(g, first, count)).toBe(0);
      expectAll(pagesOf(first, count), (page) => get(g, page), 0);
    }
    g.k.x.destroyVm(g.kvm);
    // The file outlives the guest.
    expect(punch(g, 0, CHUNK)).toBe(0);
    expect(g.k.x.restrictedmemFallocate(g.file, FALLOC_FL_KEEP_SIZE, 0n, BigInt(CHUNK) << 12n)).toBe(0);
  });
});

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
  it('memslots over one and the same host memory: each vCPU writes its slice, half of the memslots and of the memory go, nothing is left mapped there', async () => {
    const k = bootGuestKernel();
    const g = newGuest(k, { snp: false, pages: 8, isPrivate: false });
    const slots = 8;
    const pages = 64;
    const gfnOf = (slot: number): number => BASE + 1024 + slot * pages;
    const region = (slot: number, size: number): number =>
      setRegion(k, g.kvm, {
        id: 1 + slot,
        gpa: BigInt(gfnOf(slot)) << 12n,
        size: BigInt(size) << 12n,
        hva: HVA + (1n << 30n),
      });
    for (let slot = 0; slot < slots; slot++) expect(region(slot, pages)).toBe(0);
    const vcpus = [g.vcpu, k.x.vcpuCreate(g.kvm) >>> 0];
    const arg = { vcpus, first: gfnOf(0), each: (slots * pages) / 2, flags: WRITE };
    const results = await k.threads(
      2,
      (kernel, index, a: typeof arg) => {
        let failed = 0;
        for (let n = 0; n < a.each; n++)
          if (kernel.x.vcpuAccess(a.vcpus[index]!, BigInt(a.first + index * a.each + n), a.flags, n) !== 0) failed++;
        return failed;
      },
      arg,
    );
    expect(results).toEqual([0, 0]);
    // What one memslot shows, all of them do.
    expect(k.x.hostWriteUser(g.kvm, HVA + (1n << 30n), 77)).toBe(0);
    for (let slot = 0; slot < slots; slot++) {
      expect(k.x.vcpuAccess(g.vcpu, BigInt(gfnOf(slot)), 0, 0)).toBe(0);
      expect(k.u32(g.vcpu + VCPU_VALUE)).toBe(77);
    }
    for (let slot = 0; slot < slots; slot += 2) expect(region(slot, 0)).toBe(0);
    k.x.kvmDiscardShared(g.kvm, HVA + (1n << 30n), HVA + (1n << 30n) + (BigInt(pages / 2) << 12n));
    for (let slot = 0; slot < slots; slot++) {
      const mapped = pagesOf(0, pages).filter((n) => (k.x.tdpLookup(g.kvm, BigInt(gfnOf(slot) + n)) & 1n) !== 0n);
      expect(mapped.filter((n) => slot % 2 === 0 || n < pages / 2)).toEqual([]);
    }
    expect(k.x.sysAudit()).toBe(0);
  });
});
