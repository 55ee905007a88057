// The page allocator against a plain model, its oracles, and its conservation under real threads.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { OOPS_FREE_ASSIGNED, OOPS_REFCOUNT } from '#src/kernel/abi/oops.js';
import { V_B15, V_PLANT_LOSE_PAGE, V_PLANT_NO_ZERO } from '#src/kernel/abi/variants.js';
import { bootKernel, type TestKernel } from '../harness.js';
import { alloc, bootWithMemory, expectConserved, FOLIO, listOf, NO_PFN, oopsOf } from './page-kit.js';

type Step =
  | { kind: 'alloc'; order: 0 | 9; partition: number }
  | { kind: 'free'; nth: number }
  | { kind: 'freeMany'; nth: number; count: number };

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      kind: fc.constant('alloc' as const),
      order: fc.constant(0 as const),
      partition: fc.integer({ min: -1, max: 2 }),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('alloc' as const),
      order: fc.constant(9 as const),
      partition: fc.integer({ min: -1, max: 2 }),
    }),
  },
  { weight: 6, arbitrary: fc.record({ kind: fc.constant('free' as const), nth: fc.nat() }) },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant('freeMany' as const),
      nth: fc.nat(),
      count: fc.integer({ min: 1, max: 300 }),
    }),
  },
);

/** The reference: a set of free PFNs and the live allocations. */
class Model {
  readonly free = new Set<number>();
  readonly live: { pfn: number; order: 0 | 9 }[] = [];

  add(start: number, end: number): void {
    for (let pfn = start; pfn < end; pfn++) this.free.add(pfn);
  }

  wholeChunks(pfnCount: number): number {
    let chunks = 0;
    for (let first = 0; first < pfnCount; first += FOLIO) {
      let n = 0;
      while (n < FOLIO && this.free.has(first + n)) n++;
      if (n === FOLIO) chunks++;
    }
    return chunks;
  }

  take(pfn: number, order: 0 | 9): void {
    for (let n = 0; n < 1 << order; n++) expect(this.free.delete(pfn + n), `pfn ${pfn + n} was free`).toBe(true);
    this.live.push({ pfn, order });
  }

  give(nth: number): number {
    const [block] = this.live.splice(nth % this.live.length, 1);
    for (let n = 0; n < 1 << block!.order; n++) this.free.add(block!.pfn + n);
    return block!.pfn;
  }
}

/** With task caches (larger hosts) single free pages may keep a 2M region from being whole. */
function runModel(
  steps: readonly Step[],
  pfnCount: number,
  ranges: readonly [number, number][],
  caches: boolean,
): void {
  const k = bootKernel({ pfnCount, partitions: 3, maxTasks: caches ? 2 : 16 });
  const model = new Model();
  for (const [start, end] of ranges) {
    k.x.addMemory(start, end);
    model.add(start, end);
  }
  for (const at of steps) {
    if (at.kind === 'alloc') {
      const before = model.wholeChunks(at.order === 9 ? pfnCount : 0);
      const pfn = alloc(k, at.order, at.partition);
      if (pfn === undefined) {
        if (at.order === 0) expect(model.free.size).toBe(0);
        else if (!caches) expect(before).toBe(0);
        continue;
      }
      if (at.order === 9) expect(pfn % FOLIO).toBe(0);
      model.take(pfn, at.order);
      expect(k.x.pageRefcount(pfn)).toBe(1);
      expect(k.x.pageContent(pfn)).toBe(0);
      expect(k.x.pageContent(pfn + (1 << at.order) - 1)).toBe(0);
      k.x.setPageContent(pfn + (1 << at.order) - 1, 0xdead);
    } else if (model.live.length > 0) {
      const count = at.kind === 'free' ? 1 : Math.min(at.count, model.live.length);
      const pfns = Array.from({ length: count }, (_, n) => model.give(at.nth + n));
      if (at.kind === 'free') k.x.putPage(pfns[0]!);
      else k.x.putPages(listOf(k, pfns), count);
    }
  }
  expect(k.x.freePages() + k.x.cachedPages()).toBe(model.free.size);
  expect(k.x.allocatedPages()).toBe(model.live.reduce((sum, { order }) => sum + (1 << order), 0));
  expectConserved(k, 3);
}

describe('page allocator against a model', () => {
  const ranges = fc.constantFrom<[number, number][]>(
    [[0, 4096]],
    [[3, 4093]],
    [
      [100, 700],
      [1024, 2049],
      [2050, 2051],
      [3000, 4096],
    ],
    [
      [512, 513],
      [513, 1024],
      [1500, 3700],
    ],
  );
  it('hands out every free page once, zeroed, from any partition, and folios only where 512 aligned pages are free', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), ranges, (steps, memory) => runModel(steps, 4096, memory, false)),
      { seed: 11, numRuns: 100 },
    );
  });

  it('keeps the same promises with task caches, whose pages count as free', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), ranges, (steps, memory) => runModel(steps, 4096, memory, true)),
      { seed: 12, numRuns: 100 },
    );
  });

  it('gives out all of an unaligned host page by page and takes all of it back', () => {
    const k = bootKernel({ partitions: 2 });
    k.x.addMemory(5, 4001);
    const pages: number[] = [];
    for (let pfn = alloc(k); pfn !== undefined; pfn = alloc(k)) pages.push(pfn);
    expect(new Set(pages).size).toBe(3996);
    expect(k.x.freePages()).toBe(0);
    k.x.putPages(listOf(k, pages), pages.length);
    expect(k.x.freePages()).toBe(3996);
    expectConserved(k, 2);
    // Every whole region came back to the 2M list.
    let folios = 0;
    while (alloc(k, 9) !== undefined) folios++;
    expect(folios).toBe(6);
  });
});

describe('partitions', () => {
  it('cover contiguous PFN segments, and an allocation stays at home until home is empty', () => {
    const k = bootWithMemory({ partitions: 4 });
    for (let n = 0; n < 1024; n++) expect(k.x.partitionOf(alloc(k, 0, 2)!)).toBe(2);
    expect(k.x.zoneFree(2)).toBe(0);
    expect(k.x.partitionOf(alloc(k, 0, 2)!)).toBe(3);
    expect([0, 1023, 1024, 4095].map((pfn) => k.x.partitionOf(pfn))).toEqual([0, 0, 1, 3]);
  });

  it('a batch free gives each page to its own partition, whatever the order of the list', () => {
    const k = bootWithMemory({ partitions: 4 });
    const pages = Array.from({ length: 200 }, (_, n) => alloc(k, 0, n % 4)!);
    const folio = alloc(k, 9, 1)!;
    k.x.getPage(pages[7]!);
    k.x.putPages(listOf(k, [...pages.toReversed(), folio + 77]), 201);
    expect(k.x.allocatedPages()).toBe(1);
    expectConserved(k, 4);
  });
});

describe('task caches', () => {
  it('a short batch of freed pages stays with the task, pages of another partition go home', () => {
    const k = bootWithMemory({ pfnCount: 8192, maxTasks: 8, partitions: 2 });
    const home = Array.from({ length: 6 }, () => alloc(k, 0, 0)!);
    const away = Array.from({ length: 3 }, () => alloc(k, 0, 1)!);
    const free = k.x.freePages();
    const cached = k.x.cachedPages();
    k.x.putPages(listOf(k, [home[0]!, away[0]!, home[1]!, home[2]!, away[1]!, home[3]!, away[2]!]), 7);
    expect([k.x.freePages() - free, k.x.cachedPages() - cached]).toEqual([3, 4]);
    expect(alloc(k, 0, 0)).toBe(home[3]);
    expectConserved(k, 2);
  });

  it('a cache takes no more than it may hold; the rest of the batch goes to the partition', () => {
    const k = bootWithMemory({ pfnCount: 8192, maxTasks: 8 });
    const pages = Array.from({ length: 64 }, () => alloc(k)!);
    for (let n = 0; n < 64; n += 16) k.x.putPages(listOf(k, pages.slice(n, n + 16)), 16);
    expect(k.x.cachedPages()).toBe(32);
    expect(k.x.freePages()).toBe(8192 - 32);
    expectConserved(k);
  });
});

describe('references', () => {
  it('a page of a folio counts on the head; the last put of any page frees all 512', () => {
    const k = bootWithMemory();
    const head = alloc(k, 9)!;
    k.x.getPage(head + 300);
    expect(k.x.pageRefcount(head + 17)).toBe(2);
    k.x.putPage(head + 511);
    expect(k.x.allocatedPages()).toBe(FOLIO);
    k.x.putPage(head);
    expect(k.x.allocatedPages()).toBe(0);
    expectConserved(k);
  });

  it('a speculative reference fails on a free page', () => {
    const k = bootWithMemory();
    const pfn = alloc(k)!;
    expect(k.x.getPageUnlessZero(pfn)).toBe(1);
    k.x.putPage(pfn);
    k.x.putPage(pfn);
    expect(k.x.getPageUnlessZero(pfn)).toBe(0);
  });

  it('a put without a reference is an oops', () => {
    const k = bootWithMemory();
    const pfn = alloc(k)!;
    k.x.putPage(pfn);
    expect(oopsOf(() => k.x.putPage(pfn))).toBe(OOPS_REFCOUNT);
  });
});

describe('oracles and planted mistakes', () => {
  it('freeing a page that is assigned in the RMP is an oops (oracle 1, B01)', () => {
    const k = bootWithMemory();
    const pfn = alloc(k)!;
    k.setU32(k.x.rmpEntry(pfn) >>> 0, 1);
    expect(oopsOf(() => k.x.putPage(pfn))).toBe(OOPS_FREE_ASSIGNED);
  });

  it('the same holds for any page of a folio', () => {
    const k = bootWithMemory();
    const head = alloc(k, 9)!;
    k.setU32(k.x.rmpEntry(head + 100) >>> 0, 1);
    expect(oopsOf(() => k.x.putPage(head))).toBe(OOPS_FREE_ASSIGNED);
  });

  it('a lost page breaks conservation (planted)', () => {
    const k = bootWithMemory({ variants: [V_PLANT_LOSE_PAGE] });
    k.x.putPage(alloc(k)!);
    expect(k.x.lostPages()).toBe(1);
  });

  it('a page is zeroed for its next owner, unless the variant forgets it', () => {
    for (const variants of [[], [V_PLANT_NO_ZERO]]) {
      const k = bootWithMemory({ variants });
      const pfn = alloc(k)!;
      k.x.setPageContent(pfn, 7);
      k.x.putPage(pfn);
      expect(alloc(k)).toBe(pfn);
      expect(k.x.pageContent(pfn)).toBe(variants.length === 0 ? 0 : 7);
    }
  });
});

describe('the SNP leak list', () => {
  it('takes pages out of circulation for good, each once, also while they are still referenced', () => {
    const k = bootWithMemory();
    const pages = [alloc(k)!, alloc(k)!, alloc(k)!];
    k.x.snpLeakPages(pages[0]!, 2);
    k.x.snpLeakPages(pages[1]!, 1);
    expect(k.x.leakedPages()).toBe(2);
    expect(k.x.snpLeakListLength()).toBe(2);
    k.x.putPages(listOf(k, pages), 3);
    expect(k.x.allocatedPages()).toBe(0);
    expectConserved(k);
    const rest = new Set<number>();
    for (let pfn = alloc(k); pfn !== undefined; pfn = alloc(k)) rest.add(pfn);
    expect(rest.size).toBe(4096 - 2);
  });

  it('keeps one page of a folio and frees the other 511', () => {
    const k = bootWithMemory();
    const head = alloc(k, 9)!;
    k.x.snpLeakPages(head + 5, 1);
    k.x.putPage(head);
    expect(k.x.freePages()).toBe(4095);
    expectConserved(k);
  });

  it('B15: adds one page n times, which corrupts the list and counts it once', () => {
    const k = bootWithMemory({ variants: [V_B15] });
    const head = alloc(k, 9)!;
    k.x.snpLeakPages(head, 4);
    expect(k.x.leakedPages()).toBe(1);
    expect(k.x.snpLeakListLength()).toBe(-1);
  });
});

describe('geometry', () => {
  it('a host of 134.7 M PFNs boots and allocates without touching its tables', () => {
    const before = process.memoryUsage().rss;
    const k = bootKernel({ pfnCount: 134_700_000, partitions: 2, memoryPages: 65536 });
    k.x.addMemory(1, 134_700_000);
    expect(k.x.freePages()).toBe(134_699_999);
    const pages = [0, 1, 0, 1].map((partition) => alloc(k, 9, partition)!);
    for (let n = 0; n < 1000; n++) pages.push(alloc(k, 0, n % 2)!);
    k.x.putPages(listOf(k, pages), pages.length);
    expectConserved(k, 2);
    expect(process.memoryUsage().rss - before).toBeLessThan(64 * 1024 * 1024);
  });
});

describe('real threads', () => {
  interface Job {
    owners: SharedArrayBuffer;
    rounds: number;
  }
  const body = (k: TestKernel, index: number, { owners, rounds }: Job): number => {
    const owner = new Int32Array(owners);
    const held: { pfn: number; pages: number }[] = [];
    const list = k.alloc(64 * 4);
    let clashes = 0;
    const release = (pfn: number, pages: number): void => {
      for (let n = 0; n < pages; n++) if (Atomics.exchange(owner, pfn + n, 0) !== index + 1) clashes++;
    };
    for (let round = 0; round < rounds; round++) {
      const draw = k.x.randomU32() >>> 0;
      if (held.length < 100 && draw % 4 < 2) {
        const order = draw % 64 === 0 ? 9 : 0;
        const pfn = k.x.allocPages(order, ((draw >>> 8) % 3) - 1) >>> 0;
        if (pfn === 0xffffffff) continue;
        const pages = 1 << order;
        for (let n = 0; n < pages; n++) if (Atomics.exchange(owner, pfn + n, index + 1) !== 0) clashes++;
        held.push({ pfn, pages });
      } else if (draw % 4 === 2 && held.length > 0) {
        const { pfn, pages } = held.splice((draw >>> 8) % held.length, 1)[0]!;
        release(pfn, pages);
        k.x.putPage(pfn);
      } else if (draw % 32 === 3) {
        const batch = held.splice(0, 64);
        batch.forEach(({ pfn, pages }, n) => {
          release(pfn, pages);
          k.setU32(list + n * 4, pfn);
        });
        k.x.putPages(list, batch.length);
      }
    }
    for (const { pfn, pages } of held) {
      release(pfn, pages);
      k.x.putPage(pfn);
    }
    return clashes;
  };

  it.each([
    ['without task caches', 4096, 16],
    ['with task caches', 8192, 8],
  ])('no page has two owners and none is lost, %s', async (_, pfnCount, maxTasks) => {
    const k = bootWithMemory({ pfnCount, maxTasks, partitions: 2, perturbMeanPoints: 200, perturbNs: 5000 });
    const owners = new SharedArrayBuffer(pfnCount * 4);
    const clashes = await k.threads(4, body, { owners, rounds: 4000 });
    expect(clashes).toEqual([0, 0, 0, 0]);
    expect(k.x.allocatedPages()).toBe(0);
    expect(k.x.freePages() + k.x.cachedPages()).toBe(pfnCount);
    expectConserved(k, 2);
  });

  it('pages freed by one thread for another are conserved too', async () => {
    const k = bootWithMemory({ partitions: 2 });
    const mailbox = new SharedArrayBuffer(4 * 256);
    const pass = (kernel: TestKernel, index: number, shared: SharedArrayBuffer): number => {
      const box = new Int32Array(shared);
      let moved = 0;
      for (let n = 0; n < 6000; n++) {
        const pfn = kernel.x.allocPages(0, index & 1) >>> 0;
        if (pfn === 0xffffffff) continue;
        const other = Atomics.exchange(box, (n * 7 + index) & 255, pfn + 1);
        if (other === 0) continue;
        moved++;
        kernel.x.putPage(other - 1);
      }
      return moved;
    };
    const moved = await k.threads(3, pass, mailbox);
    expect(Math.min(...moved)).toBeGreaterThan(0);
    const left = [...new Int32Array(mailbox)].filter((pfn) => pfn !== 0);
    expect(k.x.allocatedPages()).toBe(left.length);
    for (const pfn of left) k.x.putPage(pfn - 1);
    expect(k.x.allocatedPages()).toBe(0);
    expectConserved(k, 2);
    expect(alloc(k)).not.toBe(NO_PFN);
  });
});
