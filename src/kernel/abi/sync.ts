// What the host reads of locks: the common header, owner flags, the modes on a task's held-lock stack, the sites of mightSleep.
// Every lock starts with {word u32, owner u32, class u32, lock-specific u32}.
export const LOCK_WORD = 0;
export const LOCK_OWNER = 4; // task id + 1 | flags; 0: none. A hint for people: written without atomics beside the lock word
export const LOCK_CLASS = 8; // LC_*
export const LOCK_EXTRA = 12;

export const OWNER_MASK = 0x00ffffff; // task id + 1
export const OWNER_READER = 0x40000000; // taken for read: the last reader to come in, one of several perhaps, perhaps gone
export const OWNER_NONSPINNABLE = 0x20000000; // rwsem: readers held it too long, writers queue without spinning

// Entries of TASK_HELD: {lock address, class | mode << 16 | chain << 20}; chains: sync/lockdep-chain.ts.
export const HELD_CLASS_MASK = 0xffff;
export const HELD_MODE_SHIFT = 16;
export const HELD_MODE_MASK = 15; // behind the shift
export const CHAIN_SHIFT = 20;
export const CHAIN_MAX = 512;
export const CHAIN_NONE = 511; // the sequence of held locks has no number
export const HELD_READ = 1; // shared with other readers
export const HELD_RECURSIVE = 2; // a reader that never waits for a writer (SRCU, RCU)
export const HELD_TRY = 4; // taken by trylock: it could not block, so nothing orders it after the locks held then
export const HELD_SPINNING = 8; // spinlock or rwlock: its holder must not sleep

// Second argument of OOPS_SLEEP_IN_ATOMIC: below LC_MAX the class of the sleeping lock that was taken, else one of these.
export const SITE_SYNCHRONIZE_SRCU = 256;
export const SITE_SYNCHRONIZE_RCU = 257;
export const SITE_RCUWAIT = 258;
export const SITE_BARRIER = 259;

// The lock-order graph, behind the chains at SH_LOCKDEP: LC_MAX rows of 32 bytes, one per class held; each row four u64 bit sets of the classes taken.
export const GRAPH_ROW_SIZE = 32;
export const GRAPH_SN = 0; // held shared, taken as writer or as a reader that queues
export const GRAPH_SR = 8; // held shared, taken as a recursive reader
export const GRAPH_EN = 16; // held exclusively, taken as writer or queueing reader
export const GRAPH_ER = 24; // held exclusively, taken as a recursive reader
