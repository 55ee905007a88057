// What the SNP tests share: raw entries by field, and the smallest struct kvm, slot and file that the arch hook can walk.
import * as kvm from '#src/kernel/abi/kvm.js';
import { SH_RMP, TASK_SIZE, SH_TASKS } from '#src/kernel/abi/layout.js';
import { FILE_F_MAPPING, FILE_SIZE, RM_MEMFD, RM_SIZE, SHMEM_FOLIO, SHMEM_SIZE } from '#src/kernel/abi/mm.js';
import { SNP_COUNTERS } from '#src/kernel/abi/snp.js';
import { bootKernel, type TestKernel } from '../harness.js';

export interface Entry {
  assigned: boolean;
  is2m: boolean;
  immutable: boolean;
  /** Bits 3-11: of a head, the number of other assigned pages. */
  count: number;
  gpa: bigint;
  asid: number;
  vmsa: boolean;
  validated: boolean;
  bit63: boolean;
}

export function decode(lo: bigint): Entry {
  return {
    assigned: (lo & 1n) !== 0n,
    is2m: (lo & 2n) !== 0n,
    immutable: (lo & 4n) !== 0n,
    count: Number((lo >> 3n) & 0x1ffn),
    gpa: ((lo >> 12n) & 0x7fffffffffn) << 12n,
    asid: Number((lo >> 51n) & 0x3ffn),
    vmsa: (lo & (1n << 61n)) !== 0n,
    validated: (lo & (1n << 62n)) !== 0n,
    bit63: (lo & (1n << 63n)) !== 0n,
  };
}

export const entryAddress = (k: TestKernel, pfn: number): number => k.u32(SH_RMP) + pfn * 16;
export const rawLo = (k: TestKernel, pfn: number): bigint => k.u64(entryAddress(k, pfn));
export const rawHi = (k: TestKernel, pfn: number): bigint => k.u64(entryAddress(k, pfn) + 8);
export const entryOf = (k: TestKernel, pfn: number): Entry => decode(rawLo(k, pfn));

/** One counter (SNPC_*) summed over all tasks. */
export function counter(k: TestKernel, offset: number, tasks = 16): number {
  let sum = 0;
  for (let id = 0; id < tasks; id++) sum += Number(k.u64(k.u32(SH_TASKS) + id * TASK_SIZE + SNP_COUNTERS + offset));
  return sum;
}

/** Problems with the rule that ties a 2M region's head to its other entries, seen at rest. */
export function regionProblems(k: TestKernel, head: number): string[] {
  const problems: string[] = [];
  const headEntry = entryOf(k, head);
  let assigned = 0;
  for (let n = 1; n < 512; n++) {
    const lo = rawLo(k, head + n);
    if ((lo & 1n) !== 0n) assigned++;
    if (headEntry.is2m && lo !== 0n) problems.push(`follower ${n} of a 2M entry holds ${lo.toString(16)}`);
    if ((lo & 0xff8n) !== 0n) problems.push(`follower ${n} is still marked`);
    if (rawHi(k, head + n) >> 62n !== 0n) problems.push(`follower ${n} is still locked or in use`);
  }
  if (headEntry.count !== assigned) problems.push(`count ${headEntry.count}, assigned ${assigned}`);
  if (rawHi(k, head) >> 62n !== 0n) problems.push('head is still locked or in use');
  return problems;
}

export interface Guest {
  k: TestKernel;
  asid: number;
  kvm: number;
  slot: number;
  cache: number;
  baseGfn: number;
  pgoff: number;
  pages: number;
}

/** A VM with one private slot over a file: structs by their layout, no code of the layers above. */
export function makeGuest(k: TestKernel, asid: number, baseGfn: number, pgoff: number, pages: number): Guest {
  const vm = k.alloc(kvm.KVM_SIZE);
  k.setU32(vm + kvm.KVM_ASID, asid);
  k.setU32(vm + kvm.KVM_TYPE, kvm.KVM_TYPE_SNP);
  k.x.rwlockInit(vm + kvm.KVM_MMU_LOCK, 11);
  const file = k.alloc(FILE_SIZE);
  const mapping = k.alloc(64);
  const restrictedmem = k.alloc(RM_SIZE);
  const shmem = k.alloc(SHMEM_SIZE);
  k.x.xaInit(shmem, 5);
  k.setU32(file + FILE_F_MAPPING, mapping);
  k.setU32(mapping, restrictedmem);
  k.setU32(restrictedmem + RM_MEMFD, shmem);
  const slot = k.alloc(kvm.SLOT_SIZE);
  k.setU32(slot + kvm.SLOT_KVM, vm);
  k.setU64(slot + kvm.SLOT_BASE_GFN, BigInt(baseGfn));
  k.setU64(slot + kvm.SLOT_NPAGES, BigInt(pages));
  k.setU32(slot + kvm.SLOT_FLAGS, kvm.KVM_MEM_PRIVATE);
  k.setU32(slot + kvm.SLOT_RM_FILE, file);
  k.setU64(slot + kvm.SLOT_RM_INDEX, BigInt(pgoff));
  return { k, asid, kvm: vm, slot, cache: shmem, baseGfn, pgoff, pages };
}

const offsetOf = (g: Guest, gfn: number): number => gfn - g.baseGfn + g.pgoff;

/** Puts a fresh 4K page into the file at gfn; returns its PFN. */
export function populate(g: Guest, gfn: number): number {
  const pfn = g.k.x.allocPages(0, -1) >>> 0;
  g.k.x.xaStore(g.cache, BigInt(offsetOf(g, gfn)), g.k.x.xaMkValue(pfn));
  return pfn;
}

/** Puts a fresh 2M folio into the file at gfn; returns its first PFN. */
export function populate2m(g: Guest, gfn: number): number {
  const pfn = g.k.x.allocPages(9, -1) >>> 0;
  g.k.x.xaStoreOrder(g.cache, BigInt(offsetOf(g, gfn)), 9, g.k.x.xaMkValue((pfn | SHMEM_FOLIO) >>> 0));
  return pfn;
}

export const makePrivate = (g: Guest, gfn: number, pfn: number, level: number): number =>
  g.k.x.snpMakePagePrivate(g.kvm, BigInt(gfn), pfn, level);

/** A small kernel with all its memory handed to the page allocator. */
export function bootWithMemory(options: Parameters<typeof bootKernel>[0] = {}): TestKernel {
  const k = bootKernel(options);
  k.x.addMemory(0, options.pfnCount ?? 4096);
  return k;
}
