// Actor programs: operations as data. The host fills a program struct, a thread interprets it in the kernel (program/*.ts) until the stop
// flag, the deadline or the operation limit, and leaves counts, errors and latencies in its operation statistics.
export const PROGRAM_SIZE = 512;
export const PR_KIND = 0; // ACTOR_*
export const PR_TARGETS = 4; // address of PR_TARGET_COUNT targets
export const PR_TARGET_COUNT = 8;
export const PR_STATS = 16; // address of OP_COUNT x OPSTAT_SIZE
export const PR_RANGE_MIN = 56; // u32 pages of one range operation, at least
export const PR_RANGE_MAX = 60; // u32, at most
export const PR_ALIGN = 64; // u32 pages: range starts are multiples of it
export const PR_DISTRIBUTION = 68; // DIST_*
export const PR_WRITE_FRACTION = 72; // u32: of 2^32
export const PR_ZIPF_ALPHA = 80; // f64 constants of Gray et al. 1994, computed by the host
export const PR_ZIPF_THETA = 104;
export const PR_INTERVAL_NS = 112; // f64: open loop with this interval between intended starts; 0: closed loop
export const PR_START_NS = 120; // f64: monotonic instant at which the first operation is due; 0: not known yet, the actor waits. Written last
export const PR_WARMUP_END_NS = 128; // f64: operations that start earlier are not recorded
export const PR_DEADLINE_NS = 136; // f64
export const PR_OP_LIMIT = 144; // u64: 0 = none
export const PR_DONE = 152; // u64: operations finished (also the program's progress)
export const PR_PARTITION = 160; // u32: home worker of this partition
export const PR_BATCH = 164; // u32: accesses per guest entry of a vCPU actor
export const PR_HOT_FRACTION = 176; // u32 of 2^32: share of the key space that is hot
export const PR_HOT_SHARE = 180; // u32 of 2^32: share of the draws that go there
export const PR_VERDICT = 192; // i32: why the program ended, END_*
export const PR_TASK = 196; // u32: the task that runs or ran it (its address), 0: none yet

// A target: one area of one guest that the actor works on; each step draws one.
export const TARGET_SIZE = 128;
export const TG_VM = 0; // struct kvm
export const TG_VCPU = 4; // the vCPU that touches it, 0: none. A vCPU is run by one actor only
export const TG_FILE = 8; // restrictedmem file behind the area, 0: shared memory only
export const TG_SLOT_ID = 12; // u32: memslot of the area
export const TG_START_GFN = 16; // u64: the area's gfns are [start, start + pages)
export const TG_PAGE_COUNT = 24; // u64, below 2^32
export const TG_FIRST_OFFSET = 32; // u64: file page offset of the first gfn
export const TG_HVA = 40; // u64: host virtual address of the first gfn
export const TG_SEQUENCE = 48; // u64: next key of DIST_SEQUENTIAL
export const TG_VCPU_INDEX = 56; // u32: the vCPU owns gfns with gfn % TG_VCPU_COUNT == index (guest-data oracle)
export const TG_VCPU_COUNT = 60; // u32
export const TG_SPLIT = 64; // u64: pages of the first piece while the rebinder has the slot in two pieces; 0: whole
export const TG_SPARE_ID = 72; // u32: slot id of the second piece
export const TG_SLOT_FLAGS = 76; // u32: its KVM_MEM_* flags
export const TG_ZIPF_ZETAN = 80; // f64 constants of Gray et al. 1994 for this page count, computed by the host
export const TG_ZIPF_ETA = 88;
export const TG_MOVE_GFN = 96; // u64: the other place of a shared slot, where the rebinder moves it and back
export const TG_MOVED = 104; // u32: 1 while it is there

export const ACTOR_VCPU = 1; // touches guest memory
export const ACTOR_INVALIDATOR = 2; // punches holes
export const ACTOR_CONVERTER = 3; // private <-> shared
export const ACTOR_REBINDER = 4; // private slots: deletes and re-creates them (unbind, bind); shared slots: moves them
export const ACTOR_MEMORY_FAILURE = 5; // reports memory errors on mapped pages
export const ACTOR_POPULATOR = 6; // allocates ranges (fallocate)
export const ACTOR_DISCARDER = 7; // MADV_DONTNEED of shared memory: the mmu_notifier path
export const ACTOR_HOME_WORKER = 8; // serves fan-out jobs of its partition

export const DIST_UNIFORM = 0;
export const DIST_ZIPF = 1; // hot keys in front
export const DIST_ZIPF_SHUFFLED = 2; // hot keys spread over the space
export const DIST_SEQUENTIAL = 3;
export const DIST_HOTSPOT = 4;

export const END_STOPPED = 0;
export const END_DEADLINE = 1;
export const END_LIMIT = 2;

// Operations, as reports name them.
export const OP_TOUCH = 0;
export const OP_PUNCH_HOLE = 1;
export const OP_ALLOCATE = 2;
export const OP_TO_PRIVATE = 3;
export const OP_TO_SHARED = 4;
export const OP_SLOT_DELETE = 5;
export const OP_SLOT_CREATE = 6;
export const OP_SLOT_MOVE = 7;
export const OP_MEMORY_FAILURE = 8;
export const OP_DISCARD = 9;
export const OP_FAULT = 10; // a touch that had to leave the guest
export const OP_COUNT = 16;

// Operation statistics of one actor and operation. Only the actor writes; the host reads at any time and adds up.
export const OPSTAT_SIZE = 3072;
export const OS_COUNT = 0; // u64
export const OS_SAMPLED = 8; // u64 latencies recorded
export const OS_MIN_NS = 16; // f64
export const OS_MAX_NS = 24; // f64
export const OS_PAGES = 32; // u64 pages the operations covered
export const OS_ERRORS = 64; // OS_ERROR_SLOTS x {errno u32, count u32}
export const OS_ERROR_SLOTS = 16;
export const OS_HISTOGRAM = 192; // HIST_BUCKETS x u32

// Log-linear histogram of nanoseconds: 16 linear buckets per power of two; relative error at most 1/16.
export const HIST_SUB_BITS = 4;
export const HIST_BUCKETS = 640; // up to 2^43 ns
