// The calls that a scenario's thread makes: records of CALL_SIZE bytes in the state, ended by a code of 0. Arguments are f64, so that gfns, pages
// and handles (addresses of objects) all fit.
export const CALL_SIZE = 72;
export const CALL_CODE = 0; // u32 CALL_*, 0: end of the list
export const CALL_RESULT = 4; // i32, written when the call has returned
export const CALL_ARGS = 8; // 8 x f64

export const CALL_TOUCH = 1; // (vcpu, gfn, flags ACCESS_*, value): a guest access
export const CALL_FALLOCATE = 2; // (file, mode FALLOC_FL_*, start index, pages)
export const CALL_SET_MEMSLOT = 3; // (kvm, id, flags, start gfn, pages, hva page, file or 0, start index); no pages: delete
export const CALL_SET_ATTRIBUTES = 4; // (kvm, start gfn, pages, attributes)
export const CALL_MEMORY_FAILURE = 5; // (pfn)
export const CALL_PUT_FILE = 6; // (file)
export const CALL_DESTROY_VM = 7; // (kvm)
export const CALL_DISCARD_SHARED = 8; // (kvm, hva page, pages)
export const CALL_CREATE_VCPU = 9; // (kvm, 1: the process has no descriptor left)
export const CALL_SET_FILE_SIZE = 10; // (file, pages)
export const CALL_PSMASH = 11; // (pfn)
export const CALL_HOST_WRITE = 12; // (pfn): the host writes through its direct map
export const CALL_FIRMWARE_PAGE = 13; // (kvm, gfn, pfn): the page becomes immutable, as while firmware works on it
export const CALL_GET_FILE = 14; // (file): one more descriptor
export const CALL_PVALIDATE = 15; // (vcpu, gfn, validate): of 4K, by the guest
export const CALL_INTERRUPT = 16; // (vcpu, vector)
export const CALL_LAUNCH_FINISH = 17; // (kvm)
export const CALL_GHCB_WRITE = 18; // (vcpu, byte offset, value): by the guest
export const CALL_VMGEXIT = 19; // (vcpu)
export const CALL_REGISTER_DEVICE = 20; // (kvm, gfn): an MMIO device of the kernel
export const CALL_UNREGISTER_DEVICE = 21; // (kvm, gfn, 1: no memory for the new bus)
export const CALL_REGISTER_REGION = 22; // (kvm, hva page, pages): an encrypted region
export const CALL_UNREGISTER_REGION = 23; // (kvm, hva page)
export const CALL_DEVICE_WORK = 24; // (kvm): a driver works under its own lock
export const CALL_REAP_SHARED = 25; // (kvm, hva page, pages): as CALL_DISCARD_SHARED, by a caller that may not sleep
export const CALL_SHADOW_ROOT = 26; // (kvm): the guest's first use of shadow paging
export const CALL_XA_STORE = 27; // (xarray, first index, last index, value; 0 erases)
export const CALL_XA_LOAD = 28; // (xarray, index)
export const CALL_LAUNCH_UPDATE = 29; // (kvm, gfn, page of the VMM)
export const CALL_FAULT_FILE = 30; // (kvm, file, page): the VMM, through its own mapping
export const CALL_CACHE_GFN = 31; // (kvm, gfn)
export const CALL_WRITE_CACHED = 32; // (kvm, value)
export const CALL_OWN_SLOT = 40; // (kvm, gfn, hva page): KVM's own memslot, of one page
export const CALL_PROCESS_DISCARD = 41; // (process, page, pages): somebody takes pages of the VMM away
export const CALL_PROCESS_EXIT = 42; // (process)
export const CALL_PROCESS_RECLAIM = 43; // (process, page, pages): to swap
export const CALL_RMPUPDATE = 44; // (pfn, level PG_LEVEL_*, kvm or 0: back to the hypervisor, gfn): the instruction, once; its code
export const CALL_RMP_ENTRY = 45; // (pfn, bits 0-31 of lo, bits 32-63 of lo, bits 0-31 of hi): as a dump of a host shows it
export const CALL_MARK_IN_USE = 46; // (pfn): a VMRUN uses the page
export const CALL_AP_CREATE = 47; // (vcpu, gfn): the guest starts the vCPU with its page as the VMSA
export const CALL_AP_DESTROY = 48; // (vcpu): and stops it
export const CALL_LOCK_WRITE = 49; // (lock, value): takes it for write and stores the value behind it
export const CALL_LOCK_READ = 50; // (lock): takes it for read; the value
export const CALL_WRITE_USER = 51; // (kvm, hva page, value): the VMM writes to its own memory

/** What CALL_RESULT holds before the call returns. */
export const CALL_PENDING = 0x7fffffff;
