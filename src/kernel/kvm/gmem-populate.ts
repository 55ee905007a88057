// What a guest starts from: LAUNCH_UPDATE copies pages of the VMM into a guest_memfd and has firmware measure and encrypt them. And the other way that user space comes to such
// a file's pages, through its own mapping. Both need mmap_lock and the file's invalidate lock, in this order.
// kernel: virt/kvm/guest_memfd.c kvm_gmem_populate() with 2a62345b3052, kvm_gmem_fault_user_mapping(); arch/x86/kvm/svm/sev.c sev_gmem_post_populate().
import { EFAULT, EINVAL, ENOMEM, ENOTTY } from '../abi/errno';
import { KVM_ASID, KVM_ID, KVM_MMAP_LOCK, KVM_SLOTS_LOCK, SLOT_BASE_GFN, SLOT_KVM, SLOT_RM_INDEX } from '../abi/kvm';
import { NO_PFN } from '../abi/layout';
import { RM_LOCK, RM_MEMFD } from '../abi/mm';
import { OOPS_LAUNCH_SHARED, ORACLE_KERNEL_BUG } from '../abi/oops';
import { PG_LEVEL_4K } from '../abi/snp';
import { V_B22, V_B24 } from '../abi/variants';
import { gmemGetFolioLocked } from '../mm/guest-memfd-folio';
import { compoundHead, pageContent, putPage, setPageContent } from '../mm/page';
import { folioUnlock } from '../mm/page-lock';
import { fputDelayed, guestMemfd, restrictedmemOf, taskWorkRun } from '../mm/restrictedmem-file';
import { shmemFindPage } from '../mm/shmem';
import { oops } from '../oops';
import { load32, load64, loadStatic32, oraclesOn, variant } from '../point';
import { snpLaunchUpdate } from '../snp/firmware';
import { rmpMakePrivate } from '../snp/helpers';
import { rmpAssigned } from '../snp/rmp';
import { mutexLock, mutexUnlock } from '../sync/mutex';
import { downRead, downWrite, upRead, upWrite } from '../sync/rwsem';
import { stackPop, stackPush } from '../task';
import { kvmMemIsPrivate } from './attributes';
import { kvmGmemGetFile } from './guest-memfd';
import { gfnToMemslot, slotCanBePrivate } from './memslots';
import { getUserPage, hostWritePfn } from './shared';

/**
 * SNP_LAUNCH_UPDATE of one page: a copy of page `source` of the VMM becomes the guest's private page at `gfn`. 0; -ENOTTY by the other protocols and without SNP; -EINVAL
 * where there is no private memory, the gfn is shared, or the page is the guest's already; -EFAULT when the file is gone; -ENOMEM.
 * @context sleeps; takes slots_lock, mmap_lock for read, the invalidate lock for write. kernel: snp_launch_update(), kvm_gmem_populate().
 */
export function snpLaunchUpdatePage(kvm: usize, gfn: u64, source: u64): i32 {
  if (!guestMemfd() || load32(kvm + KVM_ASID) == 0) return -ENOTTY;
  mutexLock(kvm + KVM_SLOTS_LOCK);
  const slot = gfnToMemslot(kvm, 0, gfn);
  const ret = slot == 0 || !slotCanBePrivate(slot) ? -EINVAL : populate(kvm, slot, gfn, source);
  mutexUnlock(kvm + KVM_SLOTS_LOCK);
  taskWorkRun();
  return ret;
}

/** @context slots_lock. */
function populate(kvm: usize, slot: usize, gfn: u64, source: u64): i32 {
  const file = kvmGmemGetFile(slot);
  if (file == 0) return -EFAULT;
  const gmem = restrictedmemOf(file);
  // Whoever faults on a mapping of the file has mmap_lock and waits for the invalidate lock: to get user pages under it is B22.
  let page = variant(V_B22) ? <u32>NO_PFN : getUserPages(kvm, source);
  downWrite(gmem + RM_LOCK);
  if (variant(V_B22)) page = getUserPages(kvm, source);
  const ret = page == <u32>NO_PFN ? -ENOMEM : populateFolio(slot, gmem, gfn, page);
  upWrite(gmem + RM_LOCK);
  if (page != <u32>NO_PFN) putPage(page);
  fputDelayed(file);
  return ret;
}

/** The VMM's page with a reference, NO_PFN when out of memory. @context sleeps; takes mmap_lock for read. kernel: get_user_pages_unlocked(). */
function getUserPages(kvm: usize, source: u64): u32 {
  downRead(kvm + KVM_MMAP_LOCK);
  const page = getUserPage(kvm, source);
  upRead(kvm + KVM_MMAP_LOCK);
  return page;
}

/** @context slots_lock, so attributes stand still; the invalidate lock for write. kernel: __kvm_gmem_populate(). */
function populateFolio(slot: usize, gmem: usize, gfn: u64, source: u32): i32 {
  const kvm: usize = load32(slot + SLOT_KVM);
  if (!variant(V_B24) && !kvmMemIsPrivate(kvm, gfn)) return -EINVAL;
  const out = stackPush(16);
  let ret = gmemGetFolioLocked(load32(gmem + RM_MEMFD), gfn - load64(slot + SLOT_BASE_GFN) + load64(slot + SLOT_RM_INDEX), out, out + 8);
  const pfn = loadStatic32(out);
  stackPop(16);
  if (ret != 0) return ret;
  ret = postPopulate(kvm, gfn, pfn, source);
  folioUnlock(compoundHead(pfn));
  putPage(pfn);
  return ret;
}

/** Copies, assigns, measures. @context the invalidate lock for write, the folio lock. kernel: sev_gmem_post_populate(). */
function postPopulate(kvm: usize, gfn: u64, pfn: u32, source: u32): i32 {
  if (rmpAssigned(pfn)) return -EINVAL;
  const refused = hostWritePfn(pfn);
  if (refused != 0) return refused;
  setPageContent(pfn, pageContent(source));
  const asid = load32(kvm + KVM_ASID);
  const error = rmpMakePrivate(pfn, gfn << 12, PG_LEVEL_4K, asid, true);
  if (error != 0) return error;
  // What is measured is what the guest will find at this gfn, and it will look with the C-bit set.
  if (oraclesOn() && !kvmMemIsPrivate(kvm, gfn)) oops(ORACLE_KERNEL_BUG, OOPS_LAUNCH_SHARED, load32(kvm + KVM_ID), <f64>gfn, <f64>pfn);
  return snpLaunchUpdate(asid, gfn << 12, pfn, false);
}

/**
 * The VMM touches page `index` of the file through its own mapping. 0; -EFAULT (SIGBUS) for a hole, and for what is the guest's.
 * @context sleeps; takes mmap_lock, then the invalidate lock, both for read. kernel: handle_mm_fault(), kvm_gmem_fault_user_mapping().
 */
export function gmemFaultUserMapping(kvm: usize, file: usize, index: u64): i32 {
  const gmem = restrictedmemOf(file);
  downRead(kvm + KVM_MMAP_LOCK);
  downRead(gmem + RM_LOCK);
  const pfn = shmemFindPage(load32(gmem + RM_MEMFD), index);
  const ret: i32 = pfn == <u32>NO_PFN || rmpAssigned(pfn) ? -EFAULT : 0;
  upRead(gmem + RM_LOCK);
  upRead(kvm + KVM_MMAP_LOCK);
  if (pfn != <u32>NO_PFN) putPage(pfn);
  return ret;
}
