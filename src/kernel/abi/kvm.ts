// struct kvm, its memslot sets and struct kvm_memory_slot: offsets, flags and arguments that the kernel and the host share.
// After virt/kvm/kvm_main.c, include/linux/kvm_host.h and include/uapi/linux/kvm.h; each comment names the field's protection.

// --- struct kvm: allocated zeroed, one 64-byte line for each lock that different paths fight for ---
export const KVM_MAGIC_VALUE = 0x6d76316b; // "k1vm": a live VM
export const KVM_MAGIC = 0; // u32 KVM_MAGIC_VALUE; fixed from createVm to the end of destroyVm
export const KVM_ID = 4; // u32 number of the VM in its shard; fixed
export const KVM_NEXT = 8; // u32 next in SH_VM_LIST; kvm_lock
export const KVM_ASID = 12; // u32 ASID of an SNP guest, 0: none; written at creation and by sev_vm_destroy
export const KVM_TYPE = 16; // u32 KVM_TYPE_*; fixed
export const KVM_HOOK = 20; // u32 HOOK_*: what kvm_x86_invalidate_restricted_mem is for this VM; fixed (SH_HOOK at creation)
export const KVM_HOME = 24; // u32 home partition; fixed
export const KVM_BUGGED = 28; // u32 1: kvm_vm_bugged(), set once; atomic
export const KVM_SHADOW = 32; // u32 address of the guest-data oracle's tables (abi/guest.ts), 0: none
export const KVM_USERS = 36; // u32 users_count: the VM's descriptor and each guest_memfd; atomic
export const KVM_PROCESS = 40; // u32 the VMM's process (kvm/process.ts), 0: its memory is a part of the VM; fixed
export const KVM_MMU_NOTIFIER = 44; // struct mmu_notifier (12 bytes): on the process's list
export const KVM_SPARE_A = 56; // 8 bytes

export const KVM_MMU_LOCK = 64; // rwlock
// The invalidation protocol (invalidate.ts): written under mmu_lock for write, read under mmu_lock or (unsafe) without.
export const KVM_INVALIDATE_SEQ = 128; // u64 +1 per end; read without the lock: atomic
export const KVM_INVALIDATE_START = 136; // u64 first gfn of the union of open ranges, INVALID_GFN: none added
export const KVM_INVALIDATE_END = 144; // u64 exclusive
export const KVM_INVALIDATE_IN_PROGRESS = 152; // i32 open begin..end sections; read without the lock: atomic
export const KVM_LOST_END = 156; // u32 1: V_PLANT_LOST_END has dropped its one end; mmu_lock write
export const KVM_SRCU = 192; // srcu_struct
export const KVM_SLOTS_LOCK = 256; // mutex
export const KVM_SLOTS_ARCH_LOCK = 320; // mutex
export const KVM_LOCK = 384; // mutex: kvm->lock
export const KVM_MN_LOCK = 448; // spinlock mn_invalidate_lock (16 bytes)
export const KVM_MN_ACTIVE = 464; // u32 mn_active_invalidate_count; mn_invalidate_lock
export const KVM_MN_RCUWAIT = 480; // rcuwait (16 bytes): the one waiter in kvm_swap_active_memslots
export const KVM_MEMSLOTS = 512; // u32[KVM_ADDRESS_SPACES] active set of each address space; published under slots_arch_lock, read in kvm->srcu
export const KVM_MEMSLOT_SETS = 520; // u32[KVM_ADDRESS_SPACES][2] the two sets; fixed
export const KVM_NR_MEMSLOT_PAGES = 536; // u64 pages of all slots; slots_lock
export const KVM_MEM_ATTR = 576; // xarray mem_attr_array (32 bytes), by 2M chunk, see attributes.ts; stores under slots_lock
export const KVM_COUNTERS = 640; // 32 x u32, see KC_*; atomic adds
// TDP MMU (tdp.ts): the root first, the rest is that file's.
export const KVM_TDP_ROOT = 768; // u32
export const KVM_MMU_AREA = 772; // 124 bytes for tdp.ts
export const KVM_ONLINE_VCPUS = 896; // u32 vCPUs created; written under kvm->lock, read with atomics
export const KVM_CREATED_VCPUS = 900; // u32 vCPUs being created or online; kvm->lock
export const KVM_VCPUS = 904; // u32[KVM_MAX_VCPUS] addresses by vCPU index, published before online_vcpus is raised
export const KVM_BUS = 1160; // u32 atomic: the MMIO bus, 0: no device; published under slots_lock, read in kvm->srcu
export const KVM_BUS_RETIRED = 1164; // u32 buses that were replaced and wait for a grace period, linked by BUS_RETIRED_NEXT; slots_lock
export const KVM_BUS_REMOVALS = 1168; // u32 atomic: raised as a removal of a device begins and as it ends, odd in between
export const KVM_SHADOW_ROOT = 1172; // u32 1: the guest has used shadow paging, every memslot has rmaps; slots_arch_lock
export const KVM_ENC_REGIONS = 1176; // {next u32, prev u32} list head of encrypted regions; kvm->lock
export const KVM_DEVICE_USES = 1184; // u32 times a device driver worked on the VMM's memory; atomic adds
export const KVM_IRQCHIP = 1188; // u32 1: vCPUs have an APIC in the kernel; set before the first one
export const KVM_GPC = 1192; // u32 its gfn_to_pfn cache, 0: none; mn_invalidate_lock, then fixed
export const KVM_SPARE_B = 1196; // 20 bytes
export const KVM_DEVICE_LOCK = 1216; // mutex of a device driver that has mapped the VMM's memory
export const KVM_MMAP_LOCK = 1280; // rwsem mmap_lock of the VMM: under slots_lock, above the invalidate locks of its files
export const KVM_SIZE = 1344;

// --- the GHCB, a page that a vCPU of an SNP guest shares with the host; as much of it as is used, at its places within the shared buffer ---
export const GHCB_EXIT_CODE = 0; // u64 SVM_EXIT_*, SVM_VMGEXIT_*
export const GHCB_PSC_HEADER = 16; // u64: bits 15:0 first entry that is not done yet (cur_entry), 31:16 last entry (end_entry), the rest reserved
export const GHCB_PSC_ENTRIES = 24; // PSC_MAX_ENTRIES x u64: bits 11:0 4K pages done (cur_page), 51:12 gfn, 55:52 operation, 56 pagesize
export const GHCB_SIZE = 2048;
export const PSC_MAX_ENTRIES = 253; // GHCB_PSC_ENTRIES + 8 x this: the end of the page
export const PSC_END_SHIFT = 16;
export const PSC_CUR_PAGE_MASK = 0xfff;
export const PSC_GFN_SHIFT = 12;
export const PSC_GFN_BITS = 40;
export const PSC_OP_SHIFT = 52;
export const PSC_PAGESIZE_SHIFT = 56; // 1: 2M
export const PSC_OP_PRIVATE = 1;
export const PSC_OP_SHARED = 2;
export const SVM_EXIT_CPUID = 0x72;
export const SVM_EXIT_VMGEXIT = 0x403;
export const SVM_VMGEXIT_PSC = 0x80000010;

// --- struct gfn_to_pfn_cache ---
export const GPC_LOCK = 0; // rwlock
export const GPC_REFRESH_LOCK = 64; // mutex
export const GPC_GFN = 128; // u64; fixed
export const GPC_HVA = 136; // u64 what the last refresh found; GPC_LOCK
export const GPC_GENERATION = 144; // u64 of the memslots then; GPC_LOCK
export const GPC_PFN = 152; // u32, no reference; GPC_LOCK
export const GPC_VALID = 156; // u32; GPC_LOCK
export const GPC_SIZE = 160;

export const KVM_ADDRESS_SPACES = 2; // KVM_ADDRESS_SPACE_NUM: normal and SMM
export const KVM_MAX_VCPUS = 64;
export const KVM_TYPE_NORMAL = 0;
export const KVM_TYPE_SNP = 1; // sev_snp_guest()

// Counters of a VM: word n at KVM_COUNTERS + 4 * n.
export const KC_GRACE_PERIODS = 0; // synchronize_srcu_expedited(&kvm->srcu) of memslot updates
export const KC_BEGINS = 1; // kvm_mmu_invalidate_begin
export const KC_ENDS = 2; // kvm_mmu_invalidate_end
export const KC_RM_BEGINS = 3; // restrictedmem invalidate_start callbacks that met the slot
export const KC_RM_SKIPPED = 4; // those that did not
export const KC_RM_ENDS = 5;
export const KC_RM_ERRORS = 6; // memory errors that reached the VM: SIGBUS from the error callback, error_folio of a guest_memfd
export const KC_HOOK_CALLS = 7; // ranges that kvm_arch_invalidate_restricted_mem was called for; mmu_lock write (guest-memfd: atomic adds)
export const KC_FLUSHES = 8; // kvm_flush_remote_tlbs asked for by an invalidation
export const KC_MN_STARTS = 9; // mmu_notifier range_start
export const KC_MN_ENDS = 10;
export const KC_MN_WAITS = 11; // times kvm_swap_active_memslots had to sleep for range_end
export const KC_RECLAIMED = 12; // kvm_arch_guest_memory_reclaimed (WBINVD on all CPUs for SEV)
export const KC_ATTR_UPDATES = 13; // KVM_SET_MEMORY_ATTRIBUTES that changed something
export const KC_ATTR_ERRORS = 14; // update_mem_attr failed (only logged)
export const KC_SWAPS = 15; // kvm_swap_active_memslots
export const KC_SHADOW_FLUSHES = 16; // kvm_arch_flush_shadow_memslot
export const KC_MN_FORCED = 17; // destroy met an open range_start and forced the count to 0

// --- struct kvm_memslots: one complete set of the slots of an address space ---
export const SLOTS_GENERATION = 0; // u64 bit 63: update in progress; else rises by KVM_ADDRESS_SPACES per update; atomic
export const SLOTS_NODE_INDEX = 8; // u32 0 or 1: which node of a slot links it into this set; fixed
export const SLOTS_COUNT = 12; // u32 slots in the set
export const SLOTS_GFN_ROOT = 16; // u32 slot at the root of the tree by base_gfn
export const SLOTS_HVA_ROOT = 20; // u32 slot at the root of the interval tree by userspace_addr
export const SLOTS_LAST_USED = 24; // u32 slot found last (last_used_slot); a hint, atomic
export const SLOTS_AS_ID = 28; // u32; fixed
export const SLOTS_ID_HASH = 64; // u32[SLOTS_ID_BUCKETS] heads of the chains by id
export const SLOTS_ID_BUCKETS = 256;
export const SLOTS_SIZE = 1088;
// All but LAST_USED: changed only while the set is inactive, by the holder of slots_lock + slots_arch_lock.

// --- struct kvm_memory_slot ---
export const SLOT_NOTIFIER = 0; // restrictedmem_notifier, 16 bytes: first, so that container_of is the same address
export const SLOT_MAGIC = 16; // u32 SLOT_MAGIC_VALUE; cleared by kvm_free_memslot
export const SLOT_KVM = 20; // u32 struct kvm; fixed
export const SLOT_ID = 24; // u32; fixed
export const SLOT_AS_ID = 28; // u32; fixed
export const SLOT_BASE_GFN = 32; // u64; fixed (MOVE makes a new slot)
export const SLOT_NPAGES = 40; // u64; fixed
export const SLOT_USERSPACE_ADDR = 48; // u64; fixed
export const SLOT_FLAGS = 56; // u32 KVM_MEM_* | KVM_MEMSLOT_INVALID; fixed
export const SLOT_RM_FILE = 60; // u32 restrictedmem file, 0: none; slots_lock; callbacks hold restrictedmem.lock
export const SLOT_RM_INDEX = 64; // u64 page offset of the slot's first page in the file; fixed
export const SLOT_BOUND = 72; // u32 1 between restrictedmem_bind and the end of restrictedmem_unbind
export const SLOT_BEGINS = 76; // u32 sections opened by invalidate_start callbacks (skipped ones are none); mmu_lock for write
export const SLOT_ENDS = 80; // u32 the same, closed
export const SLOT_CB_LAST = 84; // u32 task id + 1 of the last callback; a hint for reports
export const SLOT_LPAGE_2M = 88; // u32 address of one byte per 2M page of the slot: LPAGE_*; slots_lock + mmu_lock write, read under mmu_lock
export const SLOT_LPAGE_1G = 92; // u32 the same per 1G page
export const SLOT_LPAGE_BYTES_2M = 96; // u32 length of the array
export const SLOT_LPAGE_BYTES_1G = 100; // u32
// Links into set n (at + n * the size of one link): tree nodes and the next slot in the id chain.
export const SLOT_GFN_NODE = 104; // 2 x NODE: tree by base_gfn
export const SLOT_HVA_NODE = 136; // 2 x NODE: interval tree by userspace_addr
export const SLOT_ID_NODE = 168; // 2 x next u32
export const SLOT_PRIORITY = 176; // u32 heap order of the trees, from the slot's id
export const SLOT_RMAP = 180; // u32 address of 8 bytes per gfn, for shadow paging; 0: none; slots_arch_lock
export const SLOT_SPARE = 184; // 8 bytes
export const SLOT_SIZE = 192;
export const SLOT_MAGIC_VALUE = 0x746f6c73; // "slot"
export const SLOT_MAGIC_FREED = 0x64616564; // kvm_free_memslot has been here

// A tree node: {left child u32, right child u32, largest last gfn or address of the subtree u64}.
export const NODE_LEFT_SLOT = 0;
export const NODE_RIGHT_SLOT = 4;
export const NODE_SUBTREE_LAST = 8;
export const NODE_SLOT_SIZE = 16;

// The MMIO bus and its devices.
export const BUS_MAGIC_VALUE = 0x6f696d6d; // "mmio"
export const BUS_MAGIC = 0; // u32; 0 once freed
export const BUS_COUNT = 4; // u32 devices; fixed once published
export const BUS_RETIRED_NEXT = 8; // u32
export const BUS_RANGES = 16; // BUS_DEVICES x {gfn u64, device u32}
export const BUS_RANGE_SIZE = 16;
export const BUS_DEVICES = 15;
export const BUS_SIZE = 256;
export const DEVICE_MAGIC_VALUE = 0x64766564; // "devd"
export const DEVICE_MAGIC = 0; // u32; 0 once destroyed
export const DEVICE_ANNOUNCED = 4; // u32 atomic 1: the call that registered it has returned
export const DEVICE_WRITES = 8; // u32 accesses it has answered; atomic adds
export const DEVICE_SIZE = 32;

// One byte per large page of a slot (struct kvm_lpage_info).
export const LPAGE_MIXED = 1; // KVM_LPAGE_MIXED_FLAG: its gfns have different attributes
export const LPAGE_DISALLOWED = 2; // head or tail not fully inside the slot, or hva and gfn misaligned to each other

// Slot flags, as user space passes them, and the kernel's own.
export const KVM_MEM_LOG_DIRTY_PAGES = 1;
export const KVM_MEM_READONLY = 2;
export const KVM_MEM_PRIVATE = 4; // RFC era: the region carries a restrictedmem file (KVM_MEM_GUEST_MEMFD later)
export const KVM_MEMSLOT_INVALID = 65536; // being deleted or moved: faults retry

export const KVM_USER_MEM_SLOTS = 32764; // 32767 ids, three of them KVM's own
export const KVM_MEM_SLOTS_NUM = 32767;
export const KVM_OWN_SLOT = 32764; // APIC_ACCESS_PAGE_PRIVATE_MEMSLOT, the first that user space cannot name
export const KVM_MEM_MAX_NR_PAGES = 0x7fffffff;

// struct kvm_userspace_memory_region_ext: the argument of kvmSetMemoryRegion.
export const REGION_SLOT = 0; // u32 id | as_id << 16
export const REGION_FLAGS = 4; // u32 KVM_MEM_*
export const REGION_GPA = 8; // u64 bytes
export const REGION_MEMORY_SIZE = 16; // u64 bytes
export const REGION_USERSPACE_ADDR = 24; // u64
export const REGION_RESTRICTED_OFFSET = 32; // u64 bytes
export const REGION_RESTRICTED_FD = 40; // u32 file address (the model's file descriptor)
export const REGION_ARG_SIZE = 48;

// A VMM's process (kvm/process.ts).
export const PROCESS_MEMORY = 0; // its pages: xarray (32 bytes) and u64 count, as at KVM_SHARED_PAGES
export const PROCESS_NOTIFIERS = 64; // who hears of pages that go away (mm/mmu-notifier.ts)
export const PROCESS_SWAP = 192; // xarray (32 bytes): what was written to swap, by page index
export const PROCESS_SIZE = 256;

// Kinds of a memslot change (enum kvm_mr_change).
export const KVM_MR_CREATE = 0;
export const KVM_MR_DELETE = 1;
export const KVM_MR_MOVE = 2;
export const KVM_MR_FLAGS_ONLY = 3;

// Memory attributes.
export const KVM_MEMORY_ATTRIBUTE_PRIVATE = 8;

// KVM_RUN exit reasons and the flags of a memory-fault exit.
export const KVM_EXIT_UNKNOWN = 0;
export const KVM_EXIT_MMIO = 6;
export const KVM_EXIT_SHUTDOWN = 8;
export const KVM_EXIT_INTR = 10;
export const KVM_EXIT_INTERNAL_ERROR = 17;
export const KVM_EXIT_MEMORY_FAULT = 39;
export const KVM_MEMORY_EXIT_FLAG_PRIVATE = 8;
