// The process of a VMM: its memory, which outlives the VM or ends before it, and which goes to swap with what the guest has written.
import { describe, expect, it } from 'vitest';
import * as abi from '#src/kernel/abi/kvm.js';
import { ACCESS_WRITE, VCPU_VALUE } from '#src/kernel/abi/vcpu.js';
import type { TestKernel } from '../harness.js';
import { bootKvm, EINVAL, exhaust, HVA, newVm, PAGE, setRegion } from './support.js';

const GFN = 8n;
const PAGE_INDEX = HVA / PAGE;

interface Vmm {
  k: TestKernel;
  kvm: number;
  vcpu: number;
  process: number;
}

/** A guest with `pages` gfns of its VMM's memory from GFN on. */
function newVmm(flags = 0, pages = 4n): Vmm {
  const k = bootKvm();
  const kvm = newVm(k);
  const process = k.x.processCreate(kvm) >>> 0;
  expect(setRegion(k, kvm, { id: 0, flags, gpa: GFN * PAGE, size: pages * PAGE, hva: HVA })).toBe(0);
  return { k, kvm, process, vcpu: k.x.vcpuCreate(kvm) >>> 0 };
}

const write = ({ k, vcpu }: Vmm, page: bigint, token: number): number =>
  k.x.vcpuAccess(vcpu, GFN + page, ACCESS_WRITE, token);
function read({ k, vcpu }: Vmm, page: bigint): number {
  expect(k.x.vcpuAccess(vcpu, GFN + page, 0, 0)).toBe(0);
  return k.u32(vcpu + VCPU_VALUE);
}
const reclaim = ({ k, process }: Vmm, first: bigint, pages: bigint): number =>
  k.x.processReclaim(process, PAGE_INDEX + first, pages);

describe('memory of a process', () => {
  it('is the guest’s as if it were a part of the VM, and outlives it', () => {
    const vmm = newVmm();
    const { k, kvm, process } = vmm;
    const before = k.x.allocatedPages();
    expect([write(vmm, 1n, 7), read(vmm, 1n), k.x.hostReadUser(kvm, HVA + PAGE)]).toEqual([0, 7, 7]);
    k.x.destroyVm(kvm);
    expect(k.x.allocatedPages() - before).toBe(1);
    k.x.processExit(process);
    expect(k.x.allocatedPages() - before).toBe(0);
  });

  it('goes when the process ends, with every mapping of it, and the VM can still be destroyed', () => {
    const vmm = newVmm();
    const { k, kvm, process } = vmm;
    write(vmm, 0n, 1);
    write(vmm, 3n, 2);
    expect(k.x.tdpLookup(kvm, GFN + 3n)).not.toBe(0n);
    k.x.processExit(process);
    expect([k.x.tdpLookup(kvm, GFN), k.x.tdpLookup(kvm, GFN + 3n), k.x.sharedPageCount(kvm)]).toEqual([0n, 0n, 0n]);
    k.x.destroyVm(kvm);
    expect(k.x.lostPages()).toBe(0);
  });

  it('is taken away under the notifier, which a VM that has gone does not hear', () => {
    const vmm = newVmm();
    const { k, kvm, process } = vmm;
    write(vmm, 1n, 7);
    expect(k.x.processDiscard(process, PAGE_INDEX, 4n)).toBe(1);
    const started = k.u32(kvm + abi.KVM_COUNTERS + 4 * abi.KC_MN_STARTS);
    expect([started, k.u32(kvm + abi.KVM_MN_ACTIVE), read(vmm, 1n)]).toEqual([1, 0, 0]);
    k.x.destroyVm(kvm);
    expect(k.x.processDiscard(process, PAGE_INDEX, 4n)).toBe(1);
  });
});

describe('swap', () => {
  it('has what the guest wrote last, each time that the page was changed', () => {
    const vmm = newVmm();
    for (const token of [7, 8]) {
      write(vmm, 1n, token);
      expect(reclaim(vmm, 0n, 4n)).toBe(1);
      expect([vmm.k.x.sharedPageCount(vmm.kvm), vmm.k.x.hostReadUser(vmm.kvm, HVA + PAGE)]).toEqual([0n, token]);
      expect(read(vmm, 1n)).toBe(token);
    }
  });

  it('has what the fast page fault let the guest write, also when a large range is zapped at once', () => {
    const vmm = newVmm(abi.KVM_MEM_LOG_DIRTY_PAGES, 128n);
    const pages = Array.from({ length: 128 }, (_, page) => BigInt(page));
    for (const page of pages) write(vmm, page, 7);
    expect(reclaim(vmm, 0n, 128n)).toBe(128);
    for (const page of pages) {
      read(vmm, page);
      write(vmm, page, Number(page) + 1);
    }
    vmm.k.x.kvmMmuNotifierInvalidateRangeStart(vmm.kvm, HVA, HVA + 128n * PAGE, 1);
    vmm.k.x.kvmMmuNotifierInvalidateRangeEnd(vmm.kvm, HVA, HVA + 128n * PAGE);
    expect(reclaim(vmm, 0n, 128n)).toBe(128);
    for (const page of pages) expect(read(vmm, page)).toBe(Number(page) + 1);
  });

  it('keeps its copy of a page that was only read since', () => {
    const vmm = newVmm(abi.KVM_MEM_LOG_DIRTY_PAGES);
    write(vmm, 1n, 7);
    expect([reclaim(vmm, 1n, 1n), read(vmm, 1n), reclaim(vmm, 1n, 1n), read(vmm, 1n)]).toEqual([1, 7, 1, 7]);
  });

  it('has the write that made a page dirty by the fast page fault, and the one before dirty logging began', () => {
    const logging = newVmm(abi.KVM_MEM_LOG_DIRTY_PAGES);
    write(logging, 1n, 7);
    reclaim(logging, 1n, 1n);
    read(logging, 1n);
    write(logging, 1n, 9);
    expect([reclaim(logging, 1n, 1n), read(logging, 1n)]).toEqual([1, 9]);

    const later = newVmm();
    write(later, 1n, 5);
    const flags = abi.KVM_MEM_LOG_DIRTY_PAGES;
    setRegion(later.k, later.kvm, { id: 0, flags, gpa: GFN * PAGE, size: 4n * PAGE, hva: HVA });
    expect([reclaim(later, 1n, 1n), read(later, 1n)]).toEqual([1, 5]);
  });

  it('has what the kernel wrote through a gfn_to_pfn cache', () => {
    const vmm = newVmm();
    expect(vmm.k.x.kvmGpcActivate(vmm.kvm, GFN + 1n)).toBe(0);
    expect(vmm.k.x.kvmGpcWrite(vmm.kvm, 9)).toBe(0);
    expect([reclaim(vmm, 1n, 1n), vmm.k.x.hostReadUser(vmm.kvm, HVA + PAGE)]).toEqual([1, 9]);
  });

  it('without room keeps the page, and what was written to it', () => {
    // Each page needs a node of its own in swap's tree; the magazines have some left.
    const pages = Array.from({ length: 400 }, (_, n) => BigInt(n) * 64n);
    const vmm = newVmm(0, 400n * 64n);
    for (const page of pages) write(vmm, page, 7);
    exhaust(vmm.k);
    const kept = pages.filter((page) => reclaim(vmm, page, 1n) === 0);
    expect(kept.length).toBeGreaterThan(0);
    expect(kept.map((page) => vmm.k.x.hostReadUser(vmm.kvm, HVA + page * PAGE))).toEqual(kept.map(() => 7));
  });

  it('is forgotten with the memory, and has no page that somebody holds', () => {
    const vmm = newVmm();
    const { k, kvm, process } = vmm;
    write(vmm, 1n, 7);
    const pfn = Number(k.x.tdpLookup(kvm, GFN + 1n) >> 12n) & 0xffffff;
    k.x.getPage(pfn);
    expect(reclaim(vmm, 1n, 1n)).toBe(0);
    k.x.putPage(pfn);
    expect(reclaim(vmm, 1n, 1n)).toBe(1);
    k.x.processDiscard(process, PAGE_INDEX, 4n);
    expect([k.x.hostReadUser(kvm, HVA + PAGE), read(vmm, 1n)]).toEqual([0, 0]);
  });
});

it('KVM’s own memslot is out of reach of user space and goes with the VM, open notifier call or not', () => {
  const { k, kvm } = newVmm();
  expect(setRegion(k, kvm, { id: abi.KVM_OWN_SLOT, gpa: 0x100n * PAGE, size: PAGE })).toBe(EINVAL);
  expect(k.x.kvmSetOwnSlot(kvm, 0x100n, PAGE_INDEX + 64n, 1n)).toBe(0);
  k.x.kvmMmuNotifierInvalidateRangeStart(kvm, HVA, HVA + PAGE, 1);
  k.x.destroyVm(kvm);
  expect(k.u32(kvm + abi.KVM_MAGIC)).not.toBe(abi.KVM_MAGIC_VALUE);
});
