// Violations in words: every code of the kernel has a sentence, and the sentence names objects instead of addresses.
import { describe, expect, it } from 'vitest';
import * as codes from '#src/kernel/abi/oops.js';
import { KVM_MMU_LOCK } from '#src/kernel/abi/kvm.js';
import { LC_MMU, LC_SLOTS } from '#src/kernel/abi/classes.js';
import { LOCK_KVM } from '#src/kernel/abi/layout.js';
import { KernelOops } from '#src/host/errors.js';
import { objectName } from '#src/host/names.js';
import { oopsText, oopsTextCodes } from '#src/host/oops-texts.js';
import { readViolations } from '#src/host/oops.js';
import { bootKernel } from '../kernel/harness.js';

const CODES = Object.entries(codes).filter(([name]) => name.startsWith('OOPS_'));
const nameOf = (address: number): string => `@${address}`;

describe('the table of violation texts', () => {
  it('has a sentence for every code of the kernel and for nothing else', () => {
    const numbers = CODES.map(([, code]) => code);
    expect(new Set(numbers).size).toBe(numbers.length);
    expect(oopsTextCodes().toSorted((a, b) => a - b)).toEqual(numbers.toSorted((a, b) => a - b));
  });

  it.each(CODES)('%s says something a person can read, with no value missing', (_, code) => {
    const text = oopsText(code, [11, 12, 13, 14, 15], nameOf);
    expect(text).toMatch(/[a-z]{3}.*[a-z]{3}/);
    expect(text).not.toMatch(/undefined|NaN|^violation /);
  });

  it('says number and values of a code it does not know', () => {
    expect(oopsText(9999, [1, 2], nameOf)).toBe('violation 9999: 1, 2');
  });

  it('names both classes and the lock of a lock-order inversion', () => {
    expect(oopsText(codes.OOPS_LOCK_ORDER, [LC_MMU, LC_SLOTS, 64, 0, 0], nameOf)).toBe(
      'lock order: slots (@64) taken under mmu, but the reverse was seen before',
    );
  });
});

describe('a violation', () => {
  it('leaves the kernel as a KernelOops and is read back with oracle, sentence, thread and values', () => {
    const k = bootKernel({ pfnCount: 1024 });
    const lock = k.alloc(64);
    k.x.mutexInit(lock, LC_SLOTS);
    expect(() => k.x.mutexUnlock(lock)).toThrow(KernelOops);
    expect(readViolations(k.buffer)).toMatchObject([
      {
        oracle: 'locking',
        message: `unlock of 0x${lock.toString(16)} (slots) by a task that does not hold it; nobody does`,
        thread: 'task0',
        details: { code: codes.OOPS_UNLOCK_NOT_OWNER, values: [lock, LC_SLOTS, -1, 0, 0] },
      },
    ]);
  });

  it('is the message of the error, and later calls of the stopped kernel throw it again', () => {
    const k = bootKernel({ pfnCount: 1024 });
    const lock = k.alloc(64);
    k.x.mutexInit(lock, LC_SLOTS);
    expect(() => k.x.mutexUnlock(lock)).toThrow('by a task that does not hold it');
    expect(() => k.x.checkStop()).toThrow('by a task that does not hold it');
  });
});

describe('names of objects', () => {
  it('compose parent, object and member, and fall back to the address', () => {
    const k = bootKernel({ pfnCount: 4096 });
    const vm = k.x.sysCreateVm(1, 0, 0) >>> 0;
    const vcpu = k.x.sysCreateVcpu(vm) >>> 0;
    const id = k.x.sysVmId(vm);
    expect(objectName(k, vm)).toBe(`vm${id}`);
    expect(objectName(k, vm + KVM_MMU_LOCK)).toBe(`vm${id}.mmu_lock`);
    expect(objectName(k, vm + 4)).toBe(`vm${id}+0x4`);
    expect(objectName(k, vcpu)).toBe(`vm${id}.vcpu0`);
    expect(objectName(k, LOCK_KVM)).toBe('kvm');
    expect(objectName(k, 0x1234560)).toBe('0x1234560');
  });

  it('are gone with the object', () => {
    const k = bootKernel({ pfnCount: 4096 });
    const vm = k.x.sysCreateVm(1, 0, 0) >>> 0;
    k.x.sysDestroyVm(vm);
    expect(objectName(k, vm)).toBe(`0x${vm.toString(16)}`);
  });

  it('name a lock by its place in the VM also when its table entry comes before the VM', () => {
    const k = bootKernel({ pfnCount: 4096 });
    const vms = [1, 1, 1].map(() => k.x.sysCreateVm(0, 0, 0) >>> 0);
    k.x.sysDestroyVm(vms[0]!);
    k.x.sysDestroyVm(vms[1]!);
    const again = k.x.sysCreateVm(0, 0, 0) >>> 0;
    expect(objectName(k, again + KVM_MMU_LOCK)).toBe(`vm${k.x.sysVmId(again)}.mmu_lock`);
  });
});
