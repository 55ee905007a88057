// restrictedmem files: creation, size, fallocate, memory errors, release; and the historical mistakes in them behind their variants.
import { describe, expect, it } from 'vitest';
import { EINVAL, EOPNOTSUPP, EPERM } from '#src/kernel/abi/errno.js';
import { PROTOCOL_RFC_V7 } from '#src/kernel/abi/layout.js';
import * as mm from '#src/kernel/abi/mm.js';
import { OOPS_FREED_ACCESS, OOPS_USE_AFTER_FREE } from '#src/kernel/abi/oops.js';
import { V_B02, V_B11 } from '#src/kernel/abi/variants.js';
import type { ShardOptions } from '#src/host/shard.js';
import { expectConserved, oopsOf } from './page-kit.js';
import { KEEP, PAGE, PUNCH, Rig, times } from './restrictedmem-kit.js';

describe('create', () => {
  it('refuses every flag with -EINVAL', () => {
    const { k } = new Rig();
    for (let bit = 0; bit < 32; bit++) expect(k.x.memfdRestricted((1 << bit) >>> 0, 0, -1, 0)).toBe(-EINVAL);
  });

  it('makes a file of size 0 (RFC; guest_memfd takes the size at creation)', () => {
    const { k, file } = new Rig();
    const stat = k.alloc(mm.STAT_SIZE);
    expect(k.x.restrictedmemGetattr(file, stat)).toBe(0);
    expect(k.u64(stat + mm.STAT_BYTES)).toBe(0n);
  });

  it('two files have their own sizes and inode numbers', () => {
    const a = new Rig({}, 1);
    const b = new Rig({}, 2, a.k);
    const stat = a.k.alloc(2 * mm.STAT_SIZE);
    a.k.x.restrictedmemGetattr(a.file, stat);
    a.k.x.restrictedmemGetattr(b.file, stat + mm.STAT_SIZE);
    expect([a.k.u64(stat), a.k.u64(stat + mm.STAT_SIZE)]).toEqual([4096n, 8192n]);
    expect(a.k.u32(stat + mm.STAT_INO)).not.toBe(a.k.u32(stat + mm.STAT_SIZE + mm.STAT_INO));
  });
});

describe('setattr and getattr', () => {
  it('a size that is not a number of pages is -EINVAL: each of 1..4095', () => {
    const { k, file } = new Rig();
    for (let size = 1; size < PAGE; size++) expect(k.x.restrictedmemSetattr(file, BigInt(size))).toBe(-EINVAL);
    expect(k.x.restrictedmemSize(file)).toBe(0n);
  });

  it('the size can be set once; afterwards -EPERM comes before the alignment check', () => {
    const { k, file } = new Rig({}, 4);
    for (const size of [0n, 1n, 8192n]) expect(k.x.restrictedmemSetattr(file, size)).toBe(-EPERM);
    const stat = k.alloc(mm.STAT_SIZE);
    k.x.restrictedmemGetattr(file, stat);
    expect([k.u64(stat + mm.STAT_BYTES), k.u32(stat + mm.STAT_BLKSIZE)]).toEqual([16384n, 4096]);
  });
});

describe('fallocate of a file of 4 pages', () => {
  it.each([
    ['allocates the file', KEEP, 0, 4 * PAGE, 0, 4],
    ['RFC: allocates behind the end with KEEP_SIZE (guest_memfd: EINVAL)', KEEP, 4 * PAGE, PAGE, 0, 1],
    ['RFC: allocates far behind the end (guest_memfd: EINVAL)', KEEP, 5 * PAGE, PAGE, 0, 1],
    ['RFC: without KEEP_SIZE it allocates and grows (guest_memfd: EOPNOTSUPP)', 0, 0, 5 * PAGE, 0, 5],
    ['refuses a hole at 4095', PUNCH, 4095, PAGE, -EINVAL, 0],
    ['punches behind the end', PUNCH, 4 * PAGE, PAGE, 0, 0],
    ['punches far behind the end', PUNCH, 5 * PAGE, PAGE, 0, 0],
    ['refuses a hole of 4095 bytes', PUNCH, PAGE, 4095, -EINVAL, 0],
    ['refuses a hole without KEEP_SIZE', mm.FALLOC_FL_PUNCH_HOLE, 0, PAGE, -EOPNOTSUPP, 0],
    ['refuses an unknown mode', 8, 0, PAGE, -EOPNOTSUPP, 0],
    ['refuses no length', KEEP, 0, 0, -EINVAL, 0],
  ])('%s', (_, mode, offset, length, expected, pages) => {
    const rig = new Rig({}, 4);
    expect(rig.fallocate(mode, offset, length)).toBe(expected);
    expect(rig.pages).toBe(pages);
  });

  it.each([
    [0, 1],
    [0, 4095],
    [0, 4097],
    [1, 1],
    [1, 4095],
    [1, 4096],
    [1, 4097],
    [4096, 1],
    [4096, 4095],
    [4096, 4097],
  ])('the unaligned hole {%i, %i} is -EINVAL and notifies nobody', (offset, length) => {
    const rig = new Rig({}, 4);
    rig.bind(0, 4);
    expect(rig.fallocate(PUNCH, offset, length)).toBe(-EINVAL);
    expect(rig.calls()).toEqual([]);
  });

  it('a punched page can be allocated again and reads as zeroes', () => {
    const rig = new Rig({}, 4);
    rig.bind(0, 4);
    rig.k.x.setPageContent(rig.getPage(1).pfn, 0xaa);
    expect(rig.punch(1, 2)).toBe(0);
    expect(rig.pages).toBe(0);
    expect(rig.fallocate(KEEP, PAGE, PAGE)).toBe(0);
    expect(rig.k.x.pageContent(rig.getPage(1).pfn)).toBe(0);
  });
});

describe('memory errors', () => {
  it('reach the binding of the page that failed, with its offset, in the file that holds it', () => {
    const first = new Rig({}, 512);
    const rig = new Rig({}, 512, first.k);
    first.bind(0, 512);
    rig.bind(0, 64);
    rig.bind(64, 128);
    first.fallocate(KEEP, 0, 300 * PAGE);
    rig.fallocate(KEEP, 0, 128 * PAGE);
    expect(rig.k.x.restrictedmemErrorPage(rig.getPage(63).pfn)).toBe(0);
    expect(rig.calls()).toEqual(times(1, 'error', 0, 63, 64));
    expect(first.calls()).toEqual([]);
    expect(rig.pages).toBe(128);
  });

  it('find a page in the middle of a folio, and tell nobody about a page that no file holds', () => {
    const rig = new Rig();
    const { k } = rig;
    const file = k.x.memfdRestricted(0, 0, -1, 1) >>> 0;
    k.x.restrictedmemSetattr(file, BigInt(1024 * PAGE));
    k.x.restrictedmemBind(file, 512n, 1024n, rig.notifier(), 1);
    k.x.restrictedmemFallocate(file, KEEP, 0n, BigInt(1024 * PAGE));
    const pfn = k.x.restrictedmemFindPage(file, 777n) >>> 0;
    k.x.restrictedmemErrorPage(pfn);
    expect(rig.calls()).toEqual(times(1, 'error', 0, 777, 778));
    k.x.putPage(pfn);
    k.x.restrictedmemErrorPage(k.x.allocPages(0, -1) >>> 0);
    expect(rig.calls()).toEqual([]);
  });

  it('B11: the walk over s_inodes finds nothing; were the inode there, it would tell the neighbour too', () => {
    const rig = new Rig({ variants: [V_B11] }, 128);
    rig.bind(0, 64);
    rig.bind(64, 128);
    const { pfn } = rig.getPage(63);
    expect(rig.k.x.restrictedmemErrorPage(pfn)).toBe(0);
    expect(rig.calls()).toEqual([]);
    rig.k.x.testChainInode(rig.file);
    rig.k.x.restrictedmemErrorPage(pfn);
    expect(rig.calls()).toEqual([...times(1, 'error', 0, 63, 64), ...times(1, 'error', 1, 63, 64)]);
  });
});

describe('release', () => {
  it('the last reference frees bindings, hidden file and pages, and nothing else', () => {
    const rig = new Rig({}, 256);
    const other = new Rig({}, 256, rig.k);
    rig.bind(0, 256);
    rig.fallocate(KEEP, 0, 256 * PAGE);
    other.fallocate(KEEP, 0, 10 * PAGE);
    rig.k.x.fgetFile(rig.file);
    rig.unbind(0, 256);
    rig.k.x.fputFile(rig.file);
    expect(rig.k.x.allocatedPages()).toBe(266);
    rig.k.x.fputFile(rig.file);
    expect(rig.k.x.allocatedPages()).toBe(10);
    expectConserved(rig.k);
    expect(oopsOf(() => rig.k.x.restrictedmemSize(rig.file))).toBe(OOPS_FREED_ACCESS);
  });

  const releaseStacked = (options: Partial<ShardOptions>): { rig: Rig; code: number | undefined } => {
    const rig = new Rig(options, 16);
    rig.fallocate(KEEP, 0, 16 * PAGE);
    rig.k.x.testSetInodeMapping(rig.file, rig.k.alloc(16));
    return { rig, code: oopsOf(() => rig.k.x.fputFile(rig.file)) };
  };

  it('goes by file->f_mapping, also when inode->i_mapping differs', () => {
    const { rig, code } = releaseStacked({});
    expect(code).toBeUndefined();
    expect(rig.k.x.allocatedPages()).toBe(0);
  });

  it.each([
    ['B02', { variants: [V_B02] }],
    ['protocol rfc-v7', { protocol: PROTOCOL_RFC_V7 }],
  ])('%s: through inode->i_mapping it meets no object', (_, options) => {
    expect(releaseStacked(options).code).toBe(OOPS_USE_AFTER_FREE);
  });

  it('B02 without the oracles: object and pages leak', () => {
    const { rig, code } = releaseStacked({ variants: [V_B02], oracles: false });
    expect(code).toBeUndefined();
    expect(rig.k.x.allocatedPages()).toBe(16);
  });
});
