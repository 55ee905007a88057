// The arch hook over the pages a file holds, the conversion of pages, and what is left when something cannot be reset.
import { afterEach, describe, expect, it } from 'vitest';
import { SLOT_BASE_GFN, SLOT_NPAGES } from '#src/kernel/abi/kvm.js';
import { SH_VARIANTS } from '#src/kernel/abi/layout.js';
import {
  PG_LEVEL_2M,
  PG_LEVEL_4K,
  SNP_ASID_FLUSHES,
  SNP_MAX_ASID,
  SNP_MIN_ASID,
  SNPC_HOOK_PAGES,
  SNPC_LEAKED_PAGES,
  SNPC_PSMASHES,
  SNPC_RMPUPDATES,
} from '#src/kernel/abi/snp.js';
import { V_B06, V_B09, V_B14 } from '#src/kernel/abi/variants.js';
import type { TestKernel } from '../harness.js';
import {
  bootWithMemory,
  counter,
  entryOf,
  makeGuest,
  makePrivate,
  populate,
  populate2m,
  regionProblems,
} from './support.js';

let current: TestKernel | undefined;
afterEach(() => {
  if (current !== undefined) for (let n = 0; n < 16; n += 4) current.setU32(SH_VARIANTS + n, 0);
});
function boot(...variants: number[]): TestKernel {
  current = bootWithMemory({ pfnCount: 4096, variants });
  return current;
}
const hook = (g: ReturnType<typeof makeGuest>, start: number, end: number): void =>
  g.k.x.sevInvalidatePrivateRange(g.slot, BigInt(start), BigInt(end));

describe('sev_invalidate_private_range', () => {
  it('gives back exactly the present pages of [start, end) and allocates none', () => {
    const k = boot();
    const g = makeGuest(k, 5, 0x1000, 0x40, 4096);
    const gfns = [0x1000, 0x1001, 0x10ff, 0x1100, 0x1234, 0x1fff];
    const pfns = gfns.map((gfn) => populate(g, gfn));
    gfns.forEach((gfn, n) => expect(makePrivate(g, gfn, pfns[n]!, PG_LEVEL_4K)).toBe(0));
    hook(g, 0x1001, 0x1234);
    expect(pfns.map((pfn) => entryOf(k, pfn).assigned)).toEqual([true, false, false, false, true, true]);
    expect(counter(k, SNPC_HOOK_PAGES)).toBe(3);
    hook(g, 0x1000, 0x2000);
    expect(pfns.map((pfn) => entryOf(k, pfn).assigned)).toEqual(pfns.map(() => false));
    expect(gfns.map((gfn) => k.x.xaLoad(g.cache, BigInt(gfn - 0x1000 + 0x40)) !== 0)).toEqual(gfns.map(() => true));
    for (const pfn of pfns) expect(k.x.pageRefcount(pfn)).toBe(1);
    expect(regionProblems(k, pfns[0]! & ~511)).toEqual([]);
  });

  it('clamps to the slot and counts a whole region once, whatever its pages are', () => {
    const k = boot();
    const g = makeGuest(k, 5, 0x1000, 0, 1024);
    const pfns = Array.from({ length: 1024 }, (_, n) => populate(g, 0x1000 + n));
    pfns.forEach((pfn, n) => makePrivate(g, 0x1000 + n, pfn, PG_LEVEL_4K));
    hook(g, 0, 0x100000);
    expect(pfns.some((pfn) => entryOf(k, pfn).assigned)).toBe(false);
    expect(counter(k, SNPC_HOOK_PAGES)).toBe(1024);
    for (const head of new Set(pfns.map((pfn) => pfn & ~511))) expect(entryOf(k, head).count).toBe(0);
  });

  it("short form of a region's first page: takes the 4K entry of this owner and gpa, keeps the count, leaves all else", () => {
    const k = boot();
    const entry = k.x.rmpEntry(512) >>> 0;
    const own = k.x.rmpState(0x5000n, PG_LEVEL_4K, 7, 0);
    expect(k.x.rmpMakePrivate(512, 0x5000n, PG_LEVEL_4K, 7, 0)).toBe(0);
    expect(k.x.rmpMakePrivate(600, 0x9000n, PG_LEVEL_4K, 8, 0)).toBe(0);
    expect(k.x.rmpUnassignHead(entry, k.x.rmpState(0x6000n, PG_LEVEL_4K, 7, 0))).toBe(0);
    expect(k.x.rmpUnassignHead(entry, k.x.rmpState(0x5000n, PG_LEVEL_4K, 8, 0))).toBe(0);
    k.setU32(entry + 12, 0x80000000); // LOCK: another instruction is at it
    expect(k.x.rmpUnassignHead(entry, own)).toBe(0);
    k.setU32(entry + 12, 0);
    expect(entryOf(k, 512).assigned).toBe(true);
    expect(k.x.rmpUnassignHead(entry, own)).toBe(1);
    expect([entryOf(k, 512).assigned, entryOf(k, 512).count, entryOf(k, 600).assigned]).toEqual([false, 1, true]);
    expect(regionProblems(k, 512)).toEqual([]);
    expect(k.x.rmpMakePrivate(1024, 0x200000n, PG_LEVEL_2M, 7, 0)).toBe(0);
    expect(k.x.rmpUnassignHead(k.x.rmpEntry(1024) >>> 0, k.x.rmpState(0x200000n, PG_LEVEL_4K, 7, 0))).toBe(0);
    expect(entryOf(k, 1024).assigned).toBe(true);
  });

  it('takes a 2M entry by one RMPUPDATE when its whole chunk lies inside the range, also the last chunk', () => {
    const k = boot();
    const g = makeGuest(k, 5, 0x200, 0, 1024);
    const folios = [0x200, 0x400].map((gfn) => populate2m(g, gfn));
    folios.forEach((pfn, n) => expect(makePrivate(g, 0x200 + 512 * n, pfn, PG_LEVEL_2M)).toBe(0));
    const before = counter(k, SNPC_RMPUPDATES);
    hook(g, 0x200, 0x600);
    expect(folios.map((pfn) => entryOf(k, pfn).assigned)).toEqual([false, false]);
    expect([counter(k, SNPC_RMPUPDATES) - before, counter(k, SNPC_PSMASHES)]).toEqual([2, 0]);
    expect(folios.map((pfn) => k.x.pageRefcount(pfn))).toEqual([1, 1]);
  });

  it('as posted (B06), does the last aligned chunk by PSMASH and 512 single updates', () => {
    const k = boot(V_B06);
    const g = makeGuest(k, 5, 0x200, 0, 1024);
    const folios = [0x200, 0x400].map((gfn) => populate2m(g, gfn));
    folios.forEach((pfn, n) => makePrivate(g, 0x200 + 512 * n, pfn, PG_LEVEL_2M));
    const before = counter(k, SNPC_RMPUPDATES);
    hook(g, 0x200, 0x600);
    expect(folios.map((pfn) => entryOf(k, pfn).assigned)).toEqual([false, false]);
    expect([counter(k, SNPC_RMPUPDATES) - before, counter(k, SNPC_PSMASHES)]).toEqual([513, 1]);
  });

  it.each([
    ['head', 0x200, 0x210],
    ['middle', 0x2f0, 0x310],
    ['tail', 0x3f0, 0x400],
  ])('splits a 2M entry whose %s only lies inside the range, and resets only that part', (_name, start, end) => {
    const k = boot();
    const g = makeGuest(k, 5, 0x200, 0, 512);
    const head = populate2m(g, 0x200);
    makePrivate(g, 0x200, head, PG_LEVEL_2M);
    hook(g, start, end);
    for (let n = 0; n < 512; n++) {
      expect(entryOf(k, head + n).assigned, `page ${n}`).toBe(0x200 + n < start || 0x200 + n >= end);
    }
    expect(counter(k, SNPC_PSMASHES)).toBe(1);
    expect(regionProblems(k, head)).toEqual([]);
  });

  it('leaves a page of another guest alone only if the file does not hold it: reset goes by PFN', () => {
    const k = boot();
    const g = makeGuest(k, 5, 0x1000, 0, 512);
    const pfn = populate(g, 0x1003);
    const stranger = k.x.allocPages(0, -1) >>> 0;
    k.x.rmpMakePrivate(pfn, 0x7777000n, PG_LEVEL_4K, 9, 0); // the same page under another owner's name
    k.x.rmpMakePrivate(stranger, 0x1003000n, PG_LEVEL_4K, 5, 0);
    hook(g, 0x1000, 0x1200);
    expect([entryOf(k, pfn).assigned, entryOf(k, stranger).assigned]).toEqual([false, true]);
  });

  it.each([
    ['leaks a page that it cannot reset: freeing it later does not return it to the host', [], 1],
    ['as posted (B09), lets it go: the allocator gets a page that is still assigned', [V_B09], 0],
  ])('%s', (_name, variants, leaked) => {
    const k = boot(...variants);
    const g = makeGuest(k, 5, 0x1000, 0, 512);
    const pfn = populate(g, 0x1001);
    k.x.rmpMakePrivate(pfn, 0x1001000n, PG_LEVEL_4K, 5, 1); // immutable: the host's RMPUPDATE is refused
    hook(g, 0x1000, 0x1200);
    expect(counter(k, SNPC_LEAKED_PAGES)).toBe(leaked);
    if (leaked === 1) expect(() => k.x.putPage(pfn)).not.toThrow();
    else expect(() => k.x.putPage(pfn)).toThrow(/still assigned/);
  });

  it('can be called for disjoint parts of one slot from several threads at once', async () => {
    const k = boot();
    const g = makeGuest(k, 5, 0x200, 0, 2048);
    const pfns: number[] = [];
    for (let n = 0; n < 1024; n++) pfns.push(populate(g, 0x200 + n));
    pfns.forEach((pfn, n) => makePrivate(g, 0x200 + n, pfn, PG_LEVEL_4K));
    const head = populate2m(g, 0x600);
    expect(makePrivate(g, 0x600, head, PG_LEVEL_2M)).toBe(0);
    await k.threads(
      4,
      (view, index, { slot }) => {
        const cuts = [0x200, 0x377, 0x5ff, 0x680, 0xa00];
        view.x.sevInvalidatePrivateRange(slot, BigInt(cuts[index]!), BigInt(cuts[index + 1]!));
      },
      { slot: g.slot },
    );
    const left = [...pfns, ...Array.from({ length: 512 }, (_, n) => head + n)].filter((pfn) => k.x.rmpAssigned(pfn));
    expect(left).toEqual([]);
    for (const region of new Set([...pfns, head].map((pfn) => pfn & ~511)))
      expect(regionProblems(k, region)).toEqual([]);
    expect(k.x.pageRefcount(head)).toBe(1);
  });
});

describe('assigning', () => {
  it('is idempotent for the same owner, gfn and level, and keeps what the guest has validated', () => {
    const k = boot();
    const g = makeGuest(k, 5, 0x1000, 0, 512);
    const pfn = populate(g, 0x1001);
    expect(makePrivate(g, 0x1001, pfn, PG_LEVEL_4K)).toBe(0);
    k.x.pvalidate(5, 0x1001000n, pfn, PG_LEVEL_4K, 1);
    expect(makePrivate(g, 0x1001, pfn, PG_LEVEL_4K)).toBe(0);
    expect(entryOf(k, pfn).validated).toBe(true);
  });

  it('of a page that has another owner is the one-owner violation', () => {
    const k = boot();
    const g = makeGuest(k, 5, 0x1000, 0, 512);
    const pfn = populate(g, 0x1001);
    makePrivate(g, 0x1001, pfn, PG_LEVEL_4K);
    expect(() => makePrivate(g, 0x1002, pfn, PG_LEVEL_4K)).toThrow(/assigned twice/);
  });

  it('at 2M over a region with 4K entries fills in the missing pages one by one', () => {
    const k = boot();
    const g = makeGuest(k, 5, 0x200, 0, 512);
    const head = populate2m(g, 0x200);
    makePrivate(g, 0x207, head + 7, PG_LEVEL_4K);
    expect(makePrivate(g, 0x200, head, PG_LEVEL_2M)).toBe(0);
    expect(entryOf(k, head)).toMatchObject({ is2m: false, count: 511, gpa: 0x200000n });
    expect(entryOf(k, head + 511).gpa).toBe(0x3ff000n);
  });

  it.each([
    ['aligned alike', 0x200, 0, 0x200, 0, PG_LEVEL_2M],
    ['file offset not congruent to the gfn (B61)', 0x200, 0x100, 0x200, 0, PG_LEVEL_4K],
    ['gfn not aligned', 0x200, 0, 0x201, 0, PG_LEVEL_4K],
    ['page in the middle of the folio', 0x200, 0, 0x200, 1, PG_LEVEL_4K],
    ['chunk reaches over the end of the range', 0x200, 0, 0x400, 0, PG_LEVEL_4K],
  ])('trusts an order of 9 only when %s', (_name, base, pgoff, gfn, sub, level) => {
    const k = boot();
    const g = makeGuest(k, 5, base, pgoff, 1023);
    expect(k.x.assignLevel(g.slot, BigInt(gfn), BigInt(base + 1023), 1024 + sub, 9)).toBe(level);
    expect(k.x.assignLevel(g.slot, BigInt(gfn), BigInt(base + 1023), 1024 + sub, 0)).toBe(PG_LEVEL_4K);
    expect([k.u64(g.slot + SLOT_BASE_GFN), k.u64(g.slot + SLOT_NPAGES)]).toEqual([BigInt(base), 1023n]);
  });

  it('splits the direct map first, so that the host may still write the neighbours; as posted (B14) it may not', () => {
    for (const [variants, code] of [
      [[], 0],
      [[V_B14], 0x80000003],
    ] as const) {
      const k = boot(...variants);
      k.x.rmpMakePrivate(700, 0x1000n, PG_LEVEL_4K, 5, 0);
      expect(k.x.rmpCheckHostWrite(700) >>> 0).toBe(0x80000003);
      expect(k.x.rmpCheckHostWrite(701) >>> 0).toBe(code);
    }
  });
});

describe('ASIDs', () => {
  it('are given out once, run out with -EBUSY, and come back only after a flush', () => {
    const k = boot();
    k.setU32(SNP_MIN_ASID, 3);
    k.setU32(SNP_MAX_ASID, 5);
    expect([1, 2, 3, 4].map(() => k.x.sevAsidNew())).toEqual([3, 4, 5, -16]);
    k.x.sevAsidFree(4);
    expect([k.x.sevAsidLive(3), k.x.sevAsidLive(4)].map(Boolean)).toEqual([true, false]);
    expect(k.u32(SNP_ASID_FLUSHES)).toBe(0);
    expect(k.x.sevAsidNew()).toBe(4);
    expect(k.u32(SNP_ASID_FLUSHES)).toBe(1);
    expect(k.x.sevAsidNew()).toBe(-16);
  });

  it('a freed one is not taken while unused ones are left', () => {
    const k = boot();
    const first = k.x.sevAsidNew();
    k.x.sevAsidFree(first);
    expect(k.x.sevAsidNew()).not.toBe(first);
  });
});
