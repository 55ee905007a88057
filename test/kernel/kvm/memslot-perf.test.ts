// memslot_perf_test's loops over host memory: a guest on its own thread writes to one half of an area while the host takes the other one away. Host and guest
// meet after each half. kernel: tools/testing/selftests/kvm/memslot_perf_test.c (6.8); its loops that move a memslot: selftests.test.ts.
import { describe, expect, it } from 'vitest';
import { VCPU_VALUE } from '#src/kernel/abi/vcpu.js';
import { MEETING_SIZE, type TestKernel } from '../harness.js';
import { BASE, bootGuestKernel, WRITE } from './guest.js';
import { HVA, newVm, PAGE, setRegion } from './support.js';

const VAL_1 = 0x1122_3344;
const VAL_2 = 0x99aa_bbcc;
/** What the host has in a page that the guest does not use. */
const FILLER = 7;

interface Area {
  k: TestKernel;
  kvm: number;
  pages: number;
  /** What a thread gets. */
  arg: ReturnType<typeof argOf>;
}

const argOf = (k: TestKernel, kvm: number, pages: number, rounds: number) => ({
  vcpu: k.x.vcpuCreate(kvm) >>> 0,
  base: BASE,
  pages,
  half: pages / 2,
  rounds,
  meeting: k.alloc(MEETING_SIZE),
  write: WRITE,
  value: VCPU_VALUE,
  VAL_1,
  VAL_2,
});

/** Shared memory, split over memslots of as many pages each; the last one has the rest, too. */
function newArea(pages: number, memslots: number, rounds: number): Area {
  const k = bootGuestKernel({ perturbMeanPoints: 30, perturbNs: 4000 });
  const kvm = newVm(k);
  const each = Math.floor(pages / memslots);
  for (let id = 0; id < memslots; id++) {
    const offset = BigInt(id * each) * PAGE;
    const size = BigInt(id === memslots - 1 ? pages - id * each : each) * PAGE;
    expect(setRegion(k, kvm, { id, gpa: BigInt(BASE) * PAGE + offset, size, hva: HVA + offset })).toBe(0);
  }
  return { k, kvm, pages, arg: argOf(k, kvm, pages, rounds) };
}

const hva = (page: number): bigint => HVA + BigInt(page) * PAGE;
const hostRead = ({ k, kvm }: Area, page: number): number => k.x.hostReadUser(kvm, hva(page)) >>> 0;
const hostWrite = ({ k, kvm }: Area, page: number, value: number): void =>
  expect(k.x.hostWriteUser(kvm, hva(page), value)).toBe(0);
/** madvise(MADV_DONTNEED): the pages that it freed. */
const discard = ({ k, kvm }: Area, first: number, count: number): number =>
  k.x.kvmDiscardShared(kvm, hva(first), hva(first + count));

/** Pages of [first, first + count) that do not hold the value. */
function others(area: Area, first: number, count: number, value: number, stride = 1): number[] {
  const wrong: number[] = [];
  for (let page = first; page < first + count; page += stride) if (hostRead(area, page) !== value) wrong.push(page);
  return wrong;
}

/** Pages of [first, first + count) that the guest's page tables map. */
function mapped({ k, kvm }: Area, first: number, count: number): number[] {
  const pages = Array.from({ length: count }, (_, n) => first + n);
  return pages.filter((page) => (k.x.tdpLookup(kvm, BigInt(BASE + page)) & 1n) !== 0n);
}

async function meet({ k, arg }: Area, run: Promise<unknown>): Promise<void> {
  await k.arrived(arg.meeting, 1, run);
  k.goOn(arg.meeting);
}

describe.each([1, 3])('memslot_perf_test, %i memslots', (memslots) => {
  it('map: what the guest has written in one half is there when the other one has been taken away', async () => {
    const area = newArea(130, memslots, 12);
    const { half, rounds } = area.arg;
    const run = area.k.threads(
      1,
      (kernel, _, a) => {
        let failed = 0;
        for (let n = 0; n < 2 * a.rounds; n++) {
          const [first, value] = n % 2 === 0 ? [0, a.VAL_1] : [a.half, a.VAL_2];
          for (let page = first; page < first + a.half; page++)
            if (kernel.x.vcpuAccess(a.vcpu, BigInt(a.base + page), a.write, value) !== 0) failed++;
          kernel.arrive(a.meeting);
        }
        return failed;
      },
      area.arg,
    );
    for (let round = 0; round < rounds; round++) {
      expect(discard(area, half, half)).toBe(round === 0 ? 0 : half);
      expect(mapped(area, half, half)).toEqual([]);
      await meet(area, run);
      expect(others(area, 0, half, VAL_1)).toEqual([]);
      expect(discard(area, 0, half)).toBe(half);
      expect(mapped(area, 0, half)).toEqual([]);
      await meet(area, run);
      expect(others(area, half, half, VAL_2)).toEqual([]);
    }
    expect(await run).toEqual([0]);
    expect(area.k.x.sysAudit()).toBe(0);
  });

  it.each([
    ['unmap: page by page', 128, 1],
    ['unmap chunked: 2M at a time', 2048, 512],
  ])('%s, every page goes once, and the guest finds zeroes afterwards', async (_, pages, chunk) => {
    const area = newArea(pages, memslots, 6);
    const { half, rounds } = area.arg;
    const run = area.k.threads(
      1,
      (kernel, __, a) => {
        const found: number[] = [];
        for (let n = 0; n < 2 * a.rounds; n++) {
          const [page, value] = n % 2 === 0 ? [0, a.VAL_1] : [a.half, a.VAL_2];
          const gfn = BigInt(a.base + page);
          const read = kernel.x.vcpuAccess(a.vcpu, gfn, 0, 0);
          found.push(read === 0 ? kernel.u32(a.vcpu + a.value) : read);
          found.push(kernel.x.vcpuAccess(a.vcpu, gfn, a.write, value));
          kernel.arrive(a.meeting);
        }
        return found.filter((value) => value !== 0);
      },
      area.arg,
    );
    /** Takes the half away, whose first page the guest has written, while the guest is at work in the other one. */
    const unmap = (first: number, value: number): void => {
      expect(hostRead(area, first)).toBe(value);
      for (let page = first + 1; page < first + half; page++) hostWrite(area, page, FILLER);
      for (let page = first; page < first + half; page += chunk) expect(discard(area, page, chunk)).toBe(chunk);
      expect(mapped(area, first, half)).toEqual([]);
    };
    for (let round = 0; round < rounds; round++) {
      await meet(area, run);
      unmap(0, VAL_1);
      await meet(area, run);
      unmap(half, VAL_2);
    }
    expect(await run).toEqual([[]]);
    expect(area.k.x.sysAudit()).toBe(0);
    expect(area.k.x.allocatedPages()).toBe(0);
  });

  // A page of the model has one word: what upstream has in two of them is in even pages and in odd ones here.
  it('RW: each word that one side has written is what the other one reads, also the zero that it puts there', async () => {
    const area = newArea(130, memslots, 12);
    const { pages, rounds } = area.arg;
    const run = area.k.threads(
      1,
      (kernel, _, a) => {
        let wrong = 0;
        const write = (page: number, value: number): void => {
          if (kernel.x.vcpuAccess(a.vcpu, BigInt(a.base + page), a.write, value) !== 0) wrong++;
        };
        const check = (page: number, value: number): void => {
          if (kernel.x.vcpuAccess(a.vcpu, BigInt(a.base + page), 0, 0) !== 0) wrong++;
          if (kernel.u32(a.vcpu + a.value) !== value) wrong++;
        };
        for (let round = 0; round < a.rounds; round++) {
          for (let page = 0; page < a.pages; page += 2) {
            check(page, 0);
            write(page, a.VAL_1);
          }
          kernel.arrive(a.meeting);
          for (let page = 1; page < a.pages; page += 2) {
            check(page, a.VAL_2);
            write(page, 0);
          }
          kernel.arrive(a.meeting);
        }
        return wrong;
      },
      area.arg,
    );
    for (let round = 0; round < rounds; round++) {
      expect(others(area, 1, pages - 1, 0, 2)).toEqual([]);
      for (let page = 1; page < pages; page += 2) hostWrite(area, page, VAL_2);
      await meet(area, run);
      expect(others(area, 0, pages, VAL_1, 2)).toEqual([]);
      for (let page = 0; page < pages; page += 2) hostWrite(area, page, 0);
      await meet(area, run);
    }
    expect(await run).toEqual([0]);
    expect(area.k.x.sysAudit()).toBe(0);
  });
});
