// What the MMU and vCPU tests share: a guest with a private and a shared slot, accesses by name, page tables and TLBs as plain data.
import * as abi from '#src/kernel/abi/vcpu.js';
import * as kvmAbi from '#src/kernel/abi/kvm.js';
import { HOOK_SNP } from '#src/kernel/abi/layout.js';
import { FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE } from '#src/kernel/abi/mm.js';
import type { ShardOptions } from '#src/host/shard.js';
import type { TestKernel } from '../harness.js';
import { bootKvm, HVA, newVm, setRegion } from './support.js';

export const READ = 0;
export const WRITE = abi.ACCESS_WRITE;
export const PRIVATE = abi.ACCESS_PRIVATE;
export const EFAULT = -14;

/** First gfn of the area; 2M-aligned. */
export const BASE = 0x10000;
/** The SNP hook on, all pages with the allocator. */
export function bootGuestKernel(options: Partial<ShardOptions> = {}): TestKernel {
  const k = bootKvm({ pfnCount: 8192, hook: HOOK_SNP, memoryPages: 2048, ...options });
  k.x.addMemory(0, options.pfnCount ?? 8192);
  return k;
}

export interface Guest {
  k: TestKernel;
  kvm: number;
  vcpu: number;
  file: number;
  pages: number;
}

export interface GuestOptions {
  snp?: boolean;
  pages?: number;
  huge?: boolean;
  /** All gfns start as private. */
  isPrivate?: boolean;
}

/** A VM with one private slot of `pages` gfns from BASE on, over a file of its own, and one vCPU. */
export function newGuest(k: TestKernel, options: GuestOptions = {}): Guest {
  const { snp = true, pages = 64, huge = false, isPrivate = true } = options;
  const kvm = newVm(k, snp ? kvmAbi.KVM_TYPE_SNP : kvmAbi.KVM_TYPE_NORMAL);
  const file = k.x.memfdRestricted(0, 0, -1, huge ? 1 : 0) >>> 0;
  k.x.restrictedmemSetattr(file, BigInt(pages) << 12n);
  const guest = { k, kvm, vcpu: k.x.vcpuCreate(kvm) >>> 0, file, pages };
  createSlot(guest);
  if (isPrivate) setPrivate(guest, 0, pages, true);
  return guest;
}

export function createSlot({ k, kvm, file, pages }: Guest): number {
  const size = BigInt(pages) << 12n;
  return setRegion(k, kvm, { id: 0, flags: kvmAbi.KVM_MEM_PRIVATE, gpa: BigInt(BASE) << 12n, size, file, hva: HVA });
}

export const deleteSlot = ({ k, kvm }: Guest): number => setRegion(k, kvm, { id: 0, size: 0n });

export function setPrivate({ k, kvm }: Guest, first: number, count: number, isPrivate: boolean): void {
  const start = BigInt(BASE + first);
  const attributes = isPrivate ? kvmAbi.KVM_MEMORY_ATTRIBUTE_PRIVATE : 0;
  const ret = k.x.kvmSetMemoryAttributes(kvm, start, start + BigInt(count), attributes);
  if (ret !== 0) throw new Error(`attributes: ${ret}`);
}

export function punch({ k, file }: Guest, first: number, count: number): number {
  const mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
  return k.x.restrictedmemFallocate(file, mode, BigInt(first) << 12n, BigInt(count) << 12n);
}

/** One access at page `page` of the area; the result code, and the token of a read. */
export function access(g: Guest, page: number, flags: number, token = 0): { ret: number; value: number } {
  const ret = g.k.x.vcpuAccess(g.vcpu, BigInt(BASE + page), flags, token);
  return { ret, value: g.k.u32(g.vcpu + abi.VCPU_VALUE) };
}

export function put(g: Guest, page: number, token: number, isPrivate = true): void {
  const { ret } = access(g, page, WRITE | (isPrivate ? PRIVATE : 0), token);
  if (ret !== 0) throw new Error(`write: ${ret}`);
}

export function get(g: Guest, page: number, isPrivate = true): number {
  const { ret, value } = access(g, page, isPrivate ? PRIVATE : 0);
  if (ret !== 0) throw new Error(`read: ${ret}`);
  return value;
}

export const count = (g: Guest, offset: number): number => Number(g.k.u64(g.vcpu + offset));

/** PFN mapped at a page of the area, -1: none. */
export function mapped(g: Guest, page: number): number {
  const spte = g.k.x.tdpLookup(g.kvm, BigInt(BASE + page));
  return (spte & 1n) === 0n ? -1 : Number((spte >> 12n) & 0xffffffffffn);
}

export interface Leaf {
  gfn: number;
  pfn: number;
  level: number;
  isPrivate: boolean;
  writable: boolean;
}

const outOf = new WeakMap<TestKernel, number>();
function readLeaf(k: TestKernel, p: number): Leaf {
  return {
    gfn: Number(k.u64(p + abi.LEAF_GFN)),
    pfn: k.u32(p + abi.LEAF_PFN),
    level: k.u32(p + abi.LEAF_LEVEL),
    isPrivate: k.u32(p + abi.LEAF_PRIVATE) !== 0,
    writable: k.u32(p + abi.LEAF_WRITABLE) !== 0,
  };
}

function scratch(k: TestKernel): number {
  const p = outOf.get(k) ?? k.alloc(abi.LEAF_SIZE);
  outOf.set(k, p);
  return p;
}

/** All leafs of the VM's current root, in order. */
export function leafs(k: TestKernel, kvm: number): Leaf[] {
  const p = scratch(k);
  const found: Leaf[] = [];
  for (let gfn = 0; k.x.tdpNextLeaf(kvm, BigInt(gfn), p) !== 0;) {
    const leaf = readLeaf(k, p);
    found.push(leaf);
    gfn = leaf.gfn + (leaf.level === 2 ? 512 : 1);
  }
  return found;
}

/** All valid TLB entries of a vCPU. */
export function tlbEntries(k: TestKernel, vcpu: number): Leaf[] {
  const p = scratch(k);
  const found: Leaf[] = [];
  for (let n = k.x.tlbNext(vcpu, 0, p); n >= 0; n = k.x.tlbNext(vcpu, n + 1, p)) found.push(readLeaf(k, p));
  return found;
}
