// Event rings: what a task did lately, in shared memory, written by the task alone and read by the host when it stands still (or with care while it runs).
export const TRACE_HEADER = 64;
export const TRACE_TOTAL = 0; // u64 events recorded since the ring was set up; the last TRACE_MASK + 1 of them are there
export const TRACE_MASK = 8; // u32 capacity - 1, a power of two minus one

export const EVENT_SIZE = 48;
export const EVENT_START_NS = 0; // f64
export const EVENT_END_NS = 8; // f64; of an instant the same
export const EVENT_KIND = 16; // u32 EV_*
export const EVENT_A = 20; // u32
export const EVENT_B = 24; // u64
export const EVENT_C = 32; // u64
export const EVENT_RET = 40; // i32

export const EV_FAULT = 1; // a vm << 8 | vCPU, b gfn, c #NPF error code, ret RET_PF_* or errno
export const EV_INVALIDATE_BEGIN = 2; // a vm: instant
export const EV_INVALIDATE_RANGE = 3; // a vm, gfns [b, c): instant
export const EV_INVALIDATE_END = 4; // a vm: instant
export const EV_UNMAP = 5; // a vm, gfns [b, c), ret 1: a flush is due
export const EV_HOOK = 6; // a vm << 8 | memslot, gfns [b, c)
export const EV_NOTIFIER_START = 7; // a vm, host virtual addresses [b, c)
export const EV_NOTIFIER_END = 8; // the same
export const EV_FLUSH = 9; // a vm
export const EV_RMPUPDATE = 10; // a pfn, b new low word of the entry, ret errno
export const EV_PSMASH = 11; // a pfn, ret code of the instruction
export const EV_GRACE_PERIOD = 12; // b address of the srcu_struct, 0: RCU's
export const EV_WAIT = 13; // a WAIT_*, b address of what is waited for
export const EV_HOLD = 14; // a lock class, b lock: one acquisition of 64 of each class
export const EV_OPERATION = 32; // + OP_*: an actor's operation, b pages, ret errno
