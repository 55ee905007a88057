// #NPF with the RMP bit: a guest worked on 4K of what the RMP holds as 2M, or the nested page table maps larger than the RMP. The entry is smashed, the
// 2M region's mappings are dropped, so that the guest faults them in again at the size that fits. kernel: upstream sev_handle_rmp_fault (RFC
// v8 patch 44 zapped from an unaligned gfn, and took a fault that another vCPU had handled for an error).
import { PTRS_PER_2M } from '../abi/layout';
import { EFAULT, EINVAL } from '../abi/errno';
import { KVM_MEM_PRIVATE, SLOT_FLAGS } from '../abi/kvm';
import { PFERR_GUEST_SIZEM_BIT, PFERR_RMP_BIT, PG_LEVEL_2M, SNPC_SPURIOUS_FAULTS } from '../abi/snp';
import { V_B45 } from '../abi/variants';
import { KVM_REQ_VM_DEAD, VCPU_KVM } from '../abi/vcpu';
import { kvmMemIsPrivate } from '../kvm/attributes';
import { kvmMakeAllCpusRequest } from '../kvm/requests';
import { gfnToMemslot } from '../kvm/memslots';
import { kvmRestrictedmemGetPfn } from '../kvm/restrictedmem_kvm';
import { kvmZapGfnRange } from '../kvm/tdp';
import { putPage } from '../mm/page';
import { load32, loadStatic32, variant } from '../point';
import { stackPop, stackPush } from '../task';
import { psmashOrRaced, snpCount, snpRmptablePsmash } from './helpers';
import { snpLookupRmpentry } from './rmp';

/**
 * Handles an RMP fault of the guest at `gpa`. 0 when the guest may go on (it faults again if not); -EINVAL when this is no fault that splitting
 * could cure; -EFAULT when the split failed. kernel: sev_handle_rmp_fault.
 * @context the vCPU's thread inside kvm->srcu, mmu_lock not held; takes mmu_lock for write; may sleep.
 */
export function handleRmpPageFault(vcpu: usize, gpa: u64, errorCode: u64): i32 {
  if (((errorCode >> PFERR_RMP_BIT) & 1) == 0 || ((errorCode >> PFERR_GUEST_SIZEM_BIT) & 1) == 0) return -EINVAL;
  const kvm: usize = load32(vcpu + VCPU_KVM);
  const gfn = gpa >> 12;
  if (!kvmMemIsPrivate(kvm, gfn)) return -EINVAL;
  const slot = gfnToMemslot(kvm, 0, gfn);
  if (slot == 0 || (load32(slot + SLOT_FLAGS) & KVM_MEM_PRIVATE) == 0) return -EINVAL;
  const out = stackPush(16);
  let result = kvmRestrictedmemGetPfn(slot, gfn, out, out + 8);
  if (result == 0) {
    const pfn = loadStatic32(out);
    result = splitEntry(kvm, pfn, out + 8);
    // Also after a spurious fault: the vCPU that split the entry may not have come to its zap yet, and a 2M mapping must go.
    const first = gfn & ~(<u64>PTRS_PER_2M - 1);
    kvmZapGfnRange(kvm, first, first + PTRS_PER_2M);
    putPage(pfn);
  }
  stackPop(16);
  return result;
}

/**
 * Splits the page's entry unless another vCPU was faster: two that work on 4K of one 2M entry both fault, and one PSMASH is enough. Who takes the
 * other's failure for the guest's end has B45.
 * @context the caller holds a reference of the page.
 */
function splitEntry(kvm: usize, pfn: u32, levelp: usize): i32 {
  if (variant(V_B45)) {
    if (snpRmptablePsmash(pfn) != 0) kvmMakeAllCpusRequest(kvm, KVM_REQ_VM_DEAD, false);
    return 0;
  }
  if (snpLookupRmpentry(pfn, levelp) != 1) return 0; // not assigned (any more): the fault path sorts it out
  if (load32(levelp) != PG_LEVEL_2M) {
    snpCount(SNPC_SPURIOUS_FAULTS, 1);
    return 0;
  }
  return psmashOrRaced(pfn) == 0 ? 0 : -EFAULT;
}
