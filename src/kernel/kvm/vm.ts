// Creating and destroying a VM. The order of destruction matters: everything that may still call back must be gone before what it calls into.
// kernel: virt/kvm/kvm_main.c kvm_create_vm(), kvm_destroy_vm() (6.8).
import { ENOMEM } from '../abi/errno';
import { LC_DEVICE, LC_KVM, LC_KVM_SRCU, LC_MEM_ATTR, LC_MMAP, LC_MMU, LC_MN_INVALIDATE, LC_SLOTS, LC_SLOTS_ARCH } from '../abi/classes';
import {
  KC_MN_FORCED, KVM_ADDRESS_SPACES, KVM_ASID, KVM_DEVICE_LOCK, KVM_HOOK, KVM_ID, KVM_INVALIDATE_END, KVM_INVALIDATE_IN_PROGRESS,
  KVM_INVALIDATE_START, KVM_LOCK, KVM_MAGIC, KVM_MAGIC_VALUE, KVM_MEMSLOTS, KVM_MEMSLOT_SETS, KVM_MEM_ATTR, KVM_MMAP_LOCK, KVM_MMU_LOCK, KVM_MN_LOCK,
  KVM_MN_RCUWAIT, KVM_NEXT, KVM_OWN_SLOT, KVM_SIZE, KVM_SLOTS_ARCH_LOCK, KVM_SLOTS_LOCK, KVM_SRCU, KVM_TYPE, KVM_TYPE_SNP, KVM_USERS,
  SLOTS_AS_ID, SLOTS_GENERATION, SLOTS_GFN_ROOT, SLOTS_NODE_INDEX, SLOTS_SIZE,
} from '../abi/kvm';
import { LOCK_KVM, SH_HOOK, SH_VM_LIST, SUBSYS_KVM } from '../abi/layout';
import { NT_KVM_LOCK, NT_VM } from '../abi/names';
import { OOPS_INVALIDATE_LEFT_OPEN, ORACLE_BALANCE } from '../abi/oops';
import { V_B13, V_B28 } from '../abi/variants';
import { kfree, kzalloc } from '../heap';
import { xaInit } from '../mm/xarray';
import { nameObject, unnameObject } from '../names';
import { oops } from '../oops';
import { atomicAdd32, atomicLoad32, atomicSub32, load32, oraclesOn, store32, store64, variant } from '../point';
import { sevAsidFree, sevAsidNew, sevAsidTake } from '../snp/asid';
import { sevFreeRegions } from '../snp/regions';
import { mutexInit, mutexLock, mutexUnlock } from '../sync/mutex';
import { rcuwaitInit } from '../sync/rcuwait';
import { rwlockInit } from '../sync/rwlock';
import { rwsemInit } from '../sync/rwsem';
import { spinLockInit } from '../sync/spinlock';
import { srcuCleanup, srcuInit } from '../sync/srcu';
import { kvmMemAttributesDestroy } from './attributes';
import { kvmIoBusDestroy } from './bus';
import { INVALID_GFN } from './invalidate';
import { kvmMemslots } from './memslots';
import { idToMemslot, slotsReplace } from './memslots-tree';
import { kvmCount, kvmFreeMemslot } from './memslots-update';
import { kvmMmuNotifierForceIdle } from './notifier';
import { kvmGpcFree } from './pfncache';
import { kvmLeaveProcess, kvmProcessInit, kvmSetOwnSlot } from './process';
import { kvmRestrictedmemInit } from './restrictedmem_kvm';
import { tdpDestroy, tdpInit } from './tdp';
import { vcpuDestroyAll } from './vcpu';

// SUBSYS_KVM: +16 u32 number of the next VM, +64 notifier ops (restrictedmem_kvm.ts).
const NEXT_VM_ID: usize = SUBSYS_KVM + 16;

/** @context boot. */
export function kvmInit(): void {
  kvmRestrictedmemInit();
  kvmProcessInit();
}

function initLocks(kvm: usize): i32 {
  rwlockInit(kvm + KVM_MMU_LOCK, LC_MMU);
  mutexInit(kvm + KVM_SLOTS_LOCK, LC_SLOTS);
  mutexInit(kvm + KVM_SLOTS_ARCH_LOCK, LC_SLOTS_ARCH);
  mutexInit(kvm + KVM_LOCK, LC_KVM);
  rwsemInit(kvm + KVM_MMAP_LOCK, LC_MMAP);
  spinLockInit(kvm + KVM_MN_LOCK, LC_MN_INVALIDATE);
  rcuwaitInit(kvm + KVM_MN_RCUWAIT);
  mutexInit(kvm + KVM_DEVICE_LOCK, LC_DEVICE);
  xaInit(kvm + KVM_MEM_ATTR, LC_MEM_ATTR);
  return srcuInit(kvm + KVM_SRCU, LC_KVM_SRCU);
}

/** Two empty sets for each address space; the first is published. */
function initMemslots(kvm: usize): i32 {
  for (let asId: u32 = 0; asId < <u32>KVM_ADDRESS_SPACES; asId++) {
    for (let n: u32 = 0; n < 2; n++) {
      const slots = kzalloc(SLOTS_SIZE);
      if (slots == 0) return -ENOMEM;
      store32(slots + SLOTS_NODE_INDEX, n);
      store32(slots + SLOTS_AS_ID, asId);
      store64(slots + SLOTS_GENERATION, asId);
      store32(kvm + KVM_MEMSLOT_SETS + (<usize>asId << 3) + (<usize>n << 2), <u32>slots);
    }
    store32(kvm + KVM_MEMSLOTS + (<usize>asId << 2), load32(kvm + KVM_MEMSLOT_SETS + (<usize>asId << 3)));
  }
  return 0;
}

function freeMemslotSets(kvm: usize): void {
  for (let n: usize = 0; n < <usize>(KVM_ADDRESS_SPACES * 2); n++) kfree(load32(kvm + KVM_MEMSLOT_SETS + (n << 2)), SLOTS_SIZE);
}

function nameVm(kvm: usize): void {
  nameObject(kvm, KVM_SIZE, NT_VM, 0, load32(kvm + KVM_ID));
  nameObject(kvm + KVM_MMU_LOCK, 64, NT_KVM_LOCK, kvm, LC_MMU);
  nameObject(kvm + KVM_SRCU, 64, NT_KVM_LOCK, kvm, LC_KVM_SRCU);
  nameObject(kvm + KVM_SLOTS_LOCK, 64, NT_KVM_LOCK, kvm, LC_SLOTS);
  nameObject(kvm + KVM_SLOTS_ARCH_LOCK, 64, NT_KVM_LOCK, kvm, LC_SLOTS_ARCH);
  nameObject(kvm + KVM_LOCK, 64, NT_KVM_LOCK, kvm, LC_KVM);
  nameObject(kvm + KVM_MN_LOCK, 16, NT_KVM_LOCK, kvm, LC_MN_INVALIDATE);
  nameObject(kvm + KVM_DEVICE_LOCK, 64, NT_KVM_LOCK, kvm, LC_DEVICE);
}

function unnameVm(kvm: usize): void {
  unnameObject(kvm);
  unnameObject(kvm + KVM_MMU_LOCK);
  unnameObject(kvm + KVM_SRCU);
  unnameObject(kvm + KVM_SLOTS_LOCK);
  unnameObject(kvm + KVM_SLOTS_ARCH_LOCK);
  unnameObject(kvm + KVM_LOCK);
  unnameObject(kvm + KVM_MN_LOCK);
  unnameObject(kvm + KVM_DEVICE_LOCK);
}

/** @context sleeps: takes the ASID lock. kernel: sev_guest_init() of an SNP guest. 0, -EBUSY, -EINVAL. */
function sevVmInit(kvm: usize, asid: u32): i32 {
  if (load32(kvm + KVM_TYPE) != KVM_TYPE_SNP) return 0;
  const got = asid != 0 ? sevAsidTake(asid) : sevAsidNew();
  if (got < 0) return got;
  store32(kvm + KVM_ASID, asid != 0 ? asid : <u32>got);
  return 0;
}

/** Decommissions the guest and gives its ASID back. @context sleeps. kernel: sev_vm_destroy(). */
function sevVmDestroy(kvm: usize): void {
  const asid = load32(kvm + KVM_ASID);
  if (asid == 0) return;
  store32(kvm + KVM_ASID, 0);
  sevAsidFree(asid);
}

/**
 * Creates a VM of `type` (KVM_TYPE_*) with ASID `asid` (0: a free one, SNP only). Returns struct kvm, or 0 with the negative errno at
 * `errp`. @context sleeps; takes kvm_lock. kernel: kvm_create_vm().
 */
export function createVm(type: u32, asid: u32, errp: usize): usize {
  const kvm = kzalloc(KVM_SIZE);
  if (kvm == 0) {
    store32(errp, <u32>-ENOMEM);
    return 0;
  }
  store32(kvm + KVM_ID, atomicAdd32(NEXT_VM_ID, 1));
  store32(kvm + KVM_TYPE, type);
  store32(kvm + KVM_HOOK, load32(SH_HOOK));
  store32(kvm + KVM_USERS, 1);
  store64(kvm + KVM_INVALIDATE_START, INVALID_GFN);
  store64(kvm + KVM_INVALIDATE_END, INVALID_GFN);
  let error = initLocks(kvm);
  if (error == 0) {
    error = initMemslots(kvm);
    if (error == 0) error = tdpInit(kvm);
    if (error == 0) {
      error = sevVmInit(kvm, asid);
      if (error != 0) tdpDestroy(kvm);
    }
    if (error != 0) {
      freeMemslotSets(kvm);
      srcuCleanup(kvm + KVM_SRCU);
    }
  }
  store32(errp, <u32>error);
  if (error != 0) {
    kfree(kvm, KVM_SIZE);
    return 0;
  }
  store32(kvm + KVM_MAGIC, KVM_MAGIC_VALUE);
  nameVm(kvm);
  mutexLock(LOCK_KVM);
  store32(kvm + KVM_NEXT, load32(SH_VM_LIST));
  store32(SH_VM_LIST, <u32>kvm);
  mutexUnlock(LOCK_KVM);
  return kvm;
}

/** The VM with this number, or 0. @context sleeps: takes kvm_lock. */
export function kvmById(id: u32): usize {
  mutexLock(LOCK_KVM);
  let kvm: usize = load32(SH_VM_LIST);
  while (kvm != 0 && load32(kvm + KVM_ID) != id) kvm = load32(kvm + KVM_NEXT);
  mutexUnlock(LOCK_KVM);
  return kvm;
}

/** @context sleeps: takes kvm_lock. */
function unlinkVm(kvm: usize): void {
  mutexLock(LOCK_KVM);
  let link: usize = SH_VM_LIST;
  while (load32(link) != <u32>kvm) link = <usize>load32(link) + KVM_NEXT;
  store32(link, load32(kvm + KVM_NEXT));
  mutexUnlock(LOCK_KVM);
}

/**
 * Frees every slot, once: both sets hold the same ones. Unbinding them runs the platform hook.
 * @context nobody else uses the VM, but files may still call back until a slot is unbound; sleeps. kernel: kvm_free_memslots().
 */
function freeMemslots(kvm: usize): void {
  for (let asId: u32 = 0; asId < <u32>KVM_ADDRESS_SPACES; asId++) {
    const sets: usize = kvm + KVM_MEMSLOT_SETS + (<usize>asId << 3);
    const first: usize = load32(sets);
    const second: usize = load32(sets + 4);
    for (let slot: usize = load32(first + SLOTS_GFN_ROOT); slot != 0; slot = load32(first + SLOTS_GFN_ROOT)) {
      slotsReplace(first, slot, 0);
      slotsReplace(second, slot, 0);
      kvmFreeMemslot(kvm, slot);
    }
  }
}

/** Closes the books of the invalidation protocol: with the last slot unbound no section can be open. */
function checkBalance(kvm: usize, forced: bool): void {
  const open = atomicLoad32(kvm + KVM_INVALIDATE_IN_PROGRESS);
  if (oraclesOn() && !forced && open != 0) oops(ORACLE_BALANCE, OOPS_INVALIDATE_LEFT_OPEN, load32(kvm + KVM_ID), <i32>open);
}

/**
 * Destroys a VM. The slots are unbound, and so their pages given back, while the ASID is still the VM's; the kernel of the RFC did it the other
 * way round (V_B13). A guest_memfd keeps its VM: the last reference
 * destroys it. @context no vCPU of the VM runs; sleeps; takes kvm_lock, restrictedmem.lock. kernel: kvm_put_kvm(), kvm_destroy_vm().
 */
export function destroyVm(kvm: usize): void {
  if (atomicSub32(kvm + KVM_USERS, 1) != 1) return;
  unlinkVm(kvm);
  // mmu_notifier_unregister: its release drops every mapping.
  kvmLeaveProcess(kvm);
  const forced = variant(V_B28) ? false : kvmMmuNotifierForceIdle(kvm);
  if (forced) kvmCount(kvm, KC_MN_FORCED);
  if (idToMemslot(kvmMemslots(kvm, 0), KVM_OWN_SLOT) != 0) kvmSetOwnSlot(kvm, 0, 0, 0);
  vcpuDestroyAll(kvm);
  kvmIoBusDestroy(kvm);
  sevFreeRegions(kvm);
  if (variant(V_B13)) sevVmDestroy(kvm);
  freeMemslots(kvm);
  checkBalance(kvm, forced);
  tdpDestroy(kvm);
  sevVmDestroy(kvm);
  unnameVm(kvm);
  srcuCleanup(kvm + KVM_SRCU);
  kvmMemAttributesDestroy(kvm);
  kvmGpcFree(kvm);
  freeMemslotSets(kvm);
  store32(kvm + KVM_MAGIC, 0);
  kfree(kvm, KVM_SIZE);
}
