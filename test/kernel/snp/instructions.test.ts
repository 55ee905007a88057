// Every instruction of the model, one after the other, against a plain model of pages and regions that knows nothing of bit layouts.
import * as fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import { PG_LEVEL_2M, PG_LEVEL_4K } from '#src/kernel/abi/snp.js';
import { bootKernel, type TestKernel } from '../harness.js';
import { entryOf, rawHi, rawLo, regionProblems } from './support.js';

interface Page {
  asid: number;
  gpa: bigint;
  immutable: boolean;
  validated: boolean;
  vmsa: boolean;
  perms: number[];
}

interface Region {
  /** The 2M entry, if the region is one. */
  large: Page | undefined;
  pages: (Page | undefined)[];
  inUse: Set<number>;
}

const REGIONS = 2;
const PFNS = [0, 1, 2, 255, 511, 512, 513, 1023];
const FIRST = 512; // of the regions under test

class Model {
  readonly regions: Region[] = Array.from({ length: REGIONS }, () => ({
    large: undefined,
    pages: Array.from({ length: 512 }, () => undefined),
    inUse: new Set<number>(),
  }));

  at(pfn: number): [Region, number] {
    return [this.regions[pfn >> 9]!, pfn & 511];
  }

  rmpupdate(pfn: number, next: Page | undefined, large: boolean): number {
    const [region, n] = this.at(pfn);
    if (large) {
      if (n !== 0 || (next !== undefined && next.gpa % 0x200000n !== 0n)) return 1;
      if (region.inUse.has(0)) return 3;
      if ((region.large ?? region.pages[0])?.immutable) return 2;
      if (region.large === undefined && region.pages.some((page) => page !== undefined)) return 4;
      if (next !== undefined && region.inUse.size > 0 && region.large === undefined) return 3;
      region.large = next;
      return 0;
    }
    if (region.inUse.has(n)) return 3;
    if (n === 0 && region.large?.immutable) return 2;
    if (region.pages[n]?.immutable) return 2;
    if (region.large !== undefined) return 4;
    region.pages[n] = next;
    return 0;
  }

  psmash(pfn: number): number {
    const [region, n] = this.at(pfn);
    if (n !== 0) return 1;
    if (region.inUse.has(0)) return 3;
    const { large } = region;
    if (large === undefined) return 1;
    if (large.immutable) return 2;
    region.pages = region.pages.map((_, i) => ({
      ...large,
      perms: [...large.perms],
      gpa: large.gpa + BigInt(i) * 4096n,
    }));
    region.large = undefined;
    return 0;
  }

  /** The page or its share of the 2M entry. */
  view(pfn: number): Page | undefined {
    const [region, n] = this.at(pfn);
    return region.large === undefined
      ? region.pages[n]
      : { ...region.large, gpa: region.large.gpa + BigInt(n) * 4096n };
  }

  /** What a guest's instruction works on, or its code. */
  target(asid: number, gpa: bigint, pfn: number, large: boolean): Page | number {
    const [region, n] = this.at(pfn);
    if (large && (n !== 0 || gpa % 0x200000n !== 0n)) return 1;
    const seen = this.view(pfn);
    if (seen === undefined || seen.asid !== asid || seen.gpa !== gpa || seen.immutable) return -1;
    if (large) return region.large ?? 6;
    return region.large === undefined ? region.pages[n]! : -2;
  }

  pvalidate(asid: number, gpa: bigint, pfn: number, large: boolean, validate: boolean): number {
    const page = this.target(asid, gpa, pfn, large);
    if (typeof page === 'number') return page;
    const [region, n] = this.at(pfn);
    if (large && region.inUse.has(n)) return -1; // waits for the lock, then gives up
    if (page.validated === validate) return 255;
    page.validated = validate;
    return 0;
  }

  rmpadjust(
    asid: number,
    gpa: bigint,
    pfn: number,
    large: boolean,
    vmpl: number,
    perms: number,
    vmsa: boolean,
  ): number {
    if (vmsa && large) return 1;
    if (vmpl === 0) return 2;
    const page = this.target(asid, gpa, pfn, large);
    if (typeof page === 'number') return page;
    if (this.at(pfn)[0].inUse.has(pfn & 511)) return 3;
    if (!page.validated) return -1;
    page.perms[vmpl] = perms;
    page.vmsa = vmsa;
    return 0;
  }

  markInUse(pfn: number, asid: number): number {
    const [region, n] = this.at(pfn);
    if (region.inUse.has(n)) return -16;
    const page = this.view(pfn);
    const isVmsa = page !== undefined && page.vmsa && page.validated && !page.immutable && page.asid === asid;
    if (asid === 0 ? page !== undefined : !isVmsa) return -22;
    region.inUse.add(n);
    return 0;
  }
}

const pfn = fc.constantFrom(...PFNS);
const asid = fc.constantFrom(1, 2, 1006);
const gpa = fc.constantFrom(0n, 0x1000n, 0x200000n, 0x201000n, 0x7ffffffff000n);
const large = fc.boolean();

/** One step: what the kernel is asked, and what the model says to it. */
type Step = (k: TestKernel, model: Model) => [kernel: number, model: number];

const fresh = (id: number, at: bigint, immutable: boolean): Page => ({
  asid: id,
  gpa: at,
  immutable,
  validated: false,
  vmsa: false,
  perms: [0, 0, 0, 0],
});
const level = (is2m: boolean): number => (is2m ? PG_LEVEL_2M : PG_LEVEL_4K);

const steps: fc.Arbitrary<Step>[] = [
  fc
    .tuple(pfn, asid, gpa, large, fc.integer({ min: 0, max: 7 }))
    .map(([p, id, at, is2m, draw]): Step => (k, model) => [
      k.x.rmpupdateInsn(FIRST + p, k.x.rmpState(at, level(is2m), id, draw === 0 ? 1 : 0), 0),
      model.rmpupdate(p, fresh(id, at, draw === 0), is2m),
    ]),
  fc
    .tuple(pfn, large)
    .map(([p, is2m]): Step => (k, model) => [
      k.x.rmpupdateInsn(FIRST + p, is2m ? 2n : 0n, 0),
      model.rmpupdate(p, undefined, is2m),
    ]),
  pfn.map((p): Step => (k, model) => [k.x.psmashInsn(FIRST + p), model.psmash(p)]),
  // The guest works on what it has: its instructions mostly aim at the page's owner.
  fc.tuple(pfn, large, fc.boolean(), fc.boolean()).map(([p, is2m, validate, stranger]): Step => (k, model) => {
    const owner = model.view(p) ?? fresh(1, 0n, false);
    const id = stranger ? owner.asid + 1 : owner.asid;
    return [
      k.x.pvalidate(id, owner.gpa, FIRST + p, level(is2m), validate ? 1 : 0),
      model.pvalidate(id, owner.gpa, p, is2m, validate),
    ];
  }),
  fc
    .tuple(pfn, large, fc.integer({ min: 0, max: 3 }), fc.integer({ min: 0, max: 15 }), fc.boolean())
    .map(([p, is2m, vmpl, perms, vmsa]): Step => (k, model) => {
      const owner = model.view(p) ?? fresh(1, 0n, false);
      return [
        k.x.rmpadjust(owner.asid, 0, owner.gpa, FIRST + p, level(is2m), vmpl, perms, vmsa ? 1 : 0),
        model.rmpadjust(owner.asid, owner.gpa, p, is2m, vmpl, perms, vmsa),
      ];
    }),
  fc.tuple(pfn, fc.constantFrom('owner', 'host', 'other')).map(([p, who]): Step => (k, model) => {
    const owner = { owner: model.view(p)?.asid ?? 0, host: 0, other: 77 }[who];
    return [k.x.rmpMarkInUse(FIRST + p, owner), model.markInUse(p, owner)];
  }),
  pfn.map((p): Step => (k, model) => {
    const [region, n] = model.at(p);
    if (region.inUse.delete(n)) k.x.rmpClearInUse(FIRST + p);
    return [0, 0];
  }),
  fc.tuple(pfn, fc.boolean()).map(([p, vmsa]): Step => (k, model) => {
    const [region, n] = model.at(p);
    const page = n === 0 && region.large !== undefined ? region.large : region.pages[n];
    const owner = page ?? fresh(1, 0n, false);
    const ready = page !== undefined && page.immutable && !page.validated;
    if (ready) Object.assign(page, { immutable: false, validated: true, vmsa });
    return [k.x.snpLaunchUpdate(owner.asid, owner.gpa, FIRST + p, vmsa ? 1 : 0), ready ? 0 : -22];
  }),
];

function expectSame(k: TestKernel, model: Model, p: number): void {
  const [region, n] = model.at(p);
  const page = n === 0 ? (region.large ?? region.pages[0]) : region.large === undefined ? region.pages[n] : undefined;
  const { count, bit63, ...entry } = entryOf(k, FIRST + p);
  expect(bit63).toBe(false);
  expect(entry).toEqual({
    assigned: page !== undefined,
    is2m: n === 0 && region.large !== undefined,
    immutable: page?.immutable ?? false,
    gpa: page?.gpa ?? 0n,
    asid: page?.asid ?? 0,
    vmsa: page?.vmsa ?? false,
    validated: page?.validated ?? false,
  });
  const others =
    region.large === undefined ? region.pages.filter((other, i) => i !== 0 && other !== undefined).length : 0;
  expect(count).toBe(n === 0 ? others : 0);
  const hi = rawHi(k, FIRST + p);
  expect((hi >> 62n) & 1n).toBe(region.inUse.has(n) ? 1n : 0n);
  if (page !== undefined)
    expect(hi & 0xffffffffn).toBe(page.perms.reduce((all, bits, vmpl) => all | (BigInt(bits) << BigInt(8 * vmpl)), 0n));
}

describe('instructions', () => {
  let k: TestKernel;
  beforeAll(() => {
    k = bootKernel({ pfnCount: 512 * 4, oracles: true });
  });

  function clear(): void {
    for (let p = 0; p < 512 * REGIONS; p++) {
      const address = k.x.rmpEntry(FIRST + p);
      k.setU64(address, 0n);
      k.setU64(address + 8, 0n);
    }
  }

  it('RMPUPDATE, PSMASH, PVALIDATE, RMPADJUST, launch update and VMRUN marks return the codes of the plain model and leave its state', () => {
    fc.assert(
      fc.property(fc.array(fc.oneof(...steps), { minLength: 5, maxLength: 40 }), (run) => {
        clear();
        const model = new Model();
        for (const step of run) {
          const [got, wanted] = step(k, model);
          expect(got).toBe(wanted);
          for (const p of PFNS) expectSame(k, model, p);
        }
      }),
      { seed: 4, numRuns: 120 },
    );
    clear();
  });

  it('PSMASH makes 512 entries with consecutive gpas and keeps asid, validated and permissions', () => {
    clear();
    expect(k.x.rmpupdateInsn(512, k.x.rmpState(0x40000000n, PG_LEVEL_2M, 6, 0), 0)).toBe(0);
    expect(k.x.pvalidate(6, 0x40000000n, 512, PG_LEVEL_2M, 1)).toBe(0);
    expect(k.x.rmpadjust(6, 0, 0x40000000n, 512, PG_LEVEL_2M, 2, 3, 0)).toBe(0);
    expect(k.x.psmashInsn(512)).toBe(0);
    for (let n = 0; n < 512; n++) {
      expect(entryOf(k, 512 + n)).toEqual({
        assigned: true,
        is2m: false,
        immutable: false,
        count: n === 0 ? 511 : 0,
        gpa: 0x40000000n + BigInt(n) * 4096n,
        asid: 6,
        vmsa: false,
        validated: true,
        bit63: false,
      });
      expect(rawHi(k, 512 + n)).toBe(3n << 16n);
    }
    expect(regionProblems(k, 512)).toEqual([]);
    clear();
  });

  it('an assigning RMPUPDATE clears validated and the VMPL permissions of the state before', () => {
    k.x.rmpupdateInsn(700, k.x.rmpState(0x1000n, PG_LEVEL_4K, 6, 0), 0);
    k.x.pvalidate(6, 0x1000n, 700, PG_LEVEL_4K, 1);
    k.x.rmpadjust(6, 0, 0x1000n, 700, PG_LEVEL_4K, 1, 15, 0);
    expect(rawHi(k, 700)).toBe(15n << 8n);
    expect(k.x.rmpupdateInsn(700, k.x.rmpState(0x2000n, PG_LEVEL_4K, 7, 0), 0)).toBe(0);
    expect(entryOf(k, 700)).toMatchObject({ asid: 7, gpa: 0x2000n, validated: false });
    expect(rawHi(k, 700)).toBe(0n);
    clear();
  });

  it('RMPADJUST hands on no permission that the adjusting VMPL lacks, and only to weaker VMPLs', () => {
    k.x.rmpupdateInsn(700, k.x.rmpState(0x1000n, PG_LEVEL_4K, 6, 0), 0);
    k.x.pvalidate(6, 0x1000n, 700, PG_LEVEL_4K, 1);
    expect(k.x.rmpadjust(6, 0, 0x1000n, 700, PG_LEVEL_4K, 1, 3, 0)).toBe(0);
    expect(k.x.rmpadjust(6, 1, 0x1000n, 700, PG_LEVEL_4K, 2, 7, 0)).toBe(2);
    expect(k.x.rmpadjust(6, 1, 0x1000n, 700, PG_LEVEL_4K, 2, 1, 0)).toBe(0);
    expect(k.x.rmpadjust(6, 1, 0x1000n, 700, PG_LEVEL_4K, 1, 1, 0)).toBe(2);
    expect([1, 2, 3].map((vmpl) => k.x.rmpquery(6, 0, 0x1000n, 700, vmpl))).toEqual([3, 1, 0]);
    clear();
  });

  it('bad operands fail with FAIL_INPUT and change nothing', () => {
    const operand = k.alloc(16);
    const codes = [
      k.x.rmpupdateInsn(2048, k.x.rmpState(0n, PG_LEVEL_4K, 1, 0), 0), // behind the table
      k.x.rmpupdateInsn(513, k.x.rmpState(0n, PG_LEVEL_2M, 1, 0), 0), // pfn not 2M-aligned
      k.x.rmpupdateInsn(512, k.x.rmpState(0x1000n, PG_LEVEL_2M, 1, 0), 0), // gpa not 2M-aligned
      k.x.rmpupdateInsn(512, 0x1000n, 0), // gpa without assigned
      k.x.rmpupdateInsn(512, 1n | (1n << 62n), 0), // validated is the guest's to set
      k.x.psmashInsn(513),
      k.x.psmashInsn(512), // no 2M entry
      k.x.psmashInsn(2048),
    ];
    k.setU32(operand + 8, 1);
    k.setU32(operand + 12, 1024);
    codes.push(k.x.rmpupdateOperand(512, operand));
    expect(codes).toEqual(codes.map(() => 1));
    expect([rawLo(k, 512), rawLo(k, 513)]).toEqual([0n, 0n]);
  });

  it('RMPUPDATE takes its operand from memory in the architectural form', () => {
    const operand = k.alloc(16);
    k.setU64(operand, 0x123000n);
    k.setU32(operand + 8, 1 | (1 << 16));
    k.setU32(operand + 12, 33);
    expect(k.x.rmpupdateOperand(777, operand)).toBe(0);
    expect(entryOf(k, 777)).toMatchObject({ assigned: true, immutable: true, gpa: 0x123000n, asid: 33 });
    clear();
  });

  it('an update that is to meet a free page leaves an assigned one as it is', () => {
    k.x.rmpupdateInsn(700, k.x.rmpState(0x1000n, PG_LEVEL_4K, 6, 0), 0);
    k.x.pvalidate(6, 0x1000n, 700, PG_LEVEL_4K, 1);
    expect(k.x.rmpupdateInsn(700, k.x.rmpState(0x1000n, PG_LEVEL_4K, 6, 0), 1)).toBe(5);
    expect(entryOf(k, 700).validated).toBe(true);
    clear();
  });
});
