// Application processors of an SNP guest: the guest makes one of its own pages the VMSA of another vCPU and starts that vCPU with it; to stop the vCPU it asks the host to let go of
// the page, and makes an ordinary page of it again. While the vCPU runs, VMRUN has the page in use, and RMPADJUST refuses: so the host answers only when the vCPU is out.
// kernel: arch/x86/kvm/svm/sev.c sev_snp_ap_creation(), sev_snp_init_protected_guest_state(); the guest's half arch/x86/coco/sev/core.c wakeup_cpu_via_vmgexit(), snp_cleanup_vmsa().
import { EAGAIN, EBUSY, EFAULT, EINVAL } from '../abi/errno';
import { KVM_ASID, KVM_SRCU } from '../abi/kvm';
import { NO_PFN } from '../abi/layout';
import { PG_LEVEL_4K } from '../abi/snp';
import { V_B50 } from '../abi/variants';
import { KVM_REQ_UPDATE_PROTECTED_GUEST_STATE, VCPU_AP_GFN, VCPU_AVIC, VCPU_AVIC_APIC, VCPU_AVIC_STOPPED, VCPU_AVIC_VMSA, VCPU_GUEST_VMSA_PFN, VCPU_KVM } from '../abi/vcpu';
import { putPage } from '../mm/page';
import { atomicLoad64, atomicStore64, cpuRelax, load32, loadStatic32, store32, variant } from '../point';
import { rmpClearInUse, rmpMarkInUse } from '../snp/firmware';
import { rmpadjust } from '../snp/guest';
import { srcuReadLock, srcuReadUnlock } from '../sync/srcu';
import { stackPop, stackPush } from '../task';
import { avicVmexit, avicVmrun } from './avic';
import { gfnToMemslot } from './memslots';
import { kvmMakeVcpuRequest } from './requests';
import { kvmRestrictedmemGetPfn } from './restrictedmem_kvm';
import { tdpLookup } from './tdp';
import { sptePfn, spteIsPresent, SPTE_LARGE } from './tdp-spte';

/** What VCPU_AP_GFN holds once the guest has stopped the vCPU. */
const NONE: u64 = 0xffffffffffffffff;

/** RMPADJUST of a page of the guest's own: whether it is a VMSA. Hardware code, or -EFAULT for a page that is not mapped. @context guest code. */
function adjust(vcpu: usize, gfn: u64, vmsa: bool): i32 {
  const kvm: usize = load32(vcpu + VCPU_KVM);
  const spte = tdpLookup(kvm, gfn);
  if (!spteIsPresent(spte)) return -EFAULT;
  const pfn = sptePfn(spte) + ((spte & SPTE_LARGE) != 0 ? <u32>gfn & 511 : 0);
  return rmpadjust(load32(kvm + KVM_ASID), 0, gfn << 12, pfn, PG_LEVEL_4K, 1, 0, vmsa);
}

/**
 * The guest starts `vcpu` with its private page `gfn` as the VMSA. 0; what RMPADJUST returned (a hardware code); -EFAULT for a page that is not mapped.
 * @context guest code of another vCPU, then the host: never waits. kernel: sev_snp_ap_creation(), SVM_VMGEXIT_AP_CREATE.
 */
export function snpApCreate(vcpu: usize, gfn: u64): i32 {
  const code = adjust(vcpu, gfn, true);
  if (code != 0) return code;
  atomicStore64(vcpu + VCPU_AP_GFN, gfn + 1);
  kvmMakeVcpuRequest(vcpu, KVM_REQ_UPDATE_PROTECTED_GUEST_STATE, false);
  return 0;
}

/**
 * The guest stops `vcpu` and makes an ordinary page of its VMSA again. 0; what RMPADJUST returned: FAIL_INUSE when the vCPU still runs on the page; -EINVAL without such a page.
 * @context as snpApCreate, but waits until the vCPU is out of guest mode. kernel: sev_snp_ap_creation(), SVM_VMGEXIT_AP_DESTROY.
 */
export function snpApDestroy(vcpu: usize): i32 {
  const was = atomicLoad64(vcpu + VCPU_AP_GFN);
  if (was == 0 || was == NONE) return -EINVAL;
  atomicStore64(vcpu + VCPU_AP_GFN, NONE);
  // Only when the vCPU has seen the request may the guest do something else with the page (B50).
  kvmMakeVcpuRequest(vcpu, KVM_REQ_UPDATE_PROTECTED_GUEST_STATE, !variant(V_B50));
  return adjust(vcpu, was - 1, false);
}

/**
 * Changes to the VMSA that the guest has asked for; a vCPU that has none to run on is stopped.
 * @context the vCPU's own task, outside guest mode; takes kvm->srcu. kernel: sev_snp_init_protected_guest_state().
 */
export function snpUpdateVmsa(vcpu: usize): void {
  const wanted = atomicLoad64(vcpu + VCPU_AP_GFN);
  const pfn = wanted == 0 || wanted == NONE ? <u32>NO_PFN : vmsaPfn(load32(vcpu + VCPU_KVM), wanted - 1);
  store32(vcpu + VCPU_GUEST_VMSA_PFN, pfn + 1);
  const others = load32(vcpu + VCPU_AVIC) & VCPU_AVIC_APIC;
  store32(vcpu + VCPU_AVIC, others | (pfn == <u32>NO_PFN ? VCPU_AVIC_STOPPED : VCPU_AVIC_VMSA));
}

/** The page at a private gfn, NO_PFN when there is none. It stays where it is; nothing but the RMP keeps it while a vCPU runs on it. @context as snpUpdateVmsa. */
function vmsaPfn(kvm: usize, gfn: u64): u32 {
  const out = stackPush(16);
  const idx = srcuReadLock(kvm + KVM_SRCU);
  const slot = gfnToMemslot(kvm, 0, gfn);
  const found = slot != 0 && kvmRestrictedmemGetPfn(slot, gfn, out, out + 8) == 0;
  const pfn = found ? loadStatic32(out) : <u32>NO_PFN;
  if (found) putPage(pfn);
  srcuReadUnlock(kvm + KVM_SRCU, idx);
  stackPop(16);
  return pfn;
}

/** VMRUN takes the vCPU's pages into use. 0; -EAGAIN for a vCPU that the guest has stopped; -EINVAL when its VMSA is none. @context the vCPU's thread, in guest mode, before its first access. */
export function vmrunPages(vcpu: usize): i32 {
  const what = load32(vcpu + VCPU_AVIC);
  if ((what & VCPU_AVIC_STOPPED) != 0) return -EAGAIN;
  if ((what & VCPU_AVIC_VMSA) != 0) {
    const pfn = load32(vcpu + VCPU_GUEST_VMSA_PFN) - 1;
    const asid = load32(<usize>load32(vcpu + VCPU_KVM) + KVM_ASID);
    let ret = rmpMarkInUse(pfn, asid);
    while (ret == -EBUSY) {
      cpuRelax();
      ret = rmpMarkInUse(pfn, asid);
    }
    if (ret != 0) return ret;
  }
  if ((what & VCPU_AVIC_APIC) != 0) avicVmrun(vcpu);
  return 0;
}

/** The VMEXIT gives them back. @context the vCPU's thread. */
export function vmexitPages(vcpu: usize): void {
  const what = load32(vcpu + VCPU_AVIC);
  if ((what & VCPU_AVIC_APIC) != 0) avicVmexit(vcpu);
  if ((what & VCPU_AVIC_VMSA) != 0) rmpClearInUse(load32(vcpu + VCPU_GUEST_VMSA_PFN) - 1);
}
