// Actor programs: operations as data. The host fills a program struct, a thread interprets it in the kernel (program/*.ts) until the stop
// flag, the deadline or the operation limit, and leaves counts, errors and latencies in its operation statistics.
export const PROGRAM_SIZE = 512;
export const PR_KIND = 0; // ACTOR_*
export const PR_TARGETS = 4; // address of PR_TARGET_COUNT targets
export const PR_TARGET_COUNT = 8;
export const PR_STATS = 16; // address of OP_COUNT x OPSTAT_SIZE
export const PR_RNG = 24; // 2 x u64: the actor's own random stream, seeded by the host; injected delays draw from the task's
export const PR_PACING_RNG = 40; // 2 x u64: its stream for intervals, so that what falls due does not depend on what was done
export const PR_RANGE_MIN = 56; // u32 pages of one range operation, at least
export const PR_RANGE_MAX = 60; // u32, at most
export const PR_ALIGN = 64; // u32 pages: range starts are multiples of it
export const PR_DISTRIBUTION = 68; // DIST_*
export const PR_WRITE_FRACTION = 72; // u32: of 2^32
export const PR_SIZES = 76; // SIZES_*: how range lengths are drawn
export const PR_ZIPF_ALPHA = 80; // f64 constants of Gray et al. 1994, computed by the host
export const PR_SIZE_RATIO = 88; // f64: PR_RANGE_MAX / PR_RANGE_MIN
export const PR_INSERT_FRACTION = 96; // u32 of 2^32: share of the draws of DIST_LATEST that take a new key
export const PR_STRADDLE = 100; // u32 pages: ranges lie across a multiple of it; 0: they need not
export const PR_ZIPF_THETA = 104;
export const PR_INTERVAL_NS = 112; // f64: open loop with this mean interval between intended starts, after the last stage if there are any; 0: none
export const PR_START_NS = 120; // f64: monotonic instant at which the first operation is due; 0: not known yet, the actor waits. Written last
export const PR_WARMUP_END_NS = 128; // f64: operations that start earlier are not recorded
export const PR_DEADLINE_NS = 136; // f64
export const PR_OP_LIMIT = 144; // u64: recorded operations at most; 0 = none
export const PR_DONE = 152; // u64: operations finished (also the program's progress)
export const PR_PARTITION = 160; // u32: home worker of this partition
export const PR_BATCH = 164; // u32: accesses per guest entry of a vCPU actor
export const PR_HOT_FRACTION = 176; // u32 of 2^32: share of the key space that is hot
export const PR_HOT_SHARE = 180; // u32 of 2^32: share of the draws that go there
export const PR_VERDICT = 192; // i32: why the program ended, END_*
export const PR_TASK = 196; // u32: the task that runs or ran it (its address), 0: none yet

// Pacing of the steps (program/pacing.ts).
export const PR_OPEN = 200; // u32: 1 = open loop: steps are due by the clock, not when the one before has ended
export const PR_ARRIVAL = 204; // u32 ARRIVAL_*
export const PR_STAGES = 208; // address of PR_STAGE_COUNT stages
export const PR_STAGE_COUNT = 212; // u32
export const PR_THINK_NS = 216; // f64: closed loop with this mean pause after each step
export const PR_STUTTER_RUN_NS = 224; // f64: all actors run for so long, then pause; 0: no pauses
export const PR_STUTTER_PAUSE_NS = 232; // f64
export const PR_BEGAN_NS = 240; // f64: when the present step of an open loop really began; 0: closed loop
export const PR_RECORDED = 248; // u64: operations after the warm-up
export const PR_STEPS = 256; // u64: steps after the warm-up
export const PR_MISSED = 264; // u64: steps due after the warm-up that the thread had no time to make
export const PR_LATE_NS = 272; // f64: the latest start of a step after it was due
export const PR_BURST = 280; // u32: steps that are due at the same instant
export const PR_VALIDATE_FRACTION = 284; // u32 of 2^32: share of a vCPU's touches that are PVALIDATEs instead
export const PR_MIX = 288; // 8 x u32 of 2^31 for ACTOR_MIX: entry `kind` is the bound below which a draw means that kind

// A thread that runs several programs in turn (program/turns.ts).
export const PR_NEXT = 320; // address of the next program of the same thread, 0: none
export const PR_OVER = 324; // u32: 1 when it has ended
export const PR_DUE_NS = 328; // f64: instant at which its next step is due
export const PR_LOAD_NS = 336; // f64: load time of that arrival, open loops only
export const PR_BURST_LEFT = 344; // u32: steps of that arrival that are left

// Perturbation (perturb.ts) and the stormer (program/storm.ts).
export const PR_VICTIM = 348; // u32: 1 = the thread that runs it is paused now and then
export const PR_AGAIN = 352; // u32: 1 = its thread has left, and another goes on, in an open loop with the arrival at PR_LOAD_NS
export const PR_AWAY_NS = 360; // f64: for how long its thread will be away
export const PR_HOLD_NS = 368; // f64: the longest time that a stormer holds an RMP entry
export const PR_PRIVATE_FRACTION = 376; // u32 of 2^32: share of a host writer's writes that go astray, to private memory

// A budget of operations that all threads of a shard share (program/budget.ts).
export const PR_BUDGET = 380; // address of a u64: operations that are left, and in the upper 11 bits how many threads are at a step of it; 0: no budget
export const PR_STEP_MOST = 384; // u32: operations of one step at most
export const PR_GRANTED = 388; // u32: operations that the present step may record
export const PR_RECORDING = 392; // u32: 1 = the present step is recorded, 0 = it was due in the warm-up

export const ARRIVAL_CONSTANT = 0; // equal intervals, equal think times
export const ARRIVAL_POISSON = 1; // exponential ones

// A stage of an open loop: the rate goes from ST_RATE, in a straight line, until ST_END_NS of load time.
export const STAGE_SIZE = 24;
export const ST_END_NS = 0; // f64: since the start, pauses not counted
export const ST_RATE = 8; // f64: steps per nanosecond at its beginning
export const ST_SLOPE = 16; // f64: change of the rate per nanosecond

export const SIZES_UNIFORM = 0;
export const SIZES_LOG_UNIFORM = 1; // each power of two alike

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
export const TG_SEQUENCE = 48; // u64: next key of DIST_SEQUENTIAL, newest key of DIST_LATEST
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
export const ACTOR_MIX = 9; // draws what to do at each step, PR_MIX
export const ACTOR_RMP_STORMER = 10; // keeps RMP entries locked, as an instruction of another CPU does
export const ACTOR_LIFECYCLE = 11; // creates guests, boots and destroys them
export const ACTOR_HOST_WRITER = 12; // the VMM writes to its own memory, or astray
export const ACTOR_DEVICE = 13; // an assigned device: pages pinned for DMA
export const ACTOR_RECLAIMER = 14; // the host swaps the VMM's memory out
export const ACTOR_REAPER = 15; // takes the VMM's memory without sleeping
export const ACTOR_INTERRUPTER = 16; // interrupts from other CPUs
export const ACTOR_PAGE_STATE = 17; // page state changes by VMGEXIT
export const ACTOR_CACHE_WRITER = 18; // the kernel writes through a gfn_to_pfn cache
export const ACTOR_MMIO_DEVICE = 19; // devices come to the MMIO bus and go
export const ACTOR_REGION = 20; // encrypted regions come and go

export const DIST_UNIFORM = 0;
export const DIST_ZIPF = 1; // hot keys in front
export const DIST_ZIPF_SHUFFLED = 2; // hot keys anywhere
export const DIST_SEQUENTIAL = 3;
export const DIST_HOTSPOT = 4;
export const DIST_LATEST = 5; // zipf over the age of keys, newest first; YCSB's

export const END_STOPPED = 0;
export const END_DEADLINE = 1;
export const END_LIMIT = 2;
export const END_LEFT = 3; // the thread leaves, another is to go on

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
export const OP_SLOT_FLAGS = 11; // a memslot's flags change, nothing else: dirty logging on or off
export const OP_PVALIDATE = 12;
export const OP_RMP_LOCK = 13; // an RMP entry is kept locked for a while
export const OP_VM_CREATE = 14; // a guest with its file, memslot and vCPUs
export const OP_LAUNCH_UPDATE = 15; // one page of guest_memfd measured and given to the guest
export const OP_LAUNCH_FINISH = 16;
export const OP_VM_DESTROY = 17;
export const OP_HOST_WRITE = 18; // the VMM writes to its own memory
export const OP_HOST_WRITE_PRIVATE = 19; // the host writes to a page of a private file; -EFAULT: #PF with the RMP bit
export const OP_FILE_FAULT = 20; // the VMM touches a guest_memfd through its own mapping
export const OP_DMA_MAP = 21; // pages are pinned for a device
export const OP_DMA_WRITE = 22;
export const OP_DMA_UNMAP = 23;
export const OP_RECLAIM = 24; // pages go to swap
export const OP_REAP = 25; // as OP_DISCARD, by a caller that may not sleep
export const OP_INTERRUPT = 26;
export const OP_PAGE_STATE = 27; // one VMGEXIT with a list of pages
export const OP_CACHED_WRITE = 28;
export const OP_DEVICE_REGISTER = 29;
export const OP_DEVICE_UNREGISTER = 30;
export const OP_MMIO_WRITE = 31;
export const OP_REGION_REGISTER = 32;
export const OP_REGION_UNREGISTER = 33;
export const OP_OWN_SLOT = 34; // KVM's own memslot
export const OP_SHADOW_ROOT = 35; // reverse maps for all memslots
export const OP_COUNT = 36;

// Operation statistics of one actor and operation. Only the actor writes; the host reads at any time and adds up.
export const OPSTAT_SIZE = 10432;
export const OS_COUNT = 0; // u64
export const OS_SAMPLED = 8; // u64 latencies recorded
export const OS_MIN_NS = 16; // f64
export const OS_MAX_NS = 24; // f64
export const OS_PAGES = 32; // u64 pages the operations covered
export const OS_SERVICE_MAX_NS = 40; // f64: latency of open loops counted from the real start
export const OS_SERVICED = 48; // u64 such latencies
export const OS_ERRORS = 64; // OS_ERROR_SLOTS x {errno u32, count u32}
export const OS_ERROR_SLOTS = 16;
export const OS_HISTOGRAM = 192; // HIST_BUCKETS x u64: from the instant at which the operation was due
export const OS_SERVICE_HISTOGRAM = 5312; // HIST_BUCKETS x u64: from the real start, open loops only

// Log-linear histogram of nanoseconds: 16 linear buckets per power of two; relative error at most 1/16.
export const HIST_SUB_BITS = 4;
export const HIST_BUCKETS = 640; // up to 2^43 ns
