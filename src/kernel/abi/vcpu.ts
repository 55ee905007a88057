// struct kvm_vcpu with its TLB, the TDP MMU's part of struct kvm, nested page-table entries, guest accesses and exits: what the kernel and the
// host share. After include/linux/kvm_host.h, arch/x86/kvm/mmu/spte.h and the NPT format of the AMD APM volume 2.

// --- struct kvm_vcpu: one 64-byte line for what other CPUs write, the rest is the vCPU's own ---
export const VCPU_MAGIC_VALUE = 0x75706376; // "vcpu"
export const VCPU_MAGIC = 0; // u32 VCPU_MAGIC_VALUE; fixed until vcpuDestroy
export const VCPU_KVM = 4; // u32 struct kvm; fixed
export const VCPU_INDEX = 8; // u32 number of the vCPU in its VM; fixed
export const VCPU_TASK = 12; // u32 task id + 1 inside KVM_RUN, 0: none; a hint
export const VCPU_MUTEX = 64; // mutex vcpu->mutex: one KVM_RUN at a time
export const VCPU_MODE = 128; // u32 atomic: *_GUEST_MODE | session << 2; see kvm/requests.ts
export const VCPU_REQUESTS = 132; // u32 atomic: bit n = KVM_REQ n
export const VCPU_IPI_WAITERS = 136; // u32 atomic: tasks that wait for VCPU_MODE to change
export const VCPU_ROOT = 192; // u32 struct tdp_root it walks (with a reference), 0: none loaded; vcpu->mutex
export const VCPU_ROOT_TABLE = 196; // u32 its level-4 table
export const VCPU_TLB_TAG = 200; // u64 generation of valid TLB entries << TLB_GENERATION_SHIFT
export const VCPU_VALUE = 208; // u32 content read by the last access
export const VCPU_MMIO_VALUE = 212; // u32 what an MMIO read returns: the device, written by the host
export const VCPU_EXIT_REASON = 216; // u32 KVM_EXIT_*
export const VCPU_EXIT_FLAGS = 220; // u32 KVM_MEMORY_EXIT_FLAG_*
export const VCPU_EXIT_GPA = 224; // u64
export const VCPU_EXIT_SIZE = 232; // u64 bytes
export const VCPU_RETRY_GFN = 240; // u64 gfn of the fault that was last told to retry
export const VCPU_RETRY_SEQ = 248; // u64 mmu_invalidate_seq at that time
export const VCPU_RETRY_OPEN = 256; // u32 mmu_invalidate_in_progress at that time | 1 << 31 when it was the protocol that said retry
export const VCPU_RETRY_COUNT = 260; // u32 retries in a row with these three unchanged, 0: none
export const VCPU_APIC_PFN = 264; // u32 page of its APIC registers + 1, 0: no APIC in the kernel; fixed
export const VCPU_AVIC = 268; // u32 VCPU_AVIC_*: pages that VMRUN takes into use; the vCPU's own task
export const VCPU_VMSA_PFN = 272; // u32 page of its encrypted registers + 1, 0: none yet; kvm->lock
export const VCPU_STATE_PROTECTED = 276; // u32 1: the VMSA is encrypted and the guest's (guest_state_protected); kvm->lock
export const VCPU_GHCB = 280; // u32 address of its GHCB, 0: not used yet; set once
export const VCPU_VMGEXIT_DEPTH = 284; // u32 handlers of VMGEXIT on the stack; vcpu->mutex
export const VCPU_PSC_GFN = 288; // u64 first page that user space is to convert; vcpu->mutex
export const VCPU_PSC_PRIVATE = 296; // u32 1: to private; vcpu->mutex
export const VCPU_PSC_PAGES = 472; // u32 how many pages; vcpu->mutex
export const VCPU_PSC_INDEX = 476; // u32 their first entry in the GHCB's list; vcpu->mutex
export const VCPU_PSC_INFLIGHT = 480; // u32 how many entries; vcpu->mutex
export const VCPU_BUS = 300; // u32 V_B41: the MMIO bus before the guest ran
export const VCPU_BUS_EXPECTED = 304; // u32 0, or 1 + KVM_BUS_REMOVALS when the guest could know of a device at the gfn it is about to touch
export const VCPU_ROUNDS = 308; // u32 entries into the guest for the present access since it was last looked whether anything moved
export const VCPU_ROUNDS_SEQ = 312; // u64 mmu_invalidate_seq at that time
export const VCPU_AP_GFN = 464; // u64 atomic: its VMSA is the guest's page at this gfn - 1; 0: the host's; all ones: the guest has stopped it
export const VCPU_GUEST_VMSA_PFN = 448; // u32 that page + 1; the vCPU's own task
export const VCPU_FLUSH_RANGE = 456; // u64 atomic: gfns to forget with KVM_REQ_TLB_FLUSH_RANGE, first >> 9 | end >> 9 (rounded up) << 32; 0: none
export const VCPU_AVIC_APIC = 1; // its APIC registers (AVIC)
export const VCPU_AVIC_VMSA = 2; // a VMSA that the guest made
export const VCPU_AVIC_STOPPED = 4; // not a page: it does not run at all

// Counters: u64 each, only the task in KVM_RUN adds.
export const VCPU_COUNT_ACCESSES = 320; // guest accesses that were completed
export const VCPU_COUNT_TLB_HITS = 328; // of these, by the TLB
export const VCPU_COUNT_FAULTS = 336; // #NPF exits
export const VCPU_COUNT_RETRIES = 344; // RET_PF_RETRY
export const VCPU_COUNT_NPF_RMP = 352; // #NPF with the RMP bit
export const VCPU_COUNT_VC = 360; // #VC: page assigned but not validated
export const VCPU_COUNT_EXITS = 368; // exits to user space
export const VCPU_COUNT_IPIS = 376; // times it left guest mode because it was kicked
export const VCPU_COUNT_MAPPED_4K = 384; // leaf SPTEs it installed
export const VCPU_COUNT_MAPPED_2M = 392;
export const VCPU_COUNT_FLUSHES = 400; // TLB flushes it carried out
export const VCPU_COUNT_SPURIOUS = 408; // faults that found their mapping in place
export const VCPU_COUNTERS_END = 448;

export const VCPU_TLB_4K = 512; // TLB_4K_ENTRIES x TLB_ENTRY_SIZE, direct-mapped by gfn
export const VCPU_TLB_2M = 4608; // TLB_2M_ENTRIES x TLB_ENTRY_SIZE, direct-mapped by gfn >> 9
export const VCPU_SIZE = 5632;

// vCPU modes: low bits of VCPU_MODE.
export const OUTSIDE_GUEST_MODE = 0;
export const IN_GUEST_MODE = 1;
export const EXITING_GUEST_MODE = 2;
export const READING_SHADOW_PAGE_TABLES = 3;
export const GUEST_MODE_MASK = 3;
export const GUEST_SESSIONS_CONTROLLED = 12; // bits of the session that the controlled build has
export const GUEST_SESSION_ONE = 4; // each entry into the guest is a new session: a waiter can tell it from the one it kicked

// Requests (bit numbers of VCPU_REQUESTS).
export const KVM_REQ_TLB_FLUSH = 0;
export const KVM_REQ_MMU_FREE_OBSOLETE_ROOTS = 1;
export const KVM_REQ_VM_DEAD = 2; // KVM_RUN fails with -EIO from now on
export const KVM_REQ_INTERRUPT = 3; // a signal for the thread: KVM_RUN returns -EINTR
export const KVM_REQ_EVENT = 4; // an interrupt is pending in the APIC
export const KVM_REQ_UPDATE_PROTECTED_GUEST_STATE = 5; // the guest has given it another VMSA, or none
export const KVM_REQ_TLB_FLUSH_RANGE = 6; // V_B34: of the gfns in VCPU_FLUSH_RANGE

// --- TLB entry: key u64, value u64. Written by its own vCPU only; others read it at rest ---
export const TLB_ENTRY_SIZE = 16;
export const TLB_4K_ENTRIES = 256;
export const TLB_2M_ENTRIES = 64;
// key: bits 39:0 gfn (2M: gfn >> 9), bit 40 private access, bits 63:41 generation: valid while equal to the vCPU's.
export const TLB_PRIVATE_SHIFT = 40;
export const TLB_GENERATION_SHIFT = 41;
export const TLB_GENERATION_MAX = 8388607; // then the table is cleared and counting starts again at 1
// value: bits 31:0 pfn (of the 2M page's head), then:
export const TLB_WRITABLE_BIT = 32; // a write has passed all checks
export const TLB_2M_BIT = 33;
export const TLB_VALID_BIT = 35;
export const TLB_CIPHER_BIT = 36; // a shared access to a private page: reads see ciphertext

// --- the TDP MMU's part of struct kvm (behind KVM_TDP_ROOT, the current valid root; mmu_lock write) ---
export const MMU_VALID_GEN = 772; // u32 raised when all roots become obsolete; mmu_lock write
export const MMU_ROOTS = 776; // u32 first root, valid and invalid ones, linked by ROOT_NEXT; mmu_lock write, or read + MMU_PAGES_LOCK
export const MMU_PAGES_LOCK = 784; // spinlock tdp_mmu_pages_lock
export const MMU_REMOTE_FLUSHES = 808; // u64 kvm_flush_remote_tlbs; a plain increment, as the kernel's: of two at once it may miss one
export const MMU_TABLES = 816; // u32 page-table pages in use; atomic adds
export const MMU_YIELDS = 820; // u32 times a zap let go of mmu_lock; atomic adds
export const MMU_NO_EARLY_RETRY = 824; // u32 1: the fault path does not look at the protocol before it takes mmu_lock (B42); set by the host
export const KVM_SHARED_PAGES = 832; // xarray (32 bytes) hva >> 12 -> pfn: the process memory behind shared gfns
export const KVM_SHARED_COUNT = 864; // u64 pages in it; atomic adds

// struct tdp_root (kvm_mmu_page of level 4).
export const ROOT_TABLE = 0; // u32 its table; fixed
export const ROOT_STATE = 4; // u32 atomic: ROOT_*; changed under mmu_lock
export const ROOT_REFS = 8; // u32 atomic: vCPUs that walk it, + 1 of the MMU until it is zapped
export const ROOT_NEXT = 12; // u32 next in MMU_ROOTS
export const ROOT_GEN = 16; // u32 MMU_VALID_GEN when it was made
export const ROOT_SIZE = 32;
export const ROOT_INVALID = 1; // role.invalid: no new mapping may go in
export const ROOT_FREED = 4; // its last reference is gone; only RCU readers may still look (builds with oracles)
export const ROOT_SCHEDULED = 2; // waits for kvm_tdp_mmu_zap_invalidated_roots

// --- SPTE: u64, AMD NPT format with KVM's software bits ---
// bit 0 present, 1 writable, 2 user, 5 accessed, 6 dirty, 7 page size (leaf above 4K), 12..51 pfn of a leaf or, in a table entry, the kernel
// address of the next table; 58 MMU-writable (may be made writable without a fault), 59 private. A non-present entry is 0 or FROZEN.
export const SPTE_PRESENT_BIT = 0;
export const SPTE_WRITABLE_BIT = 1;
export const SPTE_USER_BIT = 2;
export const SPTE_ACCESSED_BIT = 5;
export const SPTE_DIRTY_BIT = 6;
export const SPTE_LARGE_BIT = 7;
export const SPTE_PFN_SHIFT = 12;
export const SPTE_MMU_WRITABLE_BIT = 58;
export const SPTE_PRIVATE_BIT = 59;
export const SPTE_FROZEN_VALUE = 0x5a0; // REMOVED_SPTE: nobody may install here until the one who froze it writes 0
export const SPT_TABLE_SIZE = 4096;
export const TDP_MAX_GFN = 68719476736; // exclusive: four levels of 9 bits

// Result of tdpNextLeaf and tlbNext.
export const LEAF_GFN = 0; // u64 first gfn
export const LEAF_PFN = 8; // u32 first pfn
export const LEAF_LEVEL = 12; // u32 1 or 2 (4K, 2M)
export const LEAF_SPTE = 16; // u64 (of a TLB entry: its value)
export const LEAF_PRIVATE = 24; // u32
export const LEAF_WRITABLE = 28; // u32
export const LEAF_SIZE = 32;

// --- guest accesses ---
export const ACCESS_WRITE = 1;
export const ACCESS_PRIVATE = 2; // C-bit set
// One element of vcpuRunAccesses.
export const ACCESS_GFN = 0; // u64
export const ACCESS_FLAGS = 8; // u32
export const ACCESS_VALUE = 12; // u32 token to write; a read puts the token here
export const ACCESS_SIZE = 16;
