// The lockless RMP protocol on real threads: 4K and 2M RMPUPDATE and PSMASH in one 2M region, in the build that stretches its windows.
import { describe, expect, it } from 'vitest';
import { bootKernel } from '../harness.js';
import { regionProblems, rawLo } from './support.js';

/** Every thread draws instructions on a few PFNs of one region; returns how often each code came back. */
const STORM = (
  k: ReturnType<typeof bootKernel>,
  index: number,
  { rounds, head }: { rounds: number; head: number },
): number[] => {
  const codes = [0, 0, 0, 0, 0, 0];
  for (let n = 0; n < rounds; n++) {
    const draw = k.x.randomU32() >>> 0;
    const pfn = head + [0, 1, 2, 511][(draw >>> 8) & 3]!;
    const asid = index + 1;
    let code: number;
    if (draw % 8 < 3) code = k.x.rmpupdateInsn(pfn, k.x.rmpState(BigInt(pfn) << 12n, 1, asid, 0), 0);
    else if (draw % 8 < 6) code = k.x.rmpupdateInsn(pfn, 0n, 0);
    else if (draw % 8 === 6)
      code = k.x.rmpupdateInsn(head, (draw & 65536) === 0 ? 2n : k.x.rmpState(0x200000n, 2, asid, 0), 0);
    else code = k.x.psmashInsn(head);
    codes[code]!++;
    // A region that a PSMASH has filled would stay full: empty it now and then.
    if (n % 64 === 63) for (let p = 0; p < 512; p++) k.x.rmpupdateInsn(head + p, 0n, 0);
  }
  return codes;
};

/** Each thread owns some PFNs and counts, on its own, what it has assigned. */
const OWNERS = (
  k: ReturnType<typeof bootKernel>,
  index: number,
  { rounds, head, threads, short = false }: { rounds: number; head: number; threads: number; short?: boolean },
): number => {
  /** The hook's way: owner and gpa are compared, a follower is counted out afterwards. */
  const giveBackShort = (pfn: number): boolean => {
    const entry = k.x.rmpEntry(pfn) >>> 0;
    const wanted = k.x.rmpState(BigInt(pfn) << 12n, 1, index + 1, 0);
    if (pfn === head) return k.x.rmpUnassignHead(entry, wanted) !== 0;
    if (k.x.rmpUnassignFollower(entry, wanted) === 0) return false;
    k.x.rmpUncount(k.x.rmpEntry(head) >>> 0, 1);
    return true;
  };
  let owned = 0;
  const held = new Set<number>();
  for (let n = 0; n < rounds; n++) {
    const pfn = head + ((k.x.randomU32() >>> 0) % Math.floor(512 / threads)) * threads + index;
    if (pfn >= head + 512) continue;
    if (held.has(pfn)) {
      if (!(short && giveBackShort(pfn)) && k.x.rmpMakeShared(pfn, 1) !== 0) throw new Error(`cannot give back ${pfn}`);
      held.delete(pfn);
      owned--;
    } else {
      if (k.x.rmpMakePrivate(pfn, BigInt(pfn) << 12n, 1, index + 1, 0) !== 0) throw new Error(`cannot assign ${pfn}`);
      held.add(pfn);
      owned++;
    }
  }
  return owned;
};

describe('concurrent RMP instructions in one 2M region', () => {
  it('keep count bits and entries in agreement, and really meet FAIL_INUSE and FAIL_OVERLAP', async () => {
    const k = bootKernel({ pfnCount: 2048, perturbMeanPoints: 12, perturbNs: 2000, seed: 7n });
    const all = [0, 0, 0, 0, 0, 0];
    for (let round = 0; round < 3; round++) {
      const results = await k.threads(4, STORM, { rounds: 1500, head: 512 });
      for (const codes of results) codes.forEach((n, code) => (all[code]! += n));
      expect(regionProblems(k, 512)).toEqual([]);
    }
    expect(all[0]).toBeGreaterThan(0);
    expect(all[3], 'FAIL_INUSE').toBeGreaterThan(0);
    expect(all[4], 'FAIL_OVERLAP').toBeGreaterThan(0);
    expect(all[2], 'nothing here is immutable').toBe(0);
  });

  it.each([
    ['whole instructions', false],
    ["the hook's short forms", true],
  ])(
    '4K updates of different pages never disturb each other: each thread finds every page as it left it (%s)',
    async (_, short) => {
      const k = bootKernel({ pfnCount: 2048, perturbMeanPoints: 20, perturbNs: 1000, seed: 8n });
      const owned = await k.threads(4, OWNERS, { rounds: 2500, head: 1024, threads: 4, short });
      let assigned = 0;
      for (let n = 0; n < 512; n++) assigned += Number(rawLo(k, 1024 + n) & 1n);
      expect(assigned).toBe(owned.reduce((sum, n) => sum + n, 0));
      expect(regionProblems(k, 1024)).toEqual([]);
    },
  );

  it('a 2M entry is smashed once, whoever comes first; the others find it done', async () => {
    const k = bootKernel({ pfnCount: 2048, perturbMeanPoints: 30, perturbNs: 1000, seed: 9n });
    for (let round = 0; round < 5; round++) {
      expect(k.x.rmpMakePrivate(512, 0x200000n, 2, 3, 0)).toBe(0);
      const codes = await k.threads(3, (view) => view.x.psmashOrRaced(700), 0);
      expect(codes).toEqual([0, 0, 0]);
      expect(rawLo(k, 512) & 0xff8n).toBe(0xff8n);
      expect(regionProblems(k, 512)).toEqual([]);
      for (let n = 0; n < 512; n++) expect(k.x.rmpMakeShared(512 + n, 1)).toBe(0);
      expect(rawLo(k, 512)).toBe(0n);
    }
  });
});
