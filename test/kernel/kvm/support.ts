// What the tests of the KVM side share: a VM in a small shard, memory regions by plain objects, and the VM's counters.
import * as abi from '#src/kernel/abi/kvm.js';
import { HOOK_NONE } from '#src/kernel/abi/layout.js';
import { createShard, type ShardOptions } from '#src/host/shard.js';
import { KernelOops } from '#src/host/errors.js';
import { view, type TestKernel } from '../harness.js';

export const EIO = -5;
export const EEXIST = -17;
export const EINVAL = -22;
export const PAGE = 4096n;
export const MIB = 1n << 20n;
export const HVA = 0x7f00_0000_0000n;

type Environment = NonNullable<Parameters<typeof createShard>[1]>;

/** A small shard with some memory and without a platform hook, so that only KVM's own part runs. */
export function bootKvm(options: Partial<ShardOptions> = {}, environment: Environment = {}): TestKernel {
  const defaults: ShardOptions = {
    build: 'perturbed',
    pfnCount: 4096,
    maxTasks: 16,
    memoryPages: 2048,
    hook: HOOK_NONE,
  };
  const k = view(createShard({ ...defaults, ...options }, environment));
  k.x.addMemory(512, 4096);
  return k;
}

export function newVm(k: TestKernel, type: number = abi.KVM_TYPE_NORMAL, asid = 0): number {
  const kvm = k.x.createVm(type, asid, k.alloc(8)) >>> 0;
  if (kvm === 0) throw new Error('no VM');
  return kvm;
}

export interface Region {
  id?: number;
  asId?: number;
  flags?: number;
  gpa?: bigint;
  size?: bigint;
  hva?: bigint;
  file?: number;
  offset?: bigint;
}

/** KVM_SET_USER_MEMORY_REGION2; what is left out is 0, the host address fits the guest's. */
export function setRegion(k: TestKernel, kvm: number, region: Region): number {
  const p = scratch(k);
  const { id = 0, asId = 0, flags = 0, gpa = 0n, size = 0n, file = 0, offset = 0n } = region;
  k.setU32(p + abi.REGION_SLOT, (id | (asId << 16)) >>> 0);
  k.setU32(p + abi.REGION_FLAGS, flags >>> 0);
  k.setU64(p + abi.REGION_GPA, gpa);
  k.setU64(p + abi.REGION_MEMORY_SIZE, size);
  k.setU64(p + abi.REGION_USERSPACE_ADDR, region.hva ?? HVA + (gpa & 0xff_ffff_ffffn));
  k.setU64(p + abi.REGION_RESTRICTED_OFFSET, offset);
  k.setU32(p + abi.REGION_RESTRICTED_FD, file >>> 0);
  return k.x.kvmSetMemoryRegion(kvm, p);
}

const scratchOf = new WeakMap<TestKernel, number>();
function scratch(k: TestKernel): number {
  const there = scratchOf.get(k);
  if (there !== undefined) return there;
  const fresh = k.alloc(abi.REGION_ARG_SIZE);
  scratchOf.set(k, fresh);
  return fresh;
}

export function counter(k: TestKernel, kvm: number, index: number): number {
  return k.u32(kvm + abi.KVM_COUNTERS + 4 * index);
}

/** Grace periods that `change` costs. */
export function gracePeriods(k: TestKernel, kvm: number, change: () => void): number {
  const before = counter(k, kvm, abi.KC_GRACE_PERIODS);
  change();
  return counter(k, kvm, abi.KC_GRACE_PERIODS) - before;
}

/** The slot as reports name it: its id, or -1. */
export function slotIdAt(k: TestKernel, kvm: number, gfn: bigint, asId = 0): number {
  const slot = k.x.gfnToMemslot(kvm, asId, gfn) >>> 0;
  return slot === 0 ? -1 : k.u32(slot + abi.SLOT_ID);
}

/** A private file of `bytes`. */
export function newFile(k: TestKernel, bytes: bigint): number {
  const file = k.x.memfdRestricted(0, 0, 0, 0) >>> 0;
  if (file >= 0xffff_f000) throw new Error(`no file: ${file | 0}`);
  k.x.restrictedmemSetattr(file, bytes);
  return file;
}

/** Codes of the violations that `body` runs into; empty when it returns. */
export function violationsOf(body: () => void): number[] {
  try {
    body();
  } catch (error) {
    if (!(error instanceof KernelOops)) throw error;
    return error.violations.map((violation) => violation.details['code'] as number);
  }
  return [];
}

/** Live kernel heap objects: allocated minus freed, over all tasks and classes, deferred frees included. */
export function liveObjects(k: TestKernel): number {
  k.x.rcuBarrier();
  let live = 0;
  for (let id = 0; id < 16; id++) {
    for (let cls = 0; cls < k.x.heapClassCount(); cls++) live += k.x.heapLive(k.x.taskAddress(id), cls);
  }
  return live;
}

/** Takes all that is left of the heap. */
export function exhaust(k: TestKernel): void {
  for (let bytes = 1n << 27n; bytes >= 64n; bytes /= 2n) while (k.x.vmalloc(bytes) !== 0);
}
