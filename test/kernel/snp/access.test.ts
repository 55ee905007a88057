// What the RMP refuses, access by access, with the error code bits of the hardware.
import { beforeAll, describe, expect, it } from 'vitest';
import { PG_LEVEL_2M, PG_LEVEL_4K, SNP_ERRATUM_IN_USE_2M, SNP_HV_IN_USE_WRITE_ALLOWED } from '#src/kernel/abi/snp.js';
import { bootKernel, type TestKernel } from '../harness.js';

const RMP = (1n << 31n) | (1n << 32n) | 5n; // RMP, GUEST_FINAL, user, present
const WRITE = 2n;
const ENC = 1n << 34n;
const SIZEM = 1n << 35n;
const VMPL = 1n << 36n;
const VC = 1n << 63n;

const ASID = 5;
const VALID = 600; // 4K, validated
const INVALID = 601; // 4K, not validated
const PRE_GUEST = 602; // immutable
const LARGE = 1024; // 2M, validated
const FREE = 1600;

let k: TestKernel;
const gpa = (pfn: number): bigint => BigInt(pfn) << 12n;
const hostWrite = (pfn: number): number => k.x.rmpCheckHostWrite(pfn) >>> 0;
beforeAll(() => {
  k = bootKernel({ pfnCount: 4096 });
  k.x.rmpMakePrivate(VALID, gpa(VALID), PG_LEVEL_4K, ASID, 0);
  k.x.pvalidate(ASID, gpa(VALID), VALID, PG_LEVEL_4K, 1);
  k.x.rmpMakePrivate(INVALID, gpa(INVALID), PG_LEVEL_4K, ASID, 0);
  k.x.rmpMakePrivate(PRE_GUEST, gpa(PRE_GUEST), PG_LEVEL_4K, ASID, 1);
  k.x.rmpMakePrivate(LARGE, gpa(LARGE), PG_LEVEL_2M, ASID, 0);
  k.x.pvalidate(ASID, gpa(LARGE), LARGE, PG_LEVEL_2M, 1);
});

const check = (
  pfn: number,
  changes: { asid?: number; gfn?: number; write?: number; priv?: number; level?: number },
): bigint =>
  BigInt.asUintN(
    64,
    k.x.rmpCheckGuest(
      changes.asid ?? ASID,
      BigInt(changes.gfn ?? pfn) << 12n,
      pfn,
      changes.write ?? 0,
      changes.priv ?? 1,
      changes.level ?? PG_LEVEL_4K,
    ),
  );

describe('guest access', () => {
  it.each([
    ['private read of its validated page', VALID, {}, 0n],
    ['private write of its validated page', VALID, { write: 1 }, 0n],
    ['another guest', VALID, { asid: 6 }, RMP | ENC],
    ['another guest, write', VALID, { asid: 6, write: 1 }, RMP | ENC | WRITE],
    ['another address of the same guest', VALID, { gfn: VALID + 1 }, RMP | ENC],
    ['page not assigned', FREE, {}, RMP | ENC],
    ['page not validated', INVALID, {}, VC],
    ['page still being launched', PRE_GUEST, {}, RMP | ENC],
    ['2M nested mapping over a 4K entry', VALID, { level: PG_LEVEL_2M }, RMP | ENC | SIZEM],
    ['2M nested mapping over a 2M entry', LARGE + 77, { level: PG_LEVEL_2M }, 0n],
    ['4K nested mapping under a 2M entry', LARGE + 77, { write: 1 }, 0n],
    ['wrong page of a 2M entry', LARGE + 77, { gfn: LARGE + 78 }, RMP | ENC],
    ['shared read of a guest page', VALID, { priv: 0 }, 0n],
    ['shared write of a guest page', VALID, { priv: 0, write: 1 }, RMP | WRITE],
    ['shared write of a hypervisor page', FREE, { priv: 0, write: 1 }, 0n],
    ['shared write of a page under a 2M entry', LARGE + 3, { priv: 0, write: 1 }, RMP | WRITE],
    ['shared write beside a guest page, 4K mapping', VALID + 100, { priv: 0, write: 1 }, 0n],
    [
      'shared write beside a guest page, 2M mapping',
      VALID + 100,
      { priv: 0, write: 1, level: PG_LEVEL_2M },
      RMP | WRITE,
    ],
  ])('%s', (_name, pfn, changes, code) => {
    expect(check(pfn, changes)).toBe(code);
  });

  it('a VMPL has the permissions that RMPADJUST gave it; VMPL0 has all', () => {
    const at = (write: number, vmpl: number): bigint =>
      BigInt.asUintN(64, k.x.rmpCheckGuestVmpl(ASID, gpa(VALID), VALID, write, 1, PG_LEVEL_4K, vmpl));
    expect(at(1, 0)).toBe(0n);
    expect(at(0, 1)).toBe(RMP | ENC | VMPL);
    k.x.rmpadjust(ASID, 0, gpa(VALID), VALID, PG_LEVEL_4K, 1, 1, 0);
    expect([at(0, 1), at(1, 1)]).toEqual([0n, RMP | ENC | VMPL | WRITE]);
  });
});

describe('host write', () => {
  it('through a 4K mapping is refused for the assigned page only', () => {
    k.x.directMapSplit(VALID);
    expect([VALID, VALID + 9].map(hostWrite)).toEqual([0x80000003, 0]);
  });

  it('through a 2M mapping is refused for the whole region as soon as one page of it is assigned', () => {
    k.x.directMapRestore(VALID);
    expect([VALID, VALID + 9, 512].map(hostWrite)).toEqual([0x80000003, 0x80000003, 0x80000003]);
    expect([FREE, 511].map(hostWrite)).toEqual([0, 0]);
  });

  it('is refused for a page that VMRUN uses though it is not assigned, unless the CPU allows it', () => {
    expect(k.x.rmpMarkInUse(FREE, 0)).toBe(0);
    expect([FREE, FREE + 1].map(hostWrite)).toEqual([0x80000003, 0]);
    k.setU32(SNP_HV_IN_USE_WRITE_ALLOWED, 1);
    expect(hostWrite(FREE)).toBe(0);
    k.setU32(SNP_HV_IN_USE_WRITE_ALLOWED, 0);
    k.x.rmpClearInUse(FREE);
    expect(hostWrite(FREE)).toBe(0);
  });

  it('with the erratum, is refused for the region of an in-use page that is 2M-aligned', () => {
    k.x.rmpMarkInUse(2048, 0);
    expect(hostWrite(2049)).toBe(0);
    k.setU32(SNP_ERRATUM_IN_USE_2M, 1);
    expect([2049, 2559, 2560].map(hostWrite)).toEqual([0x80000003, 0x80000003, 0]);
    k.setU32(SNP_ERRATUM_IN_USE_2M, 0);
    k.x.rmpClearInUse(2048);
  });

  it('beside an RMP table that ends inside a 2M region is refused through the 2M mapping', () => {
    k.x.rmpSetFirmwareRange(3072, 3072 + 256);
    expect(hostWrite(3072 + 300)).toBe(0x80000003);
    k.x.directMapSplit(3072);
    expect([3072 + 255, 3072 + 300].map(hostWrite)).toEqual([0x80000003, 0]);
  });
});
