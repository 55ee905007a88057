// PVALIDATE by the guest's own choice, for 4K of a page: what it does as it boots, converts or ages memory, often inside what the RMP holds as 2M. (The #VC handler of an
// access validates at the size of the mapping: access.ts.) kernel: arch/x86/coco/sev/core.c pvalidate_pages(); AMD APM volume 3.
import { EFAULT } from '../abi/errno';
import { KVM_ASID } from '../abi/kvm';
import { TASK_FPUT } from '../abi/layout';
import { GUEST_NPF_RMP, GUEST_NPF_SIZEM, PG_LEVEL_4K, PVALIDATE_NO_CHANGE, RMP_OK } from '../abi/snp';
import { GUEST_MODE_MASK, IN_GUEST_MODE, VCPU_KVM, VCPU_MODE, VCPU_MUTEX, VCPU_RETRY_COUNT, VCPU_ROOT_TABLE } from '../abi/vcpu';
import { taskWorkRun } from '../mm/restrictedmem-file';
import { atomicLoad32, current, load32, loadStatic32, store32 } from '../point';
import { pvalidate } from '../snp/guest';
import { mutexLock, mutexUnlock } from '../sync/mutex';
import { handleNpf } from './access';
import { DONE, KICKED, NPF_BASE, NPF_ENC, NPF_PRESENT, NPF_RMP, NPF_SIZEM } from './npf';
import { tdpWalk } from './tdp-map';
import { SPTE_LARGE, sptePfn } from './tdp-spte';
import { vcpuClearExit, vcpuEnterGuest, vcpuExitGuest } from './vcpu';

/** The instruction refuses: the guest's own mistake, which no exit cures. */
const REFUSED: u64 = (<u64>1) << 61;

/**
 * PVALIDATE of one 4K page: KVM_RUN until the instruction is done. 0; -EFAULT when the instruction refuses; or what KVM_RUN returned with.
 * @context sleeps; takes vcpu->mutex, as vcpuAccess.
 */
export function vcpuPvalidate(vcpu: usize, gfn: u64, validate: bool): i32 {
  mutexLock(vcpu + VCPU_MUTEX);
  vcpuClearExit(vcpu);
  let ret: i32 = 0;
  while (true) {
    ret = vcpuEnterGuest(vcpu);
    if (ret != 0) break;
    const code = guestPvalidate(vcpu, gfn, validate);
    vcpuExitGuest(vcpu);
    if (code == KICKED) continue;
    if (code == DONE || code == REFUSED) {
      ret = code == DONE ? 0 : -EFAULT;
      break;
    }
    ret = handleNpf(vcpu, gfn, code);
    if (ret <= 0) break;
  }
  store32(vcpu + VCPU_RETRY_COUNT, 0);
  mutexUnlock(vcpu + VCPU_MUTEX);
  if (loadStatic32(current + TASK_FPUT) != 0) taskWorkRun();
  return ret;
}

/** DONE, KICKED, REFUSED or the error code of the #NPF. @context guest mode. */
function guestPvalidate(vcpu: usize, gfn: u64, validate: bool): u64 {
  if ((atomicLoad32(vcpu + VCPU_MODE) & GUEST_MODE_MASK) != IN_GUEST_MODE) return KICKED;
  const spte = tdpWalk(load32(vcpu + VCPU_ROOT_TABLE), gfn);
  if (spte == 0) return NPF_BASE | NPF_ENC;
  const pfn = sptePfn(spte) + ((spte & SPTE_LARGE) != 0 ? <u32>gfn & 511 : 0);
  const code = pvalidate(load32(load32(vcpu + VCPU_KVM) + KVM_ASID), gfn << 12, pfn, PG_LEVEL_4K, validate);
  if (code == RMP_OK || code == PVALIDATE_NO_CHANGE) return DONE;
  if (code == GUEST_NPF_SIZEM) return NPF_BASE | NPF_ENC | NPF_PRESENT | NPF_RMP | NPF_SIZEM;
  return code == GUEST_NPF_RMP ? NPF_BASE | NPF_ENC | NPF_PRESENT | NPF_RMP : REFUSED;
}
