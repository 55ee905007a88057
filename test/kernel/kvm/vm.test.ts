// Life of a VM: creation, the list, the order of destruction, and that nothing is left behind.
import { describe, expect, it } from 'vitest';
import * as abi from '#src/kernel/abi/kvm.js';
import { HOOK_SNP, HOOK_USER } from '#src/kernel/abi/layout.js';
import { FILE_COUNT } from '#src/kernel/abi/mm.js';
import * as codes from '#src/kernel/abi/oops.js';
import { V_B13 } from '#src/kernel/abi/variants.js';
import type { TestKernel } from '../harness.js';
import { bootKvm, exhaust, HVA, liveObjects, newFile, newVm, PAGE, setRegion, violationsOf } from './support.js';

const ENOMEM = -12;
const PRIVATE = abi.KVM_MEM_PRIVATE;
const id = (k: TestKernel, kvm: number): number => k.u32(kvm + abi.KVM_ID);

describe('the list of VMs', () => {
  it('holds each living VM under its number; numbers are not used twice', () => {
    const k = bootKvm();
    const vms = [newVm(k), newVm(k), newVm(k)];
    const ids = vms.map((kvm) => id(k, kvm));
    expect(new Set(ids).size).toBe(3);
    for (const [n, kvm] of vms.entries()) expect(k.x.kvmById(ids[n]!) >>> 0).toBe(kvm);
    k.x.destroyVm(vms[1]!);
    expect(ids.map((n) => k.x.kvmById(n) >>> 0)).toEqual([vms[0], 0, vms[2]]);
    expect(ids).not.toContain(id(k, newVm(k)));
  });
});

/** The ASID that the VM has while its slot is unbound. */
function destroySnp(variants: number[]): { asids: number[]; violations: number[]; asid: number } {
  const asids: number[] = [];
  const vm = { kvm: 0 };
  const k: TestKernel = bootKvm(
    { hook: HOOK_USER, variants },
    { userHook: () => void asids.push(k.u32(vm.kvm + abi.KVM_ASID)) },
  );
  vm.kvm = newVm(k, abi.KVM_TYPE_SNP);
  const asid = k.u32(vm.kvm + abi.KVM_ASID);
  setRegion(k, vm.kvm, { id: 1, flags: PRIVATE, gpa: 0n, size: 64n * PAGE, file: newFile(k, 1n << 20n) });
  return { violations: violationsOf(() => k.x.destroyVm(vm.kvm)), asids, asid };
}

describe('destroying a VM', () => {
  it('frees every object: slots, bindings, attributes, locks, sets', () => {
    const k = bootKvm({ hook: HOOK_SNP });
    const life = (): void => {
      const kvm = newVm(k, abi.KVM_TYPE_SNP);
      const file = newFile(k, 1n << 20n);
      setRegion(k, kvm, { id: 1, flags: PRIVATE, gpa: 0n, size: 64n * PAGE, file });
      setRegion(k, kvm, { id: 2, flags: PRIVATE, gpa: 1n << 20n, size: 64n * PAGE, file, offset: 64n * PAGE });
      setRegion(k, kvm, { id: 3, asId: 1, gpa: 0n, size: 64n * PAGE });
      setRegion(k, kvm, { id: 1 });
      k.x.kvmSetMemoryAttributes(kvm, 250n, 300n, abi.KVM_MEMORY_ATTRIBUTE_PRIVATE);
      k.x.destroyVm(kvm);
      expect(k.u32(file + FILE_COUNT)).toBe(1); // each slot gave its reference back
      k.x.fputFile(file);
    };
    life();
    const before = liveObjects(k);
    for (let n = 0; n < 5; n++) life();
    expect(liveObjects(k)).toBe(before);
  });

  it('releases the file when the last slot held it: the descriptor may be closed right after KVM_SET_USER_MEMORY_REGION', () => {
    const k = bootKvm();
    const before = liveObjects(k);
    const file = newFile(k, 1n << 20n);
    const kvm = newVm(k);
    expect(setRegion(k, kvm, { id: 1, flags: PRIVATE, gpa: 0n, size: 64n * PAGE, file })).toBe(0);
    k.x.fputFile(file);
    expect(k.x.restrictedmemFallocate(file, 3, 0n, PAGE)).toBe(0); // still there
    k.x.destroyVm(kvm);
    expect(liveObjects(k)).toBe(before);
  });

  it('unbinds the slots while the VM still has its ASID', () => {
    const { asids, violations, asid } = destroySnp([]);
    expect(asid).toBeGreaterThan(0);
    expect({ asids, violations }).toEqual({ asids: [asid], violations: [] });
  });

  it('in the order of the RFC (B13) the hook runs after the ASID was given back, and is caught', () => {
    expect(destroySnp([V_B13])).toMatchObject({ asids: [], violations: [codes.OOPS_HOOK_WITHOUT_ASID] });
  });

  it('gives the ASID back', () => {
    const k = bootKvm();
    const kvm = newVm(k, abi.KVM_TYPE_SNP);
    const asid = k.u32(kvm + abi.KVM_ASID);
    expect(k.x.sevAsidLive(asid)).toBe(1);
    k.x.destroyVm(kvm);
    expect(k.x.sevAsidLive(asid)).toBe(0);
  });

  it('takes the ASID that user space asks for, unless another VM has it', () => {
    const k = bootKvm();
    const err = k.alloc(8);
    const first = newVm(k, abi.KVM_TYPE_SNP, 1);
    expect([k.u32(first + abi.KVM_ASID), k.x.sevAsidLive(1)]).toEqual([1, 1]);
    expect(k.u32(newVm(k, abi.KVM_TYPE_SNP) + abi.KVM_ASID)).toBe(2); // the pool goes on behind it
    for (const [asid, error] of [
      [1, -16],
      [2, -16],
      [100_000, -22],
    ] as const) {
      expect(k.x.createVm(abi.KVM_TYPE_SNP, asid, err)).toBe(0);
      expect(k.u32(err) | 0).toBe(error);
    }
    k.x.destroyVm(first);
    expect(k.x.sevAsidLive(1)).toBe(0);
  });

  it('works with slots in any number', () => {
    const k = bootKvm();
    k.x.destroyVm(newVm(k));
    const before = liveObjects(k);
    const kvm = newVm(k);
    for (let n = 0; n < 500; n++) {
      expect(setRegion(k, kvm, { id: n, asId: n % 2, gpa: BigInt(n) << 16n, size: PAGE, hva: HVA })).toBe(0);
    }
    k.x.destroyVm(kvm);
    expect(liveObjects(k)).toBe(before);
  });
});

describe('without memory', () => {
  it('creating a VM fails with ENOMEM at every allocation, and leaves nothing behind', () => {
    const k = bootKvm();
    const err = k.alloc(8);
    exhaust(k);
    let made = 0;
    while (k.x.createVm(abi.KVM_TYPE_NORMAL, 0, err) !== 0) made++;
    expect(k.u32(err) | 0).toBe(ENOMEM);
    expect(made).toBeLessThan(64);
    const live = liveObjects(k);
    for (let n = 0; n < 20; n++) expect(k.x.createVm(abi.KVM_TYPE_NORMAL, 0, err)).toBe(0);
    expect(liveObjects(k)).toBe(live);
  });

  it('a slot that finds no memory is not created, and its file is not bound', () => {
    const k = bootKvm();
    const kvm = newVm(k);
    const file = newFile(k, 1n << 40n);
    setRegion(k, kvm, { id: 0 }); // the region struct of the tests itself
    exhaust(k);
    let last = 0;
    let n = 0;
    for (; last === 0; n++) {
      last = setRegion(k, kvm, {
        id: n,
        flags: PRIVATE,
        gpa: BigInt(n) << 21n,
        size: 1n << 21n,
        file,
        offset: BigInt(n) << 21n,
      });
    }
    expect(last).toBe(ENOMEM);
    expect(k.x.gfnToMemslot(kvm, 0, BigInt(n - 1) << 9n)).toBe(0);
    expect(k.x.restrictedmemBinding(file, BigInt(n - 1) << 9n)).toBe(0);
    expect(k.u64(kvm + abi.KVM_NR_MEMSLOT_PAGES)).toBe(BigInt(n - 1) * 512n);
    expect(k.u32(file + FILE_COUNT)).toBe(n);
  });
});
