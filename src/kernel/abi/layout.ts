// Shard header, task and table layout: plain constants, read by the kernel (AssemblyScript) and by the host
// (TypeScript) from this one file. Offsets are bytes; addresses are byte addresses in the shard's linear memory.

// --- the shard header: the kernel's global variables, at a fixed address ---
export const SHARD = 65536;
export const SHARD_MAGIC = 0x726d7074; // "rmpt"
export const SH_MAGIC = 65536;
export const SH_STOP = 65540; // 0 run, STOP_REQUESTED, STOP_OOPS
export const SH_OOPS_COUNT = 65544; // violations recorded (may exceed OOPS_MAX)
export const SH_PROTOCOL = 65548; // PROTOCOL_*
export const SH_HOOK = 65552; // HOOK_*
export const SH_ORACLES = 65556; // 1: inline oracles on (builds that have them)
export const SH_PERTURB_MEAN = 65560; // mean number of points between two perturbations; 0: none
export const SH_PERTURB_NS = 65564; // upper bound of one injected delay, nanoseconds
export const SH_VARIANTS = 65568; // u64 x 2: bit n = variant n is on
export const SH_SEED = 65584; // u64
export const SH_MAX_TASKS = 65592;
export const SH_TASKS = 65596; // address of the task table
export const SH_PFN_COUNT = 65600; // PFNs in the shard, exclusive top
export const SH_RMP = 65604; // address of the RMP entry of PFN 0
export const SH_PAGES = 65608; // address of struct page of PFN 0
export const SH_REGIONS = 65612; // address of the allocator's 2M region table
export const SH_PARTITION_COUNT = 65616;
export const SH_PARTITIONS = 65620; // address of the partition table
export const SH_HEAP_NEXT = 65624; // first never used heap byte (bump, atomic)
export const SH_HEAP_END = 65628; // exclusive
export const SH_MEMORY_END_PAGES = 65632; // size of the linear memory in 64 KiB pages
export const SH_VM_LIST = 65636; // first struct kvm, linked by KVM_NEXT; protected by SH_KVM_LOCK
export const SH_FILE_LIST = 65640; // first restrictedmem file
export const SH_NAMES = 65644; // address of the name table
export const SH_NAMES_COUNT = 65648;
export const SH_NAMES_MAX = 65652;
export const SH_LOCKSTAT = 65656; // address of lock statistics, 0 when not built
export const SH_LOCKDEP = 65660; // address of lockdep's chains and lock-order graph, 0 when not built
export const SH_BOOTED = 65664;
export const SH_PFN_BASE = 65668; // PFN of this shard's PFN 0 in the whole host (several shards)
export const SH_TEST = 65672; // 56 bytes free for tests
export const SH_DEBUG_FLAGS = 65792; // 256 bytes: one flag per pr_debug site
export const SH_LOCKS = 66048; // kernel-global locks: 32 of 64 bytes
export const SH_OOPS = 68096; // OOPS_MAX records of OOPS_SIZE bytes
export const SH_END = 81920;

export const STOP_REQUESTED = 1;
export const STOP_OOPS = 2;

export const PROTOCOL_RFC_V7 = 7;
export const PROTOCOL_RFC_V8 = 8;
export const PROTOCOL_GUEST_MEMFD = 9;

export const HOOK_NONE = 0; // static_call_cond: absent, the call is skipped
export const HOOK_SNP = 1;
export const HOOK_USER = 2; // a function of the host's: import env.userHook

// Globals of a subsystem: 512 bytes each; every file documents its own words.
export const SUBSYS_SYNC = 72192;
export const SUBSYS_HEAP = 72704;
export const HEAP_FIRST = 72772; // u32 in SUBSYS_HEAP: first byte of the heap; fixed
export const FREED_WORD = 0x6b6b6b6b; // what freed memory holds, word by word, in builds with oracles
export const SUBSYS_PAGE = 73216;
export const SUBSYS_FILE = 73728;
export const SUBSYS_KVM = 74240;
export const SUBSYS_SNP = 75264; // abi/snp.ts
export const SUBSYS_PROGRAM = 76288;
export const SUBSYS_SHM = 76800; // u32: locks named for users of ./shm
export const SUBSYS_PERTURB = 77312; // abi/perturb.ts
export const SUBSYS_COSTS = 77824; // abi/costs.ts
export const SUBSYS_FANOUT = 78336;

// --- kernel-global locks, each in its own 64-byte line of SH_LOCKS ---
export const LOCK_HEAP = 66048;
export const LOCK_VMALLOC = 66112;
export const LOCK_KVM = 66176; // kvm_lock: protects SH_VM_LIST
export const LOCK_FILE_LIST = 66240; // protects SH_FILE_LIST (mutex)
export const LOCK_RCU_GP = 66304; // one RCU grace period at a time (mutex)
export const LOCK_SNP_LEAKED = 66368; // snp_leaked_pages_list_lock
export const LOCK_ASID = 66432; // sev_bitmap_lock (mutex)
export const LOCK_NAMES = 66496;
export const LOCK_SPARE = 66560; // to SH_OOPS

// --- oops records ---
export const OOPS_MAX = 32;
export const OOPS_SIZE = 64;
export const OOPS_ORACLE = 0; // u32 ORACLE_*
export const OOPS_TASK = 4; // u32 task id
export const OOPS_CODE = 8; // u32 OOPS code (abi/oops.ts)
export const OOPS_DONE = 12; // u32 1: the record is complete
export const OOPS_ARGS = 16; // 5 x f64
export const OOPS_TIME_NS = 56; // f64

// --- tasks ---
export const TASK_SIZE = 8192;
export const TASK_ID = 0;
export const TASK_STATE = 4; // TASK_*
export const TASK_CPU = 8; // index into per-CPU counters; equals the id
export const TASK_RCU_PENDING = 12; // u32: closed blocks of deferred frees, see sync/rcu.ts
export const TASK_RCU_KERNEL = 16; // u32: stays in the kernel that have begun, see sync/rcu.ts
export const TASK_RCU_NESTING = 20;
export const TASK_RCU_CTR = 24; // published reader state, see sync/rcu.ts
export const TASK_HELD_COUNT = 28;
export const TASK_RNG = 32; // 2 x u64, xoroshiro128+
export const TASK_WAIT_LOCK = 48; // address this task waits on, 0: none
export const TASK_WAIT_KIND = 52; // WAIT_*
export const TASK_WAIT_SINCE_NS = 56; // f64
export const TASK_OPS = 64; // u32 a program of the explorer: the thread has got on; the scheduler clears it
export const TASK_STACK_TOP = 72; // u32: next free byte of the task's private stack
export const TASK_RING_NEXT = 76; // u32: operations begun so far, the last RING_MAX of them are in the ring
export const TASK_PROGRAM = 80; // address of the program it runs
export const TASK_HEARTBEAT = 88; // u32, raised at every operation boundary and every slow-path wait round
export const TASK_KILLED = 92; // 1: the host found the thread dead
export const TASK_RCU_CALLBACKS = 96; // u32: open block of deferred frees, see sync/rcu.ts
export const TASK_RCU_CLOSED = 100; // u32: 1 when this task has closed a block since its last rcuReclaim
export const TASK_PAUSE_NS = 104; // f64: when this task is paused next; 0: never (perturb.ts)
export const TASK_BARRIER = 144; // u32: target of full barriers and of spin pauses
export const TASK_FANOUT = 148; // u32: 1 while this task wants its large invalidations spread over the home workers
export const TASK_LOCKSTAT = 152; // u32: address of this task's entries of the lock statistics, 0: not looked up yet
export const TASK_SAMPLE_LOCK = 156; // u32: lock whose hold time is being sampled, 0: none
export const TASK_SAMPLE_SINCE_NS = 160; // f64
export const TASK_PCP = 168; // u32: address of this task's page cache, 0: not yet looked up
export const TASK_FPUT = 172; // u32: first file whose release waits until this task holds nothing (task_work), chained by FILE_NEXT
export const TASK_TRACE = 176; // u32: its event ring (abi/trace.ts), 0: not traced; written by the host
export const TASK_HELD_BOTTOM = 184; // 8 bytes, always 0: what lies below the outermost held lock
export const TASK_HELD = 192; // HELD_MAX x 8: {lock address u32, class | mode << 16 | chain << 20}
export const HELD_MAX = 24;
export const TASK_MAGAZINES = 384; // HEAP_CLASSES x 16: {head u32, count u32, live i32 (allocated - freed by this task), pad}
export const TASK_STACK = 1024; // private stack, 3072 bytes
export const TASK_STACK_END = 4096;
export const TASK_RING = 4096; // RING_MAX x 32: recent operations
export const RING_MAX = 128;
export const RING_ENTRY_SIZE = 32;
export const RING_OP = 0; // u32 OP_* (abi/program.ts)
export const RING_RET = 4; // i32, RING_PENDING while the operation is under way
export const RING_TARGET = 8; // u32: address of the target (abi/program.ts) that it works on
export const RING_FLAGS = 12; // u32: ACCESS_* of a touch; of a slot operation 1: the second piece, or the move to the other place
export const RING_FIRST = 16; // u32: first page, counted from the target's start
export const RING_PAGES = 20; // u32
export const RING_START_NS = 24; // f64; touches of one batch have that of the first
export const RING_PENDING = 0x7fffffff;

export const TASK_FREE = 0;
export const TASK_RUNNING = 1;
export const TASK_EXITED = 2;

export const WAIT_NONE = 0;
export const WAIT_SPIN = 1;
export const WAIT_MUTEX = 2;
export const WAIT_RWSEM_READ = 3;
export const WAIT_RWSEM_WRITE = 4;
export const WAIT_READ_LOCK = 5;
export const WAIT_WRITE_LOCK = 6;
export const WAIT_SRCU = 7;
export const WAIT_RCU = 8;
export const WAIT_RCUWAIT = 9;
export const WAIT_IPI = 10;
export const WAIT_BARRIER = 11;
export const WAIT_JOB = 12;
export const WAIT_RING = 13; // event ring of ./shm, for data or space

export const HEAP_CLASSES = 16;

export const NO_PFN = 0xffffffff;
export const PAGE_SHIFT = 12;
export const PTRS_PER_2M = 512;
