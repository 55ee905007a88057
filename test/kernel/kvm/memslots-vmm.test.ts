// Memslot sequences of real VMMs: what QEMU asks for when it starts confidential guests, and what KVM answered. Sources: Michael Roth's logs
// in the guest_memfd v12 review (20 September and 2 October 2023), Chao Peng's in the memfd_restricted v10 review (17 January 2023), and a
// published boot log of an 8 GiB TDX guest.
import { describe, expect, it } from 'vitest';
import * as abi from '#src/kernel/abi/kvm.js';
import { bootKvm, EINVAL, newFile, newVm, PAGE, setRegion, slotIdAt } from './support.js';

type Step = {
  slot: number;
  flags: number;
  gpa: bigint;
  size: bigint;
  ua: bigint;
  fd: string;
  offset: bigint;
  ret?: number;
};
const PRIVATE = abi.KVM_MEM_PRIVATE;
const READ_ONLY_PRIVATE = abi.KVM_MEM_PRIVATE | abi.KVM_MEM_READONLY;
const step = (
  slot: number,
  flags: number,
  gpa: number,
  size: number,
  ua: number,
  fd = 'ram',
  offset = 0,
  ret = 0,
): Step => ({
  slot,
  flags,
  gpa: BigInt(gpa),
  size: BigInt(size),
  ua: BigInt(ua),
  fd,
  offset: BigInt(offset),
  ret,
});

interface Sequence {
  title: string;
  steps: Step[];
  /** Slot id expected at some guest addresses afterwards. */
  after: [gpa: number, id: number][];
}

const SEQUENCES: Sequence[] = [
  {
    title: '16 GiB SNP guest: low memory is deleted and comes back in two slots, the second at file offset 1 MiB',
    steps: [
      step(0, PRIVATE, 0, 0x8000_0000, 0x7fbf_5be0_0000),
      step(1, PRIVATE, 0x1_0000_0000, 0x3_8000_0000, 0x7fbf_dbe0_0000, 'ram', 0x8000_0000),
      step(0, 0, 0, 0, 0x7fbf_5be0_0000),
      step(0, PRIVATE, 0, 0xc_0000, 0x7fbf_5be0_0000),
      step(6, PRIVATE, 0x10_0000, 0x7ff0_0000, 0x7fbf_5bf0_0000, 'ram', 0x10_0000),
    ],
    after: [
      [0xb_f000, 0],
      [0xc_0000, -1],
      [0x10_0000, 6],
      [0x7fff_f000, 6],
      [0x8000_0000, -1],
      [0x1_0000_0000, 1],
    ],
  },
  {
    title: 'SNP guest with firmware windows: read-only private slots with files of their own',
    steps: [
      step(0, PRIVATE, 0, 0x8000_0000, 0x7f24_afc0_0000),
      step(0, 0, 0, 0, 0x7f24_afc0_0000),
      step(0, PRIVATE, 0, 0xc_0000, 0x7f24_afc0_0000),
      step(3, READ_ONLY_PRIVATE, 0xc_0000, 0x2_0000, 0x7f25_7500_0000, 'rom1'),
      step(4, READ_ONLY_PRIVATE, 0xe_0000, 0x2_0000, 0x7f25_7540_0000, 'rom2'),
      step(5, PRIVATE, 0x10_0000, 0x7ff0_0000, 0x7f24_afd0_0000, 'ram', 0x10_0000),
    ],
    after: [
      [0xb_f000, 0],
      [0xc_0000, 3],
      [0xf_f000, 4],
      [0x10_0000, 5],
    ],
  },
  {
    title: 'TDX guest on v10: the SMRAM alias of memory that is bound already is refused',
    steps: [
      step(0, PRIVATE, 0, 0x8000_0000, 0x7fe1_ebff_f000),
      step(1, PRIVATE, 0xffc0_0000, 0x40_0000, 0x7fe2_7157_9000, 'bios'),
      step(2, PRIVATE, 0xfeda_0000, 0x2_0000, 0x7fe1_ec09_f000, 'ram', 0xa_0000, EINVAL),
    ],
    after: [
      [0xfeda_0000, -1],
      [0xa_0000, 0],
      [0xffff_f000, 1],
    ],
  },
  {
    title: '8 GiB TDX guest: low, high and firmware memory',
    steps: [
      step(0, PRIVATE, 0, 0x8000_0000, 0x7fe8_27ff_f000),
      step(1, PRIVATE, 0x1_0000_0000, 0x1_8000_0000, 0x7fe8_a7ff_f000, 'ram', 0x8000_0000),
      step(2, PRIVATE, 0xffc0_0000, 0x40_0000, 0x7fea_3420_0000, 'bios'),
    ],
    after: [
      [0, 0],
      [0x2_7fff_f000, 1],
      [0x2_8000_0000, -1],
      [0xffc8_4000, 2],
    ],
  },
];

describe('KVM answers as it did on the real host', () => {
  it.each(SEQUENCES)('$title', ({ steps, after }) => {
    const k = bootKvm();
    const kvm = newVm(k);
    const files = new Map<string, number>();
    for (const { slot, flags, gpa, size, ua, fd, offset, ret } of steps) {
      if (!files.has(fd)) files.set(fd, newFile(k, 1n << 34n));
      expect(setRegion(k, kvm, { id: slot, flags, gpa, size, hva: ua, file: files.get(fd)!, offset })).toBe(ret);
    }
    for (const [gpa, id] of after) expect(slotIdAt(k, kvm, BigInt(gpa) / PAGE)).toBe(id);
    k.x.destroyVm(kvm);
    for (const file of files.values()) k.x.fputFile(file);
  });
});

const lpage = (k: ReturnType<typeof bootKvm>, kvm: number, gfn: bigint, level: number): number =>
  k.x.kvmLpageInfo(k.x.gfnToMemslot(kvm, 0, gfn), gfn, level);

describe('large pages of the split guest', () => {
  it('a slot that starts at 1 MiB at file offset 1 MiB allows all but its first partial 2M page', () => {
    const k = bootKvm();
    const kvm = newVm(k);
    const hva = 0x7fbf_5be0_0000n + 0x10_0000n;
    const region = { id: 6, flags: PRIVATE, gpa: 0x10_0000n, size: 0x7ff0_0000n, hva, file: newFile(k, 1n << 31n) };
    expect(setRegion(k, kvm, { ...region, offset: 0x10_0000n })).toBe(0);
    expect(lpage(k, kvm, 0x100n, 2)).toBe(abi.LPAGE_DISALLOWED);
    expect(lpage(k, kvm, 0x200n, 2)).toBe(0);
    expect(lpage(k, kvm, 0x7ffffn, 2)).toBe(0);
    expect(lpage(k, kvm, 0x7ffffn, 3)).toBe(abi.LPAGE_DISALLOWED); // the host address is 2M aligned, not 1G
  });

  it.each([
    ['file offset', 0x1000n, 0n],
    ['host address', 0n, 0x1000n],
  ])('a %s that is crooked to the guest address allows none', (_, offset, shift) => {
    const k = bootKvm();
    const kvm = newVm(k);
    const region = {
      flags: PRIVATE,
      gpa: 0n,
      size: 0x80_0000n,
      hva: 0x7fbf_4000_0000n + shift,
      file: newFile(k, 1n << 31n),
    };
    expect(setRegion(k, kvm, { ...region, offset })).toBe(0);
    for (let gfn = 0n; gfn < 0x800n; gfn += 0x200n) expect(lpage(k, kvm, gfn, 2)).toBe(abi.LPAGE_DISALLOWED);
  });
});
