// The RMP entry's layout and the table around it, against raw values and table sizes of real hosts.
import { beforeAll, describe, expect, it } from 'vitest';
import {
  LEAVER_FIRMWARE,
  LEAVER_GUEST,
  LEAVER_HOST,
  PG_LEVEL_2M,
  PG_LEVEL_4K,
  PS_CONTEXT,
  PS_DEFAULT,
  PS_FIRMWARE,
  PS_GUEST_INVALID,
  PS_GUEST_VALID,
  PS_HV_FIXED,
  PS_HYPERVISOR,
  PS_METADATA,
  PS_PRE_GUEST,
  PS_PRE_SWAP,
  PS_RECLAIM,
} from '#src/kernel/abi/snp.js';
import { bootKernel, type TestKernel } from '../harness.js';
import { decode, entryOf, rawLo } from './support.js';

let k: TestKernel;
beforeAll(() => {
  k = bootKernel({ pfnCount: 8192 });
});

/** Raw entries printed by kernels on real machines, with what the kernel made of them. */
const DUMPS = [
  {
    page: 'the VMSA of a launched vCPU',
    lo: 0x6010fffffffff001n,
    hi: 0x1fn,
    state: PS_GUEST_VALID,
    fields: { gpa: 0xfffffffff000n, asid: 2, vmsa: true, validated: true, immutable: false, count: 0, bit63: false },
  },
  {
    page: 'a firmware page at a 2M boundary in a full region',
    lo: 0x8000000000000ffdn,
    hi: 0xfn,
    state: PS_FIRMWARE,
    fields: { gpa: 0n, asid: 0, vmsa: false, validated: false, immutable: true, count: 511, bit63: true },
  },
  {
    page: 'a page of the RMP table itself at a 2M boundary, where the table ends in the middle of the region',
    lo: 0x80000000000007fdn,
    hi: 0n,
    state: PS_FIRMWARE,
    fields: { gpa: 0n, asid: 0, vmsa: false, validated: false, immutable: true, count: 255, bit63: true },
  },
  {
    page: 'a page of the RMP table not at a 2M boundary',
    lo: 0x8000000000000005n,
    hi: 0n,
    state: PS_FIRMWARE,
    fields: { gpa: 0n, asid: 0, vmsa: false, validated: false, immutable: true, count: 0, bit63: true },
  },
];

describe('raw entries of real hosts', () => {
  it.each(DUMPS)('$page decodes field by field', ({ lo, hi, state, fields }) => {
    expect(decode(lo)).toMatchObject({ assigned: true, is2m: false, ...fields });
    expect(k.x.pageState(lo, hi)).toBe(state);
  });

  it('a VMSA page that is assigned, validated and adjusted by the model has the raw value of the real one', () => {
    const pfn = 700;
    const gpa = 0xfffffffff000n;
    expect(k.x.rmpMakePrivate(pfn, gpa, PG_LEVEL_4K, 2, 0)).toBe(0);
    expect(k.x.pvalidate(2, gpa, pfn, PG_LEVEL_4K, 1)).toBe(0);
    expect(k.x.rmpadjust(2, 0, gpa, pfn, PG_LEVEL_4K, 1, 0, 1)).toBe(0);
    expect(rawLo(k, pfn)).toBe(0x6010fffffffff001n);
  });

  it('a table that ends 256 pages into a 2M region gives the two raw values of the real one', () => {
    k.x.rmpSetFirmwareRange(4096, 4096 + 512 + 256);
    expect(rawLo(k, 4096)).toBe(0x8000000000000ffdn);
    expect(rawLo(k, 4608)).toBe(0x80000000000007fdn);
    expect(rawLo(k, 4609)).toBe(0x8000000000000005n);
    expect(rawLo(k, 4608 + 256)).toBe(0n);
  });

  it('a page that shares its 2M region with the end of the table cannot be assigned: code 2, as real hosts answer', () => {
    expect(k.x.rmpupdateInsn(4608 + 300, 0x0008000000003001n, 0)).toBe(2);
    expect(rawLo(k, 4608)).toBe(0x80000000000007fdn);
    expect(k.x.rmpupdateInsn(5120 + 300, 0x0008000000003001n, 0)).toBe(0);
    expect(k.x.rmpupdateInsn(5120 + 300, 0n, 0)).toBe(0);
  });

  it('a raw entry keeps the count of its region', () => {
    expect(k.x.rmpSetRaw(6144, 0x8000000000000ffdn, 0n)).toBe(0);
    expect(k.x.rmpSetRaw(6145, 0x0018000000007001n, 0x1fn)).toBe(0);
    expect([rawLo(k, 6144), rawLo(k, 6145)]).toEqual([0x800000000000000dn, 0x0018000000007001n]);
    expect([k.x.rmpRawLo(6145), k.x.rmpRawHi(6145)]).toEqual([0x0018000000007001n, 0x1fn]);
    expect(k.x.rmpSetRaw(6145, 0n, 0n)).toBe(0);
    expect(k.x.rmpSetRaw(6144, 0n, 0n)).toBe(0);
    expect(rawLo(k, 6144)).toBe(0n);
    expect(k.x.rmpSetRaw(6145, 0x3n, 0n)).toBe(-22);
  });

  it('RMPREAD converts to the architectural form and says whether the region has assigned pages', () => {
    const operand = k.alloc(16);
    k.x.rmpMakePrivate(1025, 0x12345000n, PG_LEVEL_4K, 77, 0);
    expect(k.x.rmpread(1025, operand)).toBe(0);
    expect([k.u64(operand), k.u32(operand + 8), k.u32(operand + 12)]).toEqual([0x12345000n, 1, 77]);
    k.x.rmpread(1024, operand);
    expect([k.u64(operand), k.u32(operand + 8), k.u32(operand + 12)]).toEqual([0n, 0x200, 0]);
    k.x.rmpMakePrivate(7168, 0x1000n, PG_LEVEL_4K, 77, 0);
    k.x.rmpread(7168, operand);
    expect(k.u32(operand + 8)).toBe(0x201);
    expect(k.x.rmpread(8192, operand)).toBe(1);
  });
});

describe('the table covers 16 bytes a page behind 16 KiB of bookkeeping', () => {
  it.each([
    [0x4de00000n, 0x566fffffn, 34.25],
    [0x89f00000n, 0xaa4fffffn, 129.5],
    [0x94200000n, 0xa47fffffn, 65.5],
    [0x35500000n, 0x75afffffn, 257.5],
    [0x601d200000n, 0x607dafffffn, 386.25],
    [0x7ffe800000n, 0x807f0fffffn, 514.25],
    [0xbf7e800000n, 0xc03f0fffffn, 770.25],
  ])('[%d, %d] covers %d GiB', (first, last, gib) => {
    // All but the part of the last pages that the bookkeeping takes: less than 1024 entries of 4 KiB.
    const pages = Number(k.x.rmpCoveredPages(first, last));
    expect(Math.ceil(pages / 65536)).toBe(gib * 4);
    expect(gib * 262144 - pages).toBe(1024);
  });

  it('an address is looked up at base + 0x4000 + (pa >> 8)', () => {
    expect(k.x.rmpEntryPhysical(0x4de00000n, 0x123456789000n)).toBe(0x4de04000n + (0x123456789000n >> 8n));
  });
});

const A = 1n;
const IMMUTABLE = 4n;
const ASID = 5n << 51n;
const VALIDATED = 1n << 62n;
const VMSA = 1n << 61n;
const GPA = 0x42000n;

describe('page states of the architecture', () => {
  it.each([
    ['Hypervisor', 0n, PS_HYPERVISOR, LEAVER_HOST],
    ['Hypervisor at a 2M boundary with assigned neighbours', 0x7f8n, PS_HYPERVISOR, LEAVER_HOST],
    ['HV-Fixed', IMMUTABLE, PS_HV_FIXED, 0],
    ['Reclaim', A, PS_RECLAIM, LEAVER_HOST],
    ['Firmware', A | IMMUTABLE, PS_FIRMWARE, LEAVER_FIRMWARE],
    ['Context (tagged)', A | IMMUTABLE | 0x1000n, PS_CONTEXT, LEAVER_FIRMWARE],
    ['Metadata (tagged)', A | IMMUTABLE | 0x2000n, PS_METADATA, LEAVER_FIRMWARE],
    ['Pre-Guest', A | IMMUTABLE | ASID | GPA, PS_PRE_GUEST, LEAVER_FIRMWARE],
    ['Pre-Guest VMSA', A | IMMUTABLE | ASID | GPA | VMSA, PS_PRE_GUEST, LEAVER_FIRMWARE],
    ['Pre-Swap', A | IMMUTABLE | ASID | GPA | VALIDATED, PS_PRE_SWAP, LEAVER_FIRMWARE],
    ['Guest-Invalid', A | ASID | GPA, PS_GUEST_INVALID, LEAVER_HOST | LEAVER_GUEST],
    ['Guest-Valid', A | ASID | GPA | VALIDATED, PS_GUEST_VALID, LEAVER_HOST | LEAVER_GUEST],
    ['Guest-Valid 2M', A | 2n | ASID | VALIDATED, PS_GUEST_VALID, LEAVER_HOST | LEAVER_GUEST],
    ['no named state: validated but not assigned', VALIDATED, PS_DEFAULT, 0],
  ])('%s', (_name, lo, state, leavers) => {
    expect(k.x.pageState(lo, 0n)).toBe(state);
    expect(k.x.pageStateLeavers(state)).toBe(leavers);
  });

  it('a page goes Hypervisor, Pre-Guest, Guest-Valid by RMPUPDATE and launch update', () => {
    const pfn = 2049;
    const state = () => k.x.pageState(rawLo(k, pfn), 0n);
    expect(state()).toBe(PS_HYPERVISOR);
    expect(k.x.rmpMakePrivate(pfn, 0x7000n, PG_LEVEL_4K, 9, 1)).toBe(0);
    expect(state()).toBe(PS_PRE_GUEST);
    expect(k.x.snpLaunchUpdate(8, 0x7000n, pfn, 0), 'another guest').toBe(-22);
    expect(k.x.snpLaunchUpdate(9, 0x8000n, pfn, 0), 'another address').toBe(-22);
    expect(k.x.snpLaunchUpdate(9, 0x7000n, pfn, 1)).toBe(0);
    expect(state()).toBe(PS_GUEST_VALID);
    expect(entryOf(k, pfn).vmsa).toBe(true);
    expect(k.x.snpLaunchUpdate(9, 0x7000n, pfn, 0), 'launched already').toBe(-22);
    expect(k.x.rmpMakeShared(pfn, PG_LEVEL_4K)).toBe(0);
    expect(state()).toBe(PS_HYPERVISOR);
  });

  it('a page goes Hypervisor, Firmware, Context, Firmware, Reclaim, Hypervisor, and only firmware moves the immutable ones', () => {
    const pfn = 2050;
    const state = () => k.x.pageState(rawLo(k, pfn), 0n);
    expect(k.x.rmpMakePrivate(pfn, 0n, PG_LEVEL_4K, 0, 1)).toBe(0);
    expect(state()).toBe(PS_FIRMWARE);
    expect(k.x.rmpMakeShared(pfn, PG_LEVEL_4K), 'the host cannot').toBe(-14);
    expect(k.x.snpGctxCreate(pfn)).toBe(0);
    expect(state()).toBe(PS_CONTEXT);
    expect(k.x.snpPageReclaim(pfn), 'a context page is decommissioned, not reclaimed').toBe(-22);
    expect(k.x.snpDecommission(pfn)).toBe(0);
    expect(k.x.snpPageReclaim(pfn)).toBe(0);
    expect(state()).toBe(PS_RECLAIM);
    expect(k.x.rmpMakeShared(pfn, PG_LEVEL_4K)).toBe(0);
    expect(state()).toBe(PS_HYPERVISOR);
  });

  it('a 2M Firmware page is reclaimed as one: all 512 pages stay with the firmware until the host takes them back', () => {
    const pfn = 2560;
    expect(k.x.rmpMakePrivate(pfn, 0n, PG_LEVEL_2M, 0, 1)).toBe(0);
    expect(k.x.snpPageReclaim(pfn)).toBe(0);
    expect([pfn, pfn + 1, pfn + 511].map((page) => k.x.rmpAssigned(page))).toEqual([1, 1, 1]);
    expect(k.x.rmpMakeShared(pfn, PG_LEVEL_2M)).toBe(0);
    expect([pfn, pfn + 1, pfn + 511].map((page) => k.x.rmpAssigned(page))).toEqual([0, 0, 0]);
  });

  it('reclaiming a Pre-Guest page makes it Guest-Invalid, which the host may take back', () => {
    const pfn = 2051;
    k.x.rmpMakePrivate(pfn, 0x9000n, PG_LEVEL_4K, 3, 1);
    expect(k.x.snpPageReclaim(pfn)).toBe(0);
    expect(k.x.pageState(rawLo(k, pfn), 0n)).toBe(PS_GUEST_INVALID);
    expect(k.x.rmpMakeShared(pfn, PG_LEVEL_4K)).toBe(0);
  });
});

describe('snp_lookup_rmpentry', () => {
  it('reads the level from the entry of the 2M-aligned PFN and says 1, 0 or a negative errno', () => {
    const level = k.alloc(8);
    expect(k.x.rmpMakePrivate(3072, 0x40000000n, PG_LEVEL_2M, 4, 0)).toBe(0);
    expect([k.x.snpLookupRmpentry(3072 + 300, level), k.u32(level)]).toEqual([1, PG_LEVEL_2M]);
    expect(k.x.rmpAssigned(3072 + 300)).toBeTruthy();
    expect([k.x.snpLookupRmpentry(3584, level), k.u32(level)]).toEqual([0, PG_LEVEL_4K]);
    expect(k.x.snpLookupRmpentry(8192, level)).toBe(-22);
  });
});
