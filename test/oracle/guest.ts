// A small guest for tests: one restrictedmem file, one SNP VM with one private slot at gfn 0, one vCPU.
import { KVM_MEMORY_ATTRIBUTE_PRIVATE, KVM_MEM_PRIVATE, KVM_SHADOW } from '#src/kernel/abi/kvm.js';
import { PR_OP_LIMIT, PR_START_NS } from '#src/kernel/abi/program.js';
import { writeActors } from '#src/torture/actors.js';
import { profileSchema } from '#src/torture/schema.js';
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
export function bootHost(
  options: Partial<ShardOptions> = {},
  environment: Parameters<typeof bootKernel>[1] = {},
): TestKernel {
  const k = bootKernel({ pfnCount: 8192, partitions: 2, ...options }, environment);
  k.x.addMemory(512, 8192);
  return k;
}

/** `interleave` 1 spreads the file's 2M chunks over the partitions; `snp` 0 makes a guest without an RMP. */
export function createGuest(k: TestKernel, pages = 1024, interleave = 0, snp = 1): TestGuest {
  const file = k.x.sysCreateFile(interleave, 0, 0) >>> 0;
  k.x.sysFileSetSize(file, pages * PAGE);
  const vm = k.x.sysCreateVm(snp, 0, 0) >>> 0;
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

/** Lets the guest touch each of its pages once, in order, with the guest-data oracle; `write` is the share of writes. */
export function runGuest(guest: TestGuest, write: number): void {
  const { k } = guest;
  const touchAll = { distribution: 'sequential', write, batch: guest.pages };
  const { actors } = profileSchema.parse({ vms: [{ name: 'g' }], actors: [{ kind: 'vcpu', touch: touchAll }] });
  const area = {
    slotId: 0,
    flags: KVM_MEM_PRIVATE,
    gpa: 0,
    size: guest.pages * PAGE,
    hva: 0x7f0000000000,
    file: guest.file,
    offset: 0,
  };
  const target = {
    name: 'g',
    shard: 0,
    vm: guest.vm,
    vcpus: [guest.vcpu],
    areas: [area],
    files: [guest.file],
    highestGfn: guest.pages,
    spareId: 64,
  };
  if (k.u32(guest.vm + KVM_SHADOW) === 0) k.x.sysGuestShadow(guest.vm, guest.pages);
  const [program] = writeActors([k], actors, [target]);
  k.setU64(program!.address + PR_OP_LIMIT, BigInt(guest.pages));
  k.setU64(program!.address + PR_START_NS, 1n);
  k.x.runProgram(program!.address);
}
