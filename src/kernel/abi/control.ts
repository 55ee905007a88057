// What the controlled build's kernel and its scheduler share: a block below the shard header, outside the state of the model. Addresses and offsets
// are bytes. The scheduler (src/explore) places the maps, the stacks and the copy of the state behind the shard and writes their addresses here.
export const CONTROL = 32768;
/** Map of the points: a byte for each word of memory, MAP_*; 0: accesses to it are announced to nobody. */
export const CONTROL_MAP = 32768;
/** Map of what was written since the state was saved: a byte for each block of BLOCK_SIZE bytes, by address >> BLOCK_SHIFT. */
export const CONTROL_DIRTY = 32772;
/** 1 while a suspended thread is on the way back to where it stopped. */
export const CONTROL_RESUMING = 32776;
/** 1 while the running thread is on its way out to the scheduler. */
export const CONTROL_SUSPENDING = 32780;
/** The thread to run next, -1: none, the execution has ended. The scheduler writes it before it lets a thread suspend or end. */
export const CONTROL_NEXT = 32784;
/** Where the running thread's stack is put when it suspends. */
export const CONTROL_REGION = 32788;
/** The model's state: [start, end), end a multiple of BLOCK_SIZE. */
export const CONTROL_STATE_START = 32792;
export const CONTROL_STATE_END = 32796;
/** Copy of the state as the set-up left it; byte 0 of it is byte 0 of the state. */
export const CONTROL_SAVED = 32800;
/** Threads of the scenario, and the copy of their blocks and stacks. */
export const CONTROL_THREAD_COUNT = 32804;
export const CONTROL_SAVED_THREADS = 32808;
/** What the futex wait returns that has just come back: 0 woken, 2 timed out. */
export const CONTROL_RESULT = 32812;
/** The blocks that were written since, in the order of their first write: how many, and the address of the list of their numbers (u32). */
export const CONTROL_DIRTY_COUNT = 32816;
export const CONTROL_DIRTY_LIST = 32820;
/** Of a search over states: how much further up the words lie as it knows them; what each block of memory holds, a byte SORT_* for each. */
export const CONTROL_KNOWN = 32824;
export const CONTROL_SORTS = 32828;
/** Its journal, entries of {address, word before}: start, end of what is in use, end of the room. It lies behind all else. */
export const CONTROL_JOURNAL = 32832;
export const CONTROL_JOURNAL_END = 32836;
export const CONTROL_JOURNAL_LIMIT = 32840;
/** The hash of the words it knows, less that of the state it started from. */
export const CONTROL_HASH_LOW = 32848;
export const CONTROL_HASH_HIGH = 32852;
/** The map of the scenario's words, MAP_*, whichever map is in force. */
export const CONTROL_WORDS_MAP = 32856;
/** How locks are explored, LOCKS_*. */
export const CONTROL_LOCKS = 32860;

/** A block for each virtual thread. */
export const THREADS = 33024;
export const THREAD_SIZE = 64;
export const MAX_VIRTUAL_THREADS = 128;
export const THREAD_TASK = 0; // address of its task
export const THREAD_ENTRY = 4; // table index of its function, () => void
export const THREAD_REGION = 8; // address of its Asyncify region: {top u32, end u32, stack ...}
export const THREAD_STARTED = 12; // 1: suspended somewhere, 0: at its entry
export const THREAD_STATUS = 16; // STATUS_*
// What it is about to do: the arguments of the point it stands at.
export const THREAD_KIND = 20;
export const THREAD_ADDRESS = 24;
export const THREAD_BYTES = 28;
export const THREAD_LOW = 32;
export const THREAD_HIGH = 36; // high word of the value; of a 32-bit compare-and-exchange the value expected
export const THREAD_RESULT = 40; // what its futex wait will return
export const THREAD_WOKEN_BY = 44; // thread whose wake-up lets it go on, -1: none (a timeout, a spurious wake-up)

export const LOCKS_CONCRETE = 0; // every step of theirs
export const LOCKS_ABSTRACT = 1; // taking a free lock is one step, and who finds it taken stands still until its word is written to

export const STATUS_READY = 0;
export const STATUS_BLOCKED = 1; // in a futex wait without an end
export const STATUS_BLOCKED_TIMED = 2; // in a futex wait that may time out
export const STATUS_SPINNING = 3; // has made a turn of a spin loop, and nobody has written since
export const STATUS_FINISHED = 4;

export const REGION_SIZE_BYTES = 8192;
export const BLOCK_SIZE = 256;
export const BLOCK_SHIFT = 8;

export const MAP_PLAIN = 1; // plain accesses to the word are points
export const MAP_ATOMIC = 2; // atomic accesses are
export const MAP_LOOSE = 4; // a statistic: two states that differ in it alone are one for a search

// What a block of memory holds.
export const SORT_SHARED = 0;
export const SORT_TASK = 1; // the head of a task
export const SORT_STACK = 2; // part of a task's stack
