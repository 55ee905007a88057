// Fan-out: one begin, the hook's and the freeing's chunks on the home workers in parallel, one end.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { readViolations } from '#src/host/oops.js';
import {
  KC_BEGINS,
  KC_ENDS,
  KC_RM_BEGINS,
  KVM_COUNTERS,
  KVM_HOOK,
  KVM_ID,
  KVM_MEM_PRIVATE,
  KVM_MEMORY_ATTRIBUTE_PRIVATE,
} from '#src/kernel/abi/kvm.js';
import { HOOK_USER, NO_PFN, SH_STOP, STOP_REQUESTED, TASK_HEARTBEAT, TASK_PAUSE_NS } from '#src/kernel/abi/layout.js';
import { PB_PAUSE_EVERY_NS, PB_PAUSE_LEAST_NS, PB_PAUSE_MOST_NS, PB_TROUBLE } from '#src/kernel/abi/perturb.js';
import { FILE_F_MAPPING, MAPPING_PRIVATE_DATA, RM_MEMFD } from '#src/kernel/abi/mm.js';
import { bootHost, createGuest, PAGE, touch } from '../../oracle/guest.js';
import type { TestKernel } from '../harness.js';

const PAGES = 20_480;

/** Starts two home workers, of the partitions given. */
async function serve(k: TestKernel, partitions: readonly number[] = [0, 1]): Promise<() => Promise<number[]>> {
  const homes = k.threads(2, (kernel, index, arg) => kernel.x.homeWorkerLoop(arg.partitions[index]!), { partitions });
  while (k.x.homeWorkerCount() < 2) await new Promise((resolve) => setTimeout(resolve, 5));
  return async () => {
    k.setU32(SH_STOP, STOP_REQUESTED);
    const jobs = await homes;
    k.setU32(SH_STOP, 0);
    return jobs;
  };
}

/** Touches every page, punches [start, end) with two home workers serving, `rounds` times, and returns what was seen of the last. */
async function punchAll(
  start = 0,
  end = PAGES,
  rounds = 1,
): Promise<{
  jobs: number[];
  begins: number;
  ends: number;
  left: number;
  kept: boolean[]; // whether the pages round both ends are still in the file
  violations: unknown[];
}> {
  const k = bootHost({ pfnCount: 65536, memoryPages: 2048 });
  k.x.addMemory(8192, 65536);
  const guest = createGuest(k, PAGES, 1);
  const fill = (): void => {
    for (let gfn = 0; gfn < PAGES; gfn++) touch(guest, gfn);
  };
  const punch = (): number => k.x.sysPunchHoleFanout(guest.file, start * PAGE, (end - start) * PAGE);
  const stop = await serve(k);
  const counter = (n: number): number => k.u32(guest.vm + KVM_COUNTERS + n * 4);
  for (let round = 1; round < rounds; round++) {
    fill();
    expect(punch()).toBe(0);
  }
  fill();
  const begins = counter(KC_BEGINS);
  const ends = counter(KC_ENDS);
  expect(punch()).toBe(0);
  const seen = {
    begins: counter(KC_BEGINS) - begins,
    ends: counter(KC_ENDS) - ends,
    left: k.x.sysFilePages(guest.file),
    kept: [0, start - 1, start, end - 1, end, PAGES - 1].map((gfn) => gfn >= 0 && k.x.sysGfnToPfn(guest.vm, gfn) >= 0),
  };
  const jobs = await stop();
  k.x.sysAudit();
  return { ...seen, jobs, violations: readViolations(k.buffer) };
}

describe('a hole punch that is fanned out', () => {
  it('frees every page with one begin and one end, by the work of the home workers', async () => {
    const rounds = 10;
    // The caller stands in for one of them; one that comes late finds the job done, which on a busy machine may be each time.
    let most = 0;
    for (let more = 30; more > 0 && most === 0; more--) {
      const { jobs, begins, ends, left, violations } = await punchAll(0, PAGES, rounds);
      expect({ begins, ends, left, violations }).toEqual({ begins: 1, ends: 1, left: 0, violations: [] });
      for (const served of jobs) expect(served).toBeLessThanOrEqual(rounds);
      most = Math.max(...jobs);
    }
    expect(most).toBeGreaterThan(0);
  });

  it('has home workers stand by from its announcement on while its caller gets on, and no longer', async () => {
    const k = bootHost({ pfnCount: 65536, memoryPages: 2048 });
    const stop = await serve(k);
    const heartbeat = k.x.taskAddress(k.x.currentId()) + TASK_HEARTBEAT;
    // Who looks while this thread has no CPU sees nothing get on, and leaves: then once more.
    let most = 0;
    for (let round = 0; round < 20_000 && most === 0; round++) {
      await new Promise((resolve) => setTimeout(resolve, 1));
      k.x.fanoutAnnounce();
      for (let n = 0; n < 20_000 && most === 0; n++) {
        k.setU32(heartbeat, n);
        most = k.x.homeWorkersReady();
      }
    }
    expect(most).toBeGreaterThan(0);
    for (let n = 0; n < 5000 && k.x.homeWorkersReady() !== 0; n++)
      await new Promise((resolve) => setTimeout(resolve, 5));
    expect(k.x.homeWorkersReady()).toBe(0);
    k.x.fanoutOver();
    await stop();
  });

  it('takes exactly the range: the pages around it stay', async () => {
    const seen = await punchAll(37, PAGES - 601);
    expect({ left: seen.left, violations: seen.violations }).toEqual({ left: 638, violations: [] });
    expect(seen.kept).toEqual([true, true, false, false, true, true]);
  });

  it('calls the hook of every guest in the range: SNP’s for the pieces, a user’s for all of it', async () => {
    const calls: number[][] = [];
    const k = bootHost(
      { pfnCount: 65536, memoryPages: 2048 },
      { userHook: (...args: number[]) => void calls.push(args) },
    );
    k.x.addMemory(8192, 65536);
    const file = k.x.sysCreateFile(1, 0, 0) >>> 0;
    k.x.sysFileSetSize(file, 20_000 * PAGE);
    // Neither begins at a multiple of 2M, in the file or in the guest; pages of no guest lie between and around them.
    const slots = [
      { snp: 1, gfn: 3, index: 100, pages: 9000 },
      { snp: 1, gfn: 5000, index: 9100, pages: 300 },
      { snp: 0, gfn: 77, index: 11_000, pages: 8000 },
    ];
    const guests = slots.map(({ snp, gfn, index, pages }) => {
      const vm = k.x.sysCreateVm(snp, 0, 0) >>> 0;
      if (snp === 0) k.setU32(vm + KVM_HOOK, HOOK_USER);
      expect(
        k.x.sysSetMemslot(vm, 0, 4, KVM_MEM_PRIVATE, gfn * PAGE, pages * PAGE, 0x7f0000000000, file, index * PAGE),
      ).toBe(0);
      k.x.sysSetMemoryAttributes(vm, gfn, pages, KVM_MEMORY_ATTRIBUTE_PRIVATE);
      const vcpu = k.x.sysCreateVcpu(vm) >>> 0;
      for (let n = 0; n < pages; n++) touch({ k, file, vm, vcpu, pages }, gfn + n);
      return vm;
    });
    k.x.sysFileFallocate(file, 1, 19_500 * PAGE, 500 * PAGE);
    const stop = await serve(k);
    expect(k.x.sysPunchHoleFanout(file, 0, 20_000 * PAGE)).toBe(0);
    await stop();
    k.x.sysAudit();
    // A binding that is several entries of the XArray is told several times.
    const begins = k.u32(guests[2]! + KVM_COUNTERS + KC_RM_BEGINS * 4);
    expect(calls).toEqual(Array.from({ length: begins }, () => [k.u32(guests[2]! + KVM_ID), 4, 77, 8077]));
    expect({ left: k.x.sysFilePages(file), violations: readViolations(k.buffer) }).toEqual({ left: 0, violations: [] });
  });

  it('is done by the caller alone when no home worker serves', () => {
    const k = bootHost({ pfnCount: 32768 });
    k.x.addMemory(8192, 32768);
    const guest = createGuest(k, PAGES, 1);
    for (let gfn = 0; gfn < PAGES; gfn += 8) touch(guest, gfn);
    expect(k.x.sysPunchHoleFanout(guest.file, 0, PAGES * PAGE)).toBe(0);
    expect(k.x.sysFilePages(guest.file)).toBe(0);
    k.x.sysAudit();
    expect(readViolations(k.buffer)).toEqual([]);
  });

  it('goes from page to page of a range that is far larger than the file', async () => {
    const k = bootHost({ pfnCount: 65536, memoryPages: 2048 });
    k.x.addMemory(8192, 65536);
    const file = k.x.sysCreateFile(1, 0, 0) >>> 0;
    for (const start of [5, 40_000, 2 ** 34]) k.x.sysFileFallocate(file, 1, start * PAGE, 5000 * PAGE);
    expect(k.x.sysFilePages(file)).toBe(15_000);
    const stop = await serve(k);
    expect(k.x.sysPunchHoleFanout(file, 6 * PAGE, 2 ** 50)).toBe(0);
    await stop();
    expect(heldPages(k, file, 50_000)).toEqual([5]);
    expect(k.x.sysFilePages(file)).toBe(1);
  });

  it('leaves no chunk undone by home workers of high partitions', async () => {
    const k = bootHost({ pfnCount: 65536, memoryPages: 4096, partitions: 64 });
    k.x.addMemory(8192, 65536);
    const guest = createGuest(k, PAGES, 1);
    for (let gfn = 0; gfn < PAGES; gfn++) touch(guest, gfn);
    const stop = await serve(k, [1, 33]);
    expect(k.x.sysPunchHoleFanout(guest.file, 0, PAGES * PAGE)).toBe(0);
    await stop();
    k.x.sysAudit();
    expect({ left: k.x.sysFilePages(guest.file), violations: readViolations(k.buffer) }).toEqual({
      left: 0,
      violations: [],
    });
  });

  it('leaves what the same punch by one task leaves, whatever the file holds: pages, 2M folios, holes', async () => {
    const pages = 6 * 4096;
    const k = bootHost({ pfnCount: 131072, memoryPages: 4096 });
    k.x.addMemory(8192, 131072);
    const stop = await serve(k);
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat(pages - 1), fc.integer({ min: 1, max: 3000 })), { maxLength: 12 }),
        fc.nat(pages - 16_384),
        fc.nat(pages),
        fc.nat(1),
        (filled, start, more, huge) => {
          const end = Math.min(pages, start + 16_384 + more);
          const left = [true, false].map((fanout) => {
            const file = k.x.sysCreateFile(1, 0, huge) >>> 0;
            k.x.sysFileSetSize(file, pages * PAGE);
            for (const [at, count] of filled)
              k.x.sysFileFallocate(file, 0, at * PAGE, Math.min(count, pages - at) * PAGE);
            if (fanout) expect(k.x.sysPunchHoleFanout(file, start * PAGE, (end - start) * PAGE)).toBe(0);
            else expect(k.x.sysFileFallocate(file, 3, start * PAGE, (end - start) * PAGE)).toBe(0);
            const seen = { pages: k.x.sysFilePages(file), held: heldPages(k, file, pages) };
            k.x.sysFilePut(file);
            return seen;
          });
          expect(left[0]).toEqual(left[1]);
        },
      ),
      { numRuns: 40 },
    );
    await stop();
    k.x.sysAudit();
    expect(readViolations(k.buffer)).toEqual([]);
  });

  it('hands nobody a page that is another one meanwhile: who finds a page at an offset finds what was written there', async () => {
    // Who looks pauses at every few points, for as long as a punch takes; the others run.
    const k = bootHost({ pfnCount: 65536, memoryPages: 4096, perturbMeanPoints: 4, perturbNs: 0 });
    k.x.addMemory(8192, 40960);
    const bytes = new DataView(k.buffer);
    bytes.setUint32(PB_TROUBLE, 1, true);
    bytes.setFloat64(PB_PAUSE_EVERY_NS, 1, true);
    bytes.setFloat64(PB_PAUSE_LEAST_NS, 50_000, true);
    bytes.setFloat64(PB_PAUSE_MOST_NS, 1_000_000, true);
    const file = k.x.sysCreateFile(1, 0, 0) >>> 0;
    k.x.sysFileSetSize(file, PAGES * PAGE);
    const words = new Int32Array(new SharedArrayBuffer(8)); // 1: the punches are done; pages found
    const stop = await serve(k);
    const users = k.threads(
      2,
      (kernel, index, arg) => {
        const [done, seen] = [0, 1];
        const out = kernel.alloc(8);
        const pauseNs = kernel.x.taskAddress(kernel.x.currentId()) + arg.pause;
        if (index === 1) new DataView(kernel.buffer).setFloat64(pauseNs, 1, true);
        let wrong = 0;
        while (Atomics.load(arg.words, done) === 0) {
          const offset = (kernel.x.randomU32() >>> 0) % 200;
          if (index === 0) {
            if (kernel.x.shmemGetFolio(arg.memfd, BigInt(offset), out, 0, 3) !== 0) continue;
            kernel.x.setPageContent(kernel.u32(out), offset + 1);
            kernel.x.putPage(kernel.u32(out));
          } else {
            const pfn = kernel.x.shmemFindPage(arg.memfd, BigInt(offset)) >>> 0;
            if (pfn === 0xffffffff) continue;
            const content = kernel.x.pageContent(pfn) >>> 0;
            Atomics.add(arg.words, seen, 1);
            if (content !== 0 && content !== offset + 1) wrong++;
            kernel.x.putPage(pfn);
          }
        }
        return wrong;
      },
      { memfd: memfdOf(k, file), words, pause: TASK_PAUSE_NS },
    );
    let error = 0;
    while (error === 0 && Atomics.load(words, 1) < 1500) {
      error = k.x.sysPunchHoleFanout(file, 0, PAGES * PAGE);
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    Atomics.store(words, 0, 1);
    expect({ error, wrong: await users }).toEqual({ error: 0, wrong: [0, 0] });
    await stop();
    expect(k.x.sysPunchHoleFanout(file, 0, PAGES * PAGE)).toBe(0);
    k.x.sysAudit();
    expect({ left: k.x.sysFilePages(file), violations: readViolations(k.buffer) }).toEqual({ left: 0, violations: [] });
  });
});

/** The hidden shmem file behind a restrictedmem file. */
const memfdOf = (k: TestKernel, file: number): number =>
  k.u32(k.u32(k.u32(file + FILE_F_MAPPING) + MAPPING_PRIVATE_DATA) + RM_MEMFD);

/** Page offsets that the file holds a page at. */
function heldPages(k: TestKernel, file: number, pages: number): number[] {
  const memfd = memfdOf(k, file);
  const held: number[] = [];
  for (let index = 0; index < pages; index++) {
    const pfn = k.x.shmemFindPage(memfd, BigInt(index)) >>> 0;
    if (pfn === NO_PFN) continue;
    k.x.putPage(pfn);
    held.push(index);
  }
  return held;
}
