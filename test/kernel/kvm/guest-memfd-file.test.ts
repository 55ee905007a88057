// guest_memfd as a file: what its creation and fallocate refuse. kernel: tools/testing/selftests/kvm/guest_memfd_test.c (6.8), case by case.
import { describe, expect, it } from 'vitest';
import { KC_RM_BEGINS, KC_RM_SKIPPED } from '#src/kernel/abi/kvm.js';
import { PROTOCOL_GUEST_MEMFD } from '#src/kernel/abi/layout.js';
import * as mm from '#src/kernel/abi/mm.js';
import type { TestKernel } from '../harness.js';
import { bootKvm, counter, EINVAL, liveObjects, newVm, PAGE } from './support.js';

const EOPNOTSUPP = -95;
const KEEP = mm.FALLOC_FL_KEEP_SIZE;
const PUNCH = mm.FALLOC_FL_KEEP_SIZE | mm.FALLOC_FL_PUNCH_HOLE;

/** KVM_CREATE_GUEST_MEMFD. */
const create = (k: TestKernel, kvm: number, bytes: bigint, flags = 0): number =>
  k.x.kvmGmemCreate(kvm, bytes, flags, 0, -1, 0);

function newOwner(): { k: TestKernel; kvm: number } {
  const k = bootKvm({ protocol: PROTOCOL_GUEST_MEMFD });
  return { k, kvm: newVm(k) };
}

function stat(k: TestKernel, file: number): { bytes: bigint; blockSize: number; inode: number } {
  const at = k.alloc(mm.STAT_SIZE);
  expect(k.x.restrictedmemGetattr(file, at)).toBe(0);
  return { bytes: k.u64(at + mm.STAT_BYTES), blockSize: k.u32(at + mm.STAT_BLKSIZE), inode: k.u32(at + mm.STAT_INO) };
}

describe('KVM_CREATE_GUEST_MEMFD', () => {
  it('refuses each size of 1..4095, none and a negative one', () => {
    const { k, kvm } = newOwner();
    const before = liveObjects(k);
    const sizes = [...Array.from({ length: 4096 }, (_, size) => BigInt(size)), -1n, -PAGE, 4n * PAGE + 1n];
    expect(sizes.filter((size) => create(k, kvm, size) !== EINVAL)).toEqual([]);
    expect(liveObjects(k)).toBe(before);
  });

  it('refuses each single flag', () => {
    const { k, kvm } = newOwner();
    const before = liveObjects(k);
    const flags = Array.from({ length: 32 }, (_, bit) => (1 << bit) >>> 0);
    expect(flags.filter((flag) => create(k, kvm, PAGE, flag) !== EINVAL)).toEqual([]);
    expect(liveObjects(k)).toBe(before);
  });

  it('gives two files their own sizes, which stay, and inode numbers', () => {
    const { k, kvm } = newOwner();
    const [small, large] = [1n, 4n].map((pages) => create(k, kvm, pages * PAGE) >>> 0) as [number, number];
    expect(stat(k, small)).toMatchObject({ bytes: 4096n, blockSize: 4096 });
    expect(stat(k, large)).toMatchObject({ bytes: 16384n, blockSize: 4096 });
    expect(stat(k, small).inode).not.toBe(stat(k, large).inode);
    expect(k.x.restrictedmemSetattr(large, 8n * PAGE)).toBe(EINVAL);
    expect(k.x.restrictedmemSize(large)).toBe(4n * PAGE);
  });
});

describe('fallocate of a guest_memfd of 4 pages', () => {
  const newFile = (): { k: TestKernel; kvm: number; file: number } => {
    const { k, kvm } = newOwner();
    return { k, kvm, file: create(k, kvm, 4n * PAGE) >>> 0 };
  };

  it.each([
    ['allocates the file', KEEP, 0n, 4n * PAGE, 0, 4n],
    ['allocates its last page', KEEP, 3n * PAGE, PAGE, 0, 1n],
    ['refuses a page at the end', KEEP, 4n * PAGE, PAGE, EINVAL, 0n],
    ['refuses a page behind the end', KEEP, 5n * PAGE, PAGE, EINVAL, 0n],
    ['refuses a range that reaches over the end', KEEP, 2n * PAGE, 3n * PAGE, EINVAL, 0n],
    ['refuses a hole at 4095', PUNCH, 4095n, PAGE, EINVAL, 0n],
    ['punches at the end', PUNCH, 4n * PAGE, PAGE, 0, 0n],
    ['punches behind the end', PUNCH, 5n * PAGE, PAGE, 0, 0n],
    ['punches over the end', PUNCH, 2n * PAGE, 3n * PAGE, 0, 0n],
    ['refuses a hole of 4095 bytes', PUNCH, PAGE, 4095n, EINVAL, 0n],
  ])('%s', (_, mode, offset, length, expected, pages) => {
    const { k, file } = newFile();
    expect(k.x.restrictedmemFallocate(file, mode, offset, length)).toBe(expected);
    expect(k.x.restrictedmemPages(file)).toBe(pages);
    expect(k.x.restrictedmemSize(file)).toBe(4n * PAGE);
  });

  it('allocates a punched page again', () => {
    const { k, file } = newFile();
    const at = (mode: number): number => k.x.restrictedmemFallocate(file, mode, PAGE, PAGE);
    expect([at(KEEP), k.x.restrictedmemPages(file)]).toEqual([0, 1n]);
    expect([at(PUNCH), k.x.restrictedmemPages(file)]).toEqual([0, 0n]);
    expect([at(KEEP), k.x.restrictedmemPages(file)]).toEqual([0, 1n]);
  });

  it.each([
    [0n, 1n],
    [0n, 4095n],
    [0n, 4097n],
    [1n, 1n],
    [1n, 4095n],
    [1n, 4096n],
    [1n, 4097n],
    [4096n, 1n],
    [4096n, 4095n],
    [4096n, 4097n],
  ])('refuses the unaligned hole {%i, %i}: no page goes, nobody is told', (offset, length) => {
    const { k, kvm, file } = newFile();
    const told = (): number[] => [KC_RM_BEGINS, KC_RM_SKIPPED].map((index) => counter(k, kvm, index));
    expect(k.x.restrictedmemFallocate(file, KEEP, 0n, 4n * PAGE)).toBe(0);
    const before = told();
    expect(k.x.restrictedmemFallocate(file, PUNCH, offset, length)).toBe(EINVAL);
    expect(k.x.restrictedmemPages(file)).toBe(4n);
    expect(told()).toEqual(before);
  });

  it('gives its errors in order: of the VFS, KEEP_SIZE missing, unaligned', () => {
    const { k, file } = newFile();
    const falloc = (mode: number, offset: bigint, length: bigint): number =>
      k.x.restrictedmemFallocate(file, mode, offset, length);
    expect(falloc(KEEP, -PAGE, PAGE)).toBe(EINVAL);
    expect(falloc(KEEP, 0n, 0n)).toBe(EINVAL);
    expect(falloc(8, 0n, PAGE)).toBe(EOPNOTSUPP);
    expect(falloc(0, 1n, PAGE)).toBe(EOPNOTSUPP);
    expect(falloc(KEEP, 1n, PAGE)).toBe(EINVAL);
  });
});
