// The hidden shmem file: look-up, allocation, truncation with 2M folios, fallocate; against a plain model and under real threads.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { EFBIG, EINVAL, ENOENT, ENOMEM, ENOSPC, EOPNOTSUPP } from '#src/kernel/abi/errno.js';
import * as mm from '#src/kernel/abi/mm.js';
import type { TestKernel } from '../harness.js';
import { bootWithMemory, expectConserved, FOLIO, NO_PFN } from './page-kit.js';

interface File {
  k: TestKernel;
  f: number;
  get(index: number | bigint, flags?: number): { ret: number; pfn: number; order: number };
  /** The page at index without allocating; undefined for a hole. The reference is dropped at once. */
  find(index: number): number | undefined;
}

function open(
  k: TestKernel,
  pages: number,
  policy: { home?: number; interleave?: boolean; huge?: boolean } = {},
): File {
  const f = k.x.shmemFileSetup() >>> 0;
  k.x.shmemSetPolicy(f, policy.home ?? -1, policy.interleave === true ? 1 : 0, policy.huge === true ? 1 : 0);
  expect(k.x.shmemSetSize(f, BigInt(pages) * 4096n)).toBe(0);
  const out = k.alloc(8);
  return {
    k,
    f,
    get(index, flags = mm.SGP_WRITE) {
      const ret = k.x.shmemGetFolio(f, BigInt(index), out, out + 4, flags);
      const pfn = k.u32(out);
      if (ret === 0 && pfn !== NO_PFN) k.x.putPage(pfn);
      return { ret, pfn, order: k.u32(out + 4) };
    },
    find(index) {
      const pfn = k.x.shmemFindPage(f, BigInt(index)) >>> 0;
      if (pfn === NO_PFN) return undefined;
      k.x.putPage(pfn);
      return pfn;
    },
  };
}

describe('shmemGetFolio', () => {
  it('SGP_WRITE fills a hole with a zeroed page and finds it again', () => {
    const { k, f, get, find } = open(bootWithMemory(), 16);
    const { ret, pfn, order } = get(3);
    expect([ret, order]).toEqual([0, 0]);
    expect(k.x.pageContent(pfn)).toBe(0);
    expect(k.x.pageRefcount(pfn)).toBe(1);
    expect(get(3).pfn).toBe(pfn);
    expect(find(3)).toBe(pfn);
    expect(find(4)).toBeUndefined();
    expect(k.x.shmemPages(f)).toBe(1n);
  });

  it('SGP_READ sees a hole as no page, SGP_NOALLOC as -ENOENT, and neither allocates', () => {
    const { k, f, get } = open(bootWithMemory(), 16);
    expect(get(3, mm.SGP_READ)).toMatchObject({ ret: 0, pfn: NO_PFN });
    expect(get(3, mm.SGP_NOALLOC).ret).toBe(-ENOENT);
    expect(k.x.shmemPages(f)).toBe(0n);
  });

  it('behind i_size reads and SGP_CACHE fail with -EINVAL, SGP_WRITE allocates, as in Linux', () => {
    const { get } = open(bootWithMemory(), 16);
    for (const flags of [mm.SGP_READ, mm.SGP_NOALLOC, mm.SGP_CACHE]) expect(get(16, flags).ret).toBe(-EINVAL);
    expect(get(16).ret).toBe(0);
  });

  it('an offset that no file can have is -EFBIG, no memory is -ENOMEM', () => {
    const { get } = open(bootWithMemory({ pfnCount: 16 }), 100);
    expect(get(1n << 51n).ret).toBe(-EFBIG);
    for (let index = 0; index < 16; index++) expect(get(index).ret).toBe(0);
    expect(get(16).ret).toBe(-ENOMEM);
    expect(get(3).ret).toBe(0);
  });

  it('interleaving puts 2M chunks round the partitions, a home keeps all pages', () => {
    const k = bootWithMemory({ pfnCount: 8192, partitions: 4, maxTasks: 64 });
    const spread = open(k, 4096, { interleave: true, home: 1 });
    const home = open(k, 4096, { home: 2 });
    for (const chunk of [0, 1, 2, 3, 4]) {
      expect(k.x.partitionOf(spread.get(chunk * FOLIO + 9).pfn)).toBe((chunk + 1) % 4);
      expect(k.x.partitionOf(home.get(chunk * FOLIO).pfn)).toBe(2);
    }
  });
});

describe('2M folios', () => {
  it('fill an empty aligned chunk inside i_size; the order is 9 for every page of it', () => {
    const { k, f, get } = open(bootWithMemory(), 1024, { huge: true });
    const { pfn, order } = get(700);
    expect(order).toBe(9);
    expect(pfn % FOLIO).toBe(700 - FOLIO);
    expect(get(FOLIO)).toMatchObject({ pfn: pfn - (700 - FOLIO), order: 9 });
    expect(k.x.shmemPages(f)).toBe(512n);
  });

  it('give way to single pages where the chunk crosses i_size, has a page already, or memory is fragmented', () => {
    const { get } = open(bootWithMemory(), 700, { huge: true });
    expect(get(600).order).toBe(0);
    const small = open(bootWithMemory({ pfnCount: 500 }), 1024, { huge: true });
    expect(small.get(0).order).toBe(0);
  });

  it('a hole in the middle splits the folio: the rest keeps its pages and content', () => {
    const { k, f, get, find } = open(bootWithMemory(), 1024, { huge: true });
    const head = get(0).pfn;
    for (const n of [0, 99, 100, 199, 200, 511]) k.x.setPageContent(head + n, 1000 + n);
    k.x.shmemTruncateRange(f, 100n, 200n);
    expect([0, 99, 200, 511].map((n) => find(n))).toEqual([0, 99, 200, 511].map((n) => head + n));
    expect([100, 199].map((n) => find(n))).toEqual([undefined, undefined]);
    expect([0, 99, 200, 511].map((n) => k.x.pageContent(head + n))).toEqual([1000, 1099, 1200, 1511]);
    expect(get(0).order).toBe(0);
    expect(k.x.shmemPages(f)).toBe(412n);
    expect(k.x.allocatedPages()).toBe(412);
    expectConserved(k);
  });

  it('whole leafs of the tree go at once, and what lies beside the range stays', () => {
    fc.assert(
      fc.property(
        fc.uniqueArray(fc.integer({ min: 0, max: 1199 }), { minLength: 1, maxLength: 700 }),
        fc.array(fc.tuple(fc.integer({ min: 0, max: 1200 }), fc.integer({ min: 0, max: 1200 })), { maxLength: 4 }),
        (filled, cuts) => {
          const { k, f, get, find } = open(bootWithMemory(), 1200);
          for (const index of filled) get(index);
          const left = new Set(filled);
          for (const [start, length] of cuts) {
            k.x.shmemTruncateRange(f, BigInt(start), BigInt(start + length));
            for (let index = start; index < start + length; index++) left.delete(index);
            expect(k.x.shmemPages(f)).toBe(BigInt(left.size));
            expect(k.x.allocatedPages()).toBe(left.size);
          }
          for (let index = 0; index < 1200; index++) expect(find(index) !== undefined).toBe(left.has(index));
          expectConserved(k);
        },
      ),
      { numRuns: 30 },
    );
  });

  it('a folio in use cannot be split: its part of the hole reads as zeroes and stays in the file', () => {
    const { k, f, get, find } = open(bootWithMemory(), 1024, { huge: true });
    const head = get(0).pfn;
    k.x.setPageContent(head + 150, 7);
    k.x.setPageContent(head + 250, 8);
    expect(k.x.getPageUnlessZero(head)).toBe(1);
    k.x.shmemTruncateRange(f, 100n, 200n);
    expect(find(150)).toBe(head + 150);
    expect(k.x.pageContent(head + 150)).toBe(0);
    expect(k.x.pageContent(head + 250)).toBe(8);
    k.x.putPage(head);
    k.x.shmemTruncateRange(f, 0n, 1024n);
    expect(k.x.allocatedPages()).toBe(0);
    expectConserved(k);
  });
});

describe('fallocate', () => {
  it('grows the file unless KEEP_SIZE, and may allocate behind i_size (guest_memfd would refuse)', () => {
    const { k, f } = open(bootWithMemory(), 4);
    expect(k.x.shmemFallocate(f, mm.FALLOC_FL_KEEP_SIZE, 16384n, 4096n)).toBe(0);
    expect([k.x.shmemSize(f), k.x.shmemPages(f)]).toEqual([16384n, 1n]);
    expect(k.x.shmemFallocate(f, 0, 0n, 32768n)).toBe(0);
    expect([k.x.shmemSize(f), k.x.shmemPages(f)]).toEqual([32768n, 8n]);
  });

  it.each([
    [0, -1n, 4096n, -EINVAL],
    [0, 0n, 0n, -EINVAL],
    [4, 0n, 4096n, -EOPNOTSUPP],
    [mm.FALLOC_FL_PUNCH_HOLE, 0n, 4096n, -EOPNOTSUPP],
    [0, 1n << 62n, 1n << 62n, -EFBIG],
    [0, 0n, 4096n * 4097n, -ENOSPC],
  ])('mode %i offset %i length %i returns %i', (mode, offset, length, expected) => {
    const { k, f } = open(bootWithMemory(), 4);
    expect(k.x.shmemFallocate(f, mode, offset, length)).toBe(expected);
    expect(k.x.shmemPages(f)).toBe(0n);
  });

  it('without memory for all it undoes its own pages, not those in use before', () => {
    const { k, f, get, find } = open(bootWithMemory({ pfnCount: 600 }), 4096);
    const other = open(k, 200);
    for (let index = 0; index < 100; index++) other.get(index);
    const kept = get(5).pfn;
    expect(k.x.shmemFallocate(f, mm.FALLOC_FL_KEEP_SIZE, 0n, 600n * 4096n)).toBe(-ENOMEM);
    expect(k.x.shmemPages(f)).toBe(1n);
    expect(find(5)).toBe(kept);
    expectConserved(k);
  });
});

describe('the page cache against a model', () => {
  const PAGES = 1100;
  const range = fc.tuple(
    fc.nat(PAGES - 1),
    fc.oneof(fc.integer({ min: 1, max: 40 }), fc.integer({ min: 1, max: PAGES })),
  );
  const steps = fc.array(
    fc.oneof(
      fc.record({ kind: fc.constant('get' as const), range }),
      fc.record({ kind: fc.constant('truncate' as const), range }),
      fc.record({ kind: fc.constant('allocate' as const), range }),
    ),
    { maxLength: 25 },
  );

  /** Which offsets hold a page; a new page in an empty chunk brings the whole chunk when the file likes folios. */
  function fill(present: Map<number, number>, index: number, huge: boolean): void {
    const first = index - (index % FOLIO);
    const chunk = Array.from({ length: FOLIO }, (_, n) => first + n);
    const folio = huge && first + FOLIO <= PAGES && chunk.every((at) => !present.has(at));
    for (const at of folio ? chunk : [index]) if (!present.has(at)) present.set(at, 0);
  }

  it.each([false, true])('holds the pages the model holds, with their content; folios: %s', (huge) => {
    fc.assert(
      fc.property(steps, (all) => {
        const { k, f, get, find } = open(bootWithMemory(), PAGES, { huge });
        const present = new Map<number, number>();
        let token = 0;
        for (const {
          kind,
          range: [start, length],
        } of all) {
          const end = Math.min(start + length, PAGES);
          if (kind === 'get') {
            const { ret, pfn } = get(start);
            expect(ret).toBe(0);
            fill(present, start, huge);
            expect(k.x.pageContent(pfn)).toBe(present.get(start));
            k.x.setPageContent(pfn, ++token);
            present.set(start, token);
          } else if (kind === 'truncate') {
            k.x.shmemTruncateRange(f, BigInt(start), BigInt(end));
            for (let at = start; at < end; at++) present.delete(at);
          } else {
            expect(
              k.x.shmemFallocate(f, mm.FALLOC_FL_KEEP_SIZE, BigInt(start) * 4096n, BigInt(end - start) * 4096n),
            ).toBe(0);
            for (let at = start; at < end; at++) {
              // fallocate takes a folio only for a chunk that lies in its range as a whole.
              const first = at - (at % FOLIO);
              fill(present, at, huge && first >= start && first + FOLIO <= end);
            }
          }
          expect(k.x.shmemPages(f)).toBe(BigInt(present.size));
        }
        for (let at = 0; at < PAGES; at++) {
          const pfn = find(at);
          expect(pfn === undefined ? undefined : k.x.pageContent(pfn), `offset ${at}`).toBe(present.get(at));
        }
        k.x.shmemPut(f);
        expect(k.x.allocatedPages()).toBe(0);
        expectConserved(k);
      }),
      { seed: 21, numRuns: 20 },
    );
  });
});

describe('real threads', () => {
  it('tasks truncate disjoint parts of one file at once, others look up and refill; no page is lost or freed twice', async () => {
    const k = bootWithMemory({ pfnCount: 8192, partitions: 2, perturbMeanPoints: 300, perturbNs: 4000 });
    const { f } = open(k, 4096, { interleave: true, huge: true });
    const body = (kernel: TestKernel, index: number, file: number): number => {
      const out = kernel.alloc(8);
      let bad = 0;
      for (let round = 0; round < 150; round++) {
        const part = index % 2;
        if (index < 2) {
          const start = part * 2048 + ((kernel.x.randomU32() >>> 0) % 1500);
          kernel.x.shmemTruncateRange(file, BigInt(start), BigInt(start + ((kernel.x.randomU32() >>> 0) % 500) + 1));
          kernel.x.shmemFallocate(file, 1, BigInt(part * 2048) * 4096n, 600n * 4096n);
        } else {
          for (let n = 0; n < 40; n++) {
            const offset = BigInt((kernel.x.randomU32() >>> 0) % 4096);
            const write = n % 2 === 0;
            const pfn = write
              ? kernel.x.shmemGetFolio(file, offset, out, 0, 3) === 0
                ? kernel.u32(out)
                : 0xffffffff
              : kernel.x.shmemFindPage(file, offset) >>> 0;
            if (pfn === 0xffffffff) continue;
            if (kernel.x.pageRefcount(pfn) === 0) bad++;
            kernel.x.putPage(pfn);
          }
        }
      }
      return bad;
    };
    expect(await k.threads(4, body, f)).toEqual([0, 0, 0, 0]);
    expect(BigInt(k.x.allocatedPages())).toBe(k.x.shmemPages(f));
    k.x.shmemPut(f);
    expect(k.x.allocatedPages()).toBe(0);
    expectConserved(k, 2);
  });

  it('a page of a folio is found at every moment while the folio is split beside it', async () => {
    const k = bootWithMemory({ perturbMeanPoints: 20, perturbNs: 3000 });
    const { f } = open(k, 512, { huge: true });
    // Words: 0 all done, 1 the folio is there and only [0, 8) may go, 2 the reader looks.
    const words = new SharedArrayBuffer(12);
    const body = (kernel: TestKernel, index: number, arg: { f: number; words: SharedArrayBuffer }): number => {
      const state = new Int32Array(arg.words);
      const out = kernel.alloc(8);
      let holes = 0;
      if (index === 0) {
        for (let round = 0; round < 120; round++) {
          kernel.x.shmemGetFolio(arg.f, 300n, out, 0, 3);
          kernel.x.putPage(kernel.u32(out));
          Atomics.store(state, 1, 1);
          kernel.x.shmemTruncateRange(arg.f, 0n, 8n);
          Atomics.store(state, 1, 0);
          while (Atomics.load(state, 2) !== 0);
          kernel.x.shmemTruncateRange(arg.f, 0n, 512n);
        }
        Atomics.store(state, 0, 1);
        return 0;
      }
      let looks = 0;
      while (Atomics.load(state, 0) === 0) {
        Atomics.store(state, 2, 1);
        while (Atomics.load(state, 1) === 1) {
          const pfn = kernel.x.shmemFindPage(arg.f, 300n) >>> 0;
          looks++;
          if (pfn === 0xffffffff) holes++;
          else kernel.x.putPage(pfn);
        }
        Atomics.store(state, 2, 0);
      }
      return looks === 0 ? -1 : holes;
    };
    const [, holes] = await k.threads(2, body, { f, words });
    expect(holes).toBe(0);
    k.x.shmemPut(f);
    expectConserved(k);
  });
});
