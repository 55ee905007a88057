// Fan-out: one begin, the hook's and the freeing's chunks on the home workers in parallel, one end.
import { describe, expect, it } from 'vitest';
import { readViolations } from '#src/host/oops.js';
import { KC_BEGINS, KC_ENDS, KVM_COUNTERS } from '#src/kernel/abi/kvm.js';
import { SH_STOP, STOP_REQUESTED } from '#src/kernel/abi/layout.js';
import { bootHost, createGuest, PAGE, touch } from '../../oracle/guest.js';

const PAGES = 16384;

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
  const homes = k.threads(2, (kernel, index) => kernel.x.homeWorkerLoop(index), 0);
  while (k.x.homeWorkerCount() < 2) await new Promise((resolve) => setTimeout(resolve, 5));
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
  k.setU32(SH_STOP, STOP_REQUESTED);
  const jobs = await homes;
  k.setU32(SH_STOP, 0);
  k.x.sysAudit();
  return { ...seen, jobs, violations: readViolations(k.buffer) };
}

describe('a hole punch that is fanned out', () => {
  it('frees every page with one begin and one end, by the work of both home workers', async () => {
    const rounds = 30;
    const { jobs, begins, ends, left, violations } = await punchAll(0, PAGES, rounds);
    expect({ begins, ends, left, violations }).toEqual({ begins: 1, ends: 1, left: 0, violations: [] });
    // One job for the hook, one for the freeing; a home that comes late for one finds it done.
    for (const served of jobs) {
      expect(served).toBeGreaterThan(0);
      expect(served).toBeLessThanOrEqual(2 * rounds);
    }
  });

  it('takes exactly the range: the pages around it stay', async () => {
    const seen = await punchAll(37, PAGES - 601);
    expect({ left: seen.left, violations: seen.violations }).toEqual({ left: 638, violations: [] });
    expect(seen.kept).toEqual([true, true, false, false, true, true]);
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
});
