// A small guest for tests: one restrictedmem file, one SNP VM with one private slot at gfn 0, one vCPU.
import { KVM_MEMORY_ATTRIBUTE_PRIVATE, KVM_MEM_PRIVATE } from '#src/kernel/abi/kvm.js';
import type { ShardOptions } from '#src/host/shard.js';
import { bootKernel, type TestKernel } from '../kernel/harness.js';

export const PAGE = 4096;
export const WRITE = 1;
export const PRIVATE = 2;

export interface TestGuest {
  k: TestKernel;
  file: number;
  vm: number;
  vcpu: number;
  pages: number;
}

/** Boots a small host with `pfnCount` usable pages; PFN 0 stays out, as on real machines. */
export function bootHost(options: Partial<ShardOptions> = {}): TestKernel {
  const k = bootKernel({ pfnCount: 8192, partitions: 2, ...options });
  k.x.addMemory(512, 8192);
  return k;
}

export function createGuest(k: TestKernel, pages = 1024): TestGuest {
  const file = k.x.sysCreateFile(0, 0, 0) >>> 0;
  k.x.sysFileSetSize(file, pages * PAGE);
  const vm = k.x.sysCreateVm(1, 0, 0) >>> 0;
  const guest = { k, file, vm, vcpu: 0, pages };
  const ret = bindSlot(guest);
  if (ret !== 0) throw new Error(`memslot: ${ret}`);
  k.x.sysSetMemoryAttributes(vm, 0, pages, KVM_MEMORY_ATTRIBUTE_PRIVATE);
  guest.vcpu = k.x.sysCreateVcpu(vm) >>> 0;
  return guest;
}

/** Creates (or, with size 0, deletes) slot 0. */
export function bindSlot(guest: TestGuest, size = guest.pages * PAGE): number {
  return guest.k.x.sysSetMemslot(guest.vm, 0, 0, KVM_MEM_PRIVATE, 0, size, 0x7f0000000000, guest.file, 0);
}

export function touch(guest: TestGuest, gfn: number, value = 7): number {
  return guest.k.x.sysTouch(guest.vcpu, gfn, WRITE | PRIVATE, value);
}

/** Punches pages [start, start + count) of the guest's file. */
export function punch(guest: TestGuest, start: number, count: number): number {
  return guest.k.x.sysFileFallocate(guest.file, 3, start * PAGE, count * PAGE);
}
