// guest_memfd: what became of restrictedmem upstream. A file belongs to one VM and pins it, memslots are bound to it without pinning it, and the file itself
// tells KVM's MMU of pages that go: no notifier, no hook between begin and end. kernel: virt/kvm/guest_memfd.c (6.11 with the later fixes named below).
//
// struct kvm_gmem is the restrictedmem object of mm/ (bindings, hidden page cache); its lock is the mapping's invalidate_lock:
//   write  bind, unbind, hole punch, release         read  fallocate, memory errors         not taken  faults: they check mmu_invalidate_seq
import { EBADF, EFAULT, EINVAL, EIO, ENOTTY, EOPNOTSUPP } from '../abi/errno';
import { KC_RM_ERRORS, KVM_SLOTS_LOCK, KVM_USERS, SLOT_BASE_GFN, SLOT_BOUND, SLOT_KVM, SLOT_MAGIC, SLOT_MAGIC_VALUE, SLOT_NOTIFIER, SLOT_NPAGES, SLOT_RM_FILE, SLOT_RM_INDEX } from '../abi/kvm';
import { PAGE_SHIFT } from '../abi/layout';
import { FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE, RM_BINDINGS, RM_KVM, RM_LOCK, RM_MEMFD } from '../abi/mm';
import { OOPS_USE_AFTER_FREE, ORACLE_KERNEL_BUG } from '../abi/oops';
import { V_B03, V_B18, V_B20 } from '../abi/variants';
import { gmemGetFolioLocked, gmemPoison } from '../mm/guest-memfd-folio';
import { compoundHead, putPage } from '../mm/page';
import { folioUnlock } from '../mm/page-lock';
import { fget, fgetFileUnlessZero, fputDelayed, guestMemfd, memfdRestricted, restrictedmemOf } from '../mm/restrictedmem-file';
import { shmemFallocate, vfsFallocateCheck } from '../mm/shmem-falloc';
import { MAX_INDEX, shmemSetFirstSize, shmemSize } from '../mm/shmem';
import { shmemTruncateRange } from '../mm/shmem-truncate';
import { shmemHolds } from '../mm/shmem-walk';
import { XA_PRESENT, xaFind, xaFindAfter, xaLoad, xaStoreRange } from '../mm/xarray';
import { oops } from '../oops';
import { guestInvalidated } from '../oracle/guest';
import { atomicAdd32, atomicLoad32, atomicStore32, load32, load64, oraclesOn, store64, variant } from '../point';
import { sevGmemPrepare } from '../snp/guest-memfd';
import { mutexLock, mutexUnlock } from '../sync/mutex';
import { rcuReadLock, rcuReadUnlock } from '../sync/rcu';
import { downRead, downWrite, upRead, upWrite } from '../sync/rwsem';
import { stackPop, stackPush } from '../task';
import { kvmCount } from './memslots-update';
import { kvmGmemInvalidateBegin, kvmGmemInvalidateEnd } from './guest-memfd-invalidate';

/**
 * KVM_CREATE_GUEST_MEMFD: a file of `size` bytes that belongs to `kvm`. -ENOTTY by the other protocols, whose KVM has no such call; -EINVAL for any flag, and for a size that is 0, negative or no number of pages;
 * -ENOMEM. The other arguments place its pages, as those of memfdRestricted.
 * @context takes the file list mutex; may sleep. kernel: kvm_gmem_create.
 */
export function kvmGmemCreate(kvm: usize, size: i64, flags: u32, interleave: i32, homePartition: i32, huge: i32): i32 {
  if (!guestMemfd()) return -ENOTTY;
  if (flags != 0) return -EINVAL;
  if (size <= 0 || (size & 4095) != 0) return -EINVAL;
  const file = memfdRestricted(0, interleave, homePartition, huge);
  if (<u32>file >= 0xfffff000) return file;
  const gmem = restrictedmemOf(<usize>file);
  shmemSetFirstSize(load32(gmem + RM_MEMFD), <u64>size);
  claim(gmem, kvm);
  return file;
}

/** The file belongs to the VM from now on, and keeps it alive. @context invalidate lock for write, or nobody else knows the file. kernel: kvm_get_kvm. */
function claim(gmem: usize, kvm: usize): void {
  atomicAdd32(kvm + KVM_USERS, 1);
  atomicStore32(gmem + RM_KVM, <u32>kvm);
}

/**
 * Binds the slot to the file's pages from byte `offset` on. In this order: -EBADF (no such file), -EINVAL (another VM's file), -EINVAL (offset negative,
 * unaligned, or slot beyond the end of the file), -EINVAL (something bound there), -ENOMEM. The slot does not keep the file alive.
 * @context slots_lock; takes the invalidate lock for write. kernel: kvm_gmem_bind.
 */
export function kvmGmemBind(slot: usize, file: usize, offset: u64): i32 {
  if (!fget(file)) return -EBADF;
  const gmem = restrictedmemOf(file);
  const ret = bindHeld(slot, file, gmem, offset);
  fputDelayed(file);
  return ret;
}

/** Whether the file can be this VM's. A file made before its VM (the model's two-step creation) is the first VM's that binds it. */
function ownedBy(gmem: usize, kvm: usize): bool {
  const owner = atomicLoad32(gmem + RM_KVM);
  return owner == 0 || owner == <u32>kvm;
}

/** @context slots_lock and a reference to the file. */
function bindHeld(slot: usize, file: usize, gmem: usize, offset: u64): i32 {
  const kvm: usize = load32(slot + SLOT_KVM);
  if (!ownedBy(gmem, kvm)) return -EINVAL;
  const size = load64(slot + SLOT_NPAGES) << PAGE_SHIFT;
  if (<i64>offset < 0 || (offset & 4095) != 0 || offset + size > shmemSize(load32(gmem + RM_MEMFD))) return -EINVAL;
  const start = offset >> PAGE_SHIFT;
  const end = start + load64(slot + SLOT_NPAGES);
  const indexp = stackPush(8);
  store64(indexp, start);
  downWrite(gmem + RM_LOCK);
  let ret: i32 = -EINVAL;
  if (ownedBy(gmem, kvm) && xaFind(gmem + RM_BINDINGS, indexp, end - 1, XA_PRESENT) == 0) {
    store64(slot + SLOT_RM_INDEX, start);
    atomicStore32(slot + SLOT_RM_FILE, <u32>file);
    ret = xaStoreRange(gmem + RM_BINDINGS, start, end - 1, <u32>(slot + SLOT_NOTIFIER));
    if (ret == 0) {
      if (load32(gmem + RM_KVM) == 0) claim(gmem, kvm);
      // While no memslot was bound, pages may have been punched out that no begin spoke of.
      const base = load64(slot + SLOT_BASE_GFN);
      if (oraclesOn()) guestInvalidated(kvm, base, base + load64(slot + SLOT_NPAGES));
      atomicStore32(slot + SLOT_BOUND, 1);
    } else {
      xaStoreRange(gmem + RM_BINDINGS, start, end - 1, 0);
      atomicStore32(slot + SLOT_RM_FILE, 0);
    }
  }
  upWrite(gmem + RM_LOCK);
  stackPop(8);
  return ret;
}

/**
 * A reference to the slot's file unless that is on its way out, 0 then. Files are freed behind a grace period, so that the count can be looked at.
 * @context slots_lock or kvm->srcu. kernel: kvm_gmem_get_file, get_file_active.
 */
export function kvmGmemGetFile(slot: usize): usize {
  rcuReadLock();
  const file: usize = atomicLoad32(slot + SLOT_RM_FILE);
  const alive = file != 0 && fgetFileUnlessZero(file);
  rcuReadUnlock();
  return alive ? file : 0;
}

/**
 * Erases the slot's bindings. Nothing is invalidated: the memslot's deletion has zapped its gfns, and pages stay assigned until they leave the file. When the file is
 * on its way out already, its release cannot come in before slots_lock is dropped, so the bindings go without the invalidate lock; to leave them there was B20.
 * @context slots_lock; takes the invalidate lock for write. kernel: kvm_gmem_unbind with ae431059e75d.
 */
export function kvmGmemUnbind(slot: usize): void {
  const dying: usize = atomicLoad32(slot + SLOT_RM_FILE);
  if (dying == 0) return; // its file was released first
  const file = kvmGmemGetFile(slot);
  if (file == 0) {
    if (!variant(V_B20)) eraseBindings(slot, restrictedmemOf(dying));
    return;
  }
  const gmem = restrictedmemOf(file);
  downWrite(gmem + RM_LOCK);
  eraseBindings(slot, gmem);
  upWrite(gmem + RM_LOCK);
  fputDelayed(file);
}

/** @context slots_lock, and the invalidate lock for write unless the file has no reference left. kernel: __kvm_gmem_unbind. */
function eraseBindings(slot: usize, gmem: usize): void {
  const start = load64(slot + SLOT_RM_INDEX);
  xaStoreRange(gmem + RM_BINDINGS, start, start + load64(slot + SLOT_NPAGES) - 1, 0);
  atomicStore32(slot + SLOT_BOUND, 0);
  atomicStore32(slot + SLOT_RM_FILE, 0);
}

/**
 * Page of the file behind `gfn`, with a reference and prepared for the guest: assigned in the RMP. -EFAULT (the file is gone), -EIO (another slot is bound there),
 * -EHWPOISON, -EINVAL (the RMP would not have it), -ENOMEM.
 * @context inside kvm->srcu; sleeps; takes the folio lock, never the invalidate lock: the caller checks mmu_invalidate_seq. kernel: kvm_gmem_get_pfn.
 */
export function kvmGmemGetPfn(slot: usize, gfn: u64, pfnp: usize, orderp: usize): i32 {
  const file = kvmGmemGetFile(slot);
  if (file == 0) return -EFAULT;
  const gmem = restrictedmemOf(file);
  const index = gfn - load64(slot + SLOT_BASE_GFN) + load64(slot + SLOT_RM_INDEX);
  let ret: i32 = -EIO;
  if (xaLoad(gmem + RM_BINDINGS, index) == <u32>(slot + SLOT_NOTIFIER)) {
    ret = gmemGetFolioLocked(load32(gmem + RM_MEMFD), index, pfnp, orderp);
    if (ret == 0) {
      const pfn = load32(pfnp);
      ret = sevGmemPrepare(load32(slot + SLOT_KVM), slot, gfn, pfn, load32(orderp));
      folioUnlock(compoundHead(pfn));
      if (ret != 0) putPage(pfn);
    }
  }
  fputDelayed(file);
  return ret;
}

/**
 * fallocate(2). After the VFS: -EOPNOTSUPP without KEEP_SIZE, -EINVAL for an unaligned range; to allocate also -EINVAL beyond the end of the file.
 * @context takes the invalidate lock, to punch for write, to allocate for read; sleeps. kernel: kvm_gmem_fallocate.
 */
export function kvmGmemFallocate(gmem: usize, mode: i32, offset: i64, length: i64): i32 {
  const error = vfsFallocateCheck(mode, offset, length);
  if (error != 0) return error;
  if ((mode & FALLOC_FL_KEEP_SIZE) == 0) return -EOPNOTSUPP;
  if (((offset | length) & 4095) != 0) return -EINVAL;
  if ((mode & FALLOC_FL_PUNCH_HOLE) != 0) return punchHole(gmem, <u64>offset >> PAGE_SHIFT, <u64>(offset + length) >> PAGE_SHIFT);
  const memfd: usize = load32(gmem + RM_MEMFD);
  if (<u64>(offset + length) > shmemSize(memfd)) return -EINVAL;
  downRead(gmem + RM_LOCK);
  const ret = shmemFallocate(memfd, mode, offset, length);
  upRead(gmem + RM_LOCK);
  return ret;
}

/** Begin, truncate, end under one hold of the lock. @context takes the invalidate lock for write; sleeps. kernel: kvm_gmem_punch_hole. */
function punchHole(gmem: usize, start: u64, end: u64): i32 {
  downWrite(gmem + RM_LOCK);
  kvmGmemInvalidateBegin(gmem, start, end);
  if (variant(V_B03)) upWrite(gmem + RM_LOCK);
  if (!variant(V_B18)) shmemTruncateRange(load32(gmem + RM_MEMFD), start, end);
  if (variant(V_B03)) downWrite(gmem + RM_LOCK);
  kvmGmemInvalidateEnd(gmem, start, end);
  upWrite(gmem + RM_LOCK);
  return 0;
}

/**
 * The hardware has failed at `pfn`: its mappings go, the page stays in the file, and who faults for it gets -EHWPOISON until it is punched out.
 * @context the caller holds a reference to page and file; takes the invalidate lock for read. kernel: memory_failure, kvm_gmem_error_folio.
 */
export function kvmGmemErrorFolio(gmem: usize, index: u64, pfn: u32): void {
  downRead(gmem + RM_LOCK);
  // Under the lock nobody truncates: a page that is still there stays.
  if (shmemHolds(load32(gmem + RM_MEMFD), index, pfn)) {
    gmemPoison(pfn);
    if (load32(gmem + RM_KVM) != 0) kvmCount(load32(gmem + RM_KVM), KC_RM_ERRORS);
    kvmGmemInvalidateBegin(gmem, index, index + 1);
    kvmGmemInvalidateEnd(gmem, index, index + 1);
  }
  upRead(gmem + RM_LOCK);
}

/**
 * The last reference is gone: slots forget the file, and every mapping of its pages goes before the pages do. Returns the VM whose reference the caller drops
 * once the pages are freed, 0: none.
 * @context sleeps: takes slots_lock and the invalidate lock for write. kernel: kvm_gmem_release.
 */
export function kvmGmemRelease(gmem: usize): usize {
  const kvm: usize = load32(gmem + RM_KVM);
  if (kvm == 0) return 0;
  const indexp = stackPush(8);
  store64(indexp, 0);
  mutexLock(kvm + KVM_SLOTS_LOCK);
  downWrite(gmem + RM_LOCK);
  let entry: usize = xaFind(gmem + RM_BINDINGS, indexp, MAX_INDEX, XA_PRESENT);
  while (entry != 0) {
    const slot = entry - SLOT_NOTIFIER;
    const magic = load32(slot + SLOT_MAGIC);
    if (oraclesOn() && magic != <u32>SLOT_MAGIC_VALUE) oops(ORACLE_KERNEL_BUG, OOPS_USE_AFTER_FREE, <f64>slot, <f64>SLOT_MAGIC_VALUE);
    atomicStore32(slot + SLOT_BOUND, 0);
    atomicStore32(slot + SLOT_RM_FILE, 0);
    entry = xaFindAfter(gmem + RM_BINDINGS, indexp, MAX_INDEX, XA_PRESENT);
  }
  kvmGmemInvalidateBegin(gmem, 0, MAX_INDEX);
  kvmGmemInvalidateEnd(gmem, 0, MAX_INDEX);
  upWrite(gmem + RM_LOCK);
  mutexUnlock(kvm + KVM_SLOTS_LOCK);
  stackPop(8);
  return kvm;
}
