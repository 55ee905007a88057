// Error codes of nested page faults as the hardware raises them for guest code, and how guest code ends without one.
// kernel: arch/x86/include/asm/kvm_host.h PFERR_*; AMD APM volume 2, 15.25.6 and 15.36.
import { PFERR_GUEST_ENC_BIT, PFERR_GUEST_FINAL_BIT, PFERR_GUEST_SIZEM_BIT, PFERR_PRESENT_BIT, PFERR_RMP_BIT, PFERR_USER_BIT, PFERR_WRITE_BIT } from '../abi/snp';

export const NPF_PRESENT: u64 = (<u64>1) << PFERR_PRESENT_BIT;
export const NPF_WRITE: u64 = (<u64>1) << PFERR_WRITE_BIT;
export const NPF_RMP: u64 = (<u64>1) << PFERR_RMP_BIT;
export const NPF_ENC: u64 = (<u64>1) << PFERR_GUEST_ENC_BIT;
export const NPF_SIZEM: u64 = (<u64>1) << PFERR_GUEST_SIZEM_BIT;
/** Every #NPF of a guest access: by the guest, at the final translation. */
export const NPF_BASE: u64 = ((<u64>1) << PFERR_USER_BIT) | ((<u64>1) << PFERR_GUEST_FINAL_BIT);

/** What guest code ended with: it is done; or the vCPU was kicked before it. All other results are #NPF error codes. */
export const DONE: u64 = 0;
export const KICKED: u64 = (<u64>1) << 62;
