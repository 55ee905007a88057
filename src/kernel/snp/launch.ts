// The end of an SNP guest's launch: each vCPU's registers are written into its VMSA page, and firmware measures and encrypts the page; from then on it is the guest's, and
// the host must never write to it again. kernel: arch/x86/kvm/svm/sev.c snp_launch_finish(), snp_launch_update_vmsa(), sev_es_sync_vmsa(), sev_free_vcpu().
//
// The page is allocated here, not with the vCPU: guests that are never launched need none.
import { EINVAL, ENOMEM, ENOTTY } from '../abi/errno';
import { KVM_ASID, KVM_HOME, KVM_LOCK, KVM_ONLINE_VCPUS } from '../abi/kvm';
import { NO_PFN } from '../abi/layout';
import { INITIAL_VMSA_GFN, PG_LEVEL_4K } from '../abi/snp';
import { V_B54 } from '../abi/variants';
import { VCPU_STATE_PROTECTED, VCPU_VMSA_PFN } from '../abi/vcpu';
import { kvmGetVcpu } from '../kvm/requests';
import { hostWritePfn } from '../kvm/shared';
import { allocPages, putPage, setPageContent } from '../mm/page';
import { atomicLoad32, load32, store32, variant } from '../point';
import { mutexLock, mutexUnlock } from '../sync/mutex';
import { snpLaunchUpdate } from './firmware';
import { rmpMakePrivate, rmpMakeShared } from './helpers';

/** What the registers look like in the page before it is encrypted. */
const REGISTERS: u32 = 0x766d7361;

/**
 * KVM_SEV_SNP_LAUNCH_FINISH: the VMSA of every vCPU becomes the guest's. 0; -ENOTTY for a guest without SNP; -EINVAL when it has been launched; -ENOMEM.
 * @context sleeps; takes kvm->lock, so that no vCPU is created meanwhile. kernel: snp_launch_finish().
 */
export function snpLaunchFinish(kvm: usize): i32 {
  if (load32(kvm + KVM_ASID) == 0) return -ENOTTY;
  mutexLock(kvm + KVM_LOCK);
  const online = atomicLoad32(kvm + KVM_ONLINE_VCPUS);
  let ret: i32 = 0;
  for (let n: u32 = 0; n < online && ret == 0; n++) ret = launchUpdateVmsa(kvm, kvmGetVcpu(kvm, n));
  mutexUnlock(kvm + KVM_LOCK);
  return ret;
}

/** @context kvm->lock. kernel: the loop of snp_launch_update_vmsa(). */
function launchUpdateVmsa(kvm: usize, vcpu: usize): i32 {
  const error = syncVmsa(kvm, vcpu);
  if (error != 0) return error;
  const pfn = load32(vcpu + VCPU_VMSA_PFN) - 1;
  const gpa = <u64>INITIAL_VMSA_GFN << 12;
  const asid = load32(kvm + KVM_ASID);
  let ret = rmpMakePrivate(pfn, gpa, PG_LEVEL_4K, asid, true);
  if (ret == 0) ret = snpLaunchUpdate(asid, gpa, pfn, true);
  if (ret == 0) store32(vcpu + VCPU_STATE_PROTECTED, 1);
  return ret;
}

/** Writes the registers into the VMSA page: not into one that is encrypted and the guest's (B54). @context kvm->lock. kernel: sev_es_sync_vmsa() with 9b9f7962e3e8. */
function syncVmsa(kvm: usize, vcpu: usize): i32 {
  if (load32(vcpu + VCPU_STATE_PROTECTED) != 0 && !variant(V_B54)) return -EINVAL;
  if (load32(vcpu + VCPU_VMSA_PFN) == 0) {
    const page = allocPages(0, <i32>load32(kvm + KVM_HOME));
    if (page == <u32>NO_PFN) return -ENOMEM;
    store32(vcpu + VCPU_VMSA_PFN, page + 1);
  }
  const pfn = load32(vcpu + VCPU_VMSA_PFN) - 1;
  const ret = hostWritePfn(pfn);
  if (ret == 0) setPageContent(pfn, REGISTERS);
  return ret;
}

/** Takes the vCPU's VMSA page back from the guest and frees it. @context the vCPU is being destroyed. kernel: sev_free_vcpu(). */
export function sevFreeVcpu(vcpu: usize): void {
  const page = load32(vcpu + VCPU_VMSA_PFN);
  if (page == 0) return;
  // A page that does not come back stays allocated: better lost than given to somebody else.
  if (rmpMakeShared(page - 1, PG_LEVEL_4K) == 0) putPage(page - 1);
  store32(vcpu + VCPU_VMSA_PFN, 0);
}

/** Whether the page is a VMSA of the guest's, for the audit. @context at rest. */
export function isVmsaOf(kvm: usize, pfn: u32): bool {
  const online = atomicLoad32(kvm + KVM_ONLINE_VCPUS);
  for (let n: u32 = 0; n < online; n++) {
    if (load32(kvmGetVcpu(kvm, n) + VCPU_VMSA_PFN) == pfn + 1) return true;
  }
  return false;
}
