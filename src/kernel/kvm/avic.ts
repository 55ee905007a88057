// The in-kernel interrupt controller, as far as its page goes: registers in a page of the host's, which AVIC lets the hardware read while the guest runs. VMRUN marks that
// page as in use in the RMP, and the host must not write to a page in use unless the CPU has HvInUseWrAllowed.
// kernel: arch/x86/kvm/svm/avic.c avic_hardware_setup(), avic_init_backing_page(); svm_deliver_interrupt(); AMD APM volume 2, 15.36.
import { EBUSY, ENOENT, ENOMEM } from '../abi/errno';
import { KVM_HOME, KVM_IRQCHIP } from '../abi/kvm';
import { NO_PFN } from '../abi/layout';
import { PAGE_CONTENT } from '../abi/mm';
import { SNP_ENABLED, SNP_HV_IN_USE_WRITE_ALLOWED } from '../abi/snp';
import { V_B46 } from '../abi/variants';
import { KVM_REQ_EVENT, VCPU_APIC_PFN, VCPU_AVIC, VCPU_AVIC_APIC } from '../abi/vcpu';
import { allocPages, pageAddress, putPage } from '../mm/page';
import { atomicOr32, atomicStore32, cpuRelax, load32, store32, variant } from '../point';
import { rmpClearInUse, rmpMarkInUse } from '../snp/firmware';
import { kvmMakeRequest, kvmVcpuKick } from './requests';
import { hostWritePfn } from './shared';

/** Whether the hardware may use APIC pages: not on an SNP host whose CPU forbids writes to pages in use (B46). kernel: avic_hardware_setup() with d81cadbe1642. */
function avicAllowed(): bool {
  return load32(SNP_ENABLED) == 0 || load32(SNP_HV_IN_USE_WRITE_ALLOWED) != 0 || variant(V_B46);
}

/** KVM_CREATE_IRQCHIP: vCPUs that are created from now on have a local APIC in the kernel. @context no vCPU yet. */
export function kvmCreateIrqchip(kvm: usize): void {
  store32(kvm + KVM_IRQCHIP, 1);
}

/** Gives a new vCPU its APIC page. 0, -ENOMEM. @context kvm->lock, nobody else knows the vCPU; sleeps. kernel: kvm_create_lapic(), avic_init_vcpu(). */
export function apicInitVcpu(kvm: usize, vcpu: usize): i32 {
  if (load32(kvm + KVM_IRQCHIP) == 0) return 0;
  const pfn = allocPages(0, <i32>load32(kvm + KVM_HOME));
  if (pfn == <u32>NO_PFN) return -ENOMEM;
  store32(vcpu + VCPU_APIC_PFN, pfn + 1);
  // Builds without variants deliver every interrupt by a request: there is nothing to compare it with.
  if (VARIANTS && avicAllowed()) store32(vcpu + VCPU_AVIC, VCPU_AVIC_APIC);
  return 0;
}

/** @context the vCPU is being destroyed. */
export function apicFreeVcpu(vcpu: usize): void {
  const pfn = load32(vcpu + VCPU_APIC_PFN);
  if (pfn != 0) putPage(pfn - 1);
}

/** VMRUN takes the backing page into use. @context the vCPU's thread, in guest mode, before its first access. */
export function avicVmrun(vcpu: usize): void {
  while (rmpMarkInUse(load32(vcpu + VCPU_APIC_PFN) - 1, 0) == -EBUSY) cpuRelax();
}

/** The VMEXIT gives it back. @context the vCPU's thread. */
export function avicVmexit(vcpu: usize): void {
  rmpClearInUse(load32(vcpu + VCPU_APIC_PFN) - 1);
}

/**
 * Another CPU's interrupt for the vCPU: sets the vector's bit in the APIC page, then makes the vCPU look, unless AVIC looks for it. 0; -ENOENT without an APIC in the kernel;
 * -EFAULT when the RMP forbids the write. @context any. kernel: svm_deliver_interrupt().
 */
export function svmDeliverInterrupt(vcpu: usize, vector: u32): i32 {
  const pfn = load32(vcpu + VCPU_APIC_PFN);
  if (pfn == 0) return -ENOENT;
  const ret = hostWritePfn(pfn - 1);
  if (ret != 0) return ret;
  atomicOr32(pageAddress(pfn - 1) + PAGE_CONTENT, <u32>1 << (vector & 31));
  if ((load32(vcpu + VCPU_AVIC) & VCPU_AVIC_APIC) != 0) return 0; // the doorbell: the hardware finds the bit
  kvmMakeRequest(vcpu, KVM_REQ_EVENT);
  kvmVcpuKick(vcpu);
  return 0;
}

/** Injects what is pending. @context vcpu->mutex, outside guest mode. kernel: kvm_check_and_inject_events(). */
export function kvmInjectPendingEvents(vcpu: usize): void {
  const pfn = load32(vcpu + VCPU_APIC_PFN);
  if (pfn != 0) atomicStore32(pageAddress(pfn - 1) + PAGE_CONTENT, 0);
}
