// Oracles and the codes of their violations. One code names one message; src/host/oops.ts holds the texts.
export const ORACLE_HOST_PAGE = 1; // a page returned to the host is not assigned
export const ORACLE_STALE_MAPPING = 2; // no SPTE, no TLB entry to a page outside its binding or invalidated
export const ORACLE_BALANCE = 3; // begin and end balance
export const ORACLE_CALLBACK = 4; // no callback on an unbound, freed or moved slot
export const ORACLE_ONE_OWNER = 5; // one physical page: at most one (ASID, GPA)
export const ORACLE_GUEST_DATA = 6; // a guest reads what it last wrote, and only its own data
export const ORACLE_LOCKING = 7; // deadlock, lock order, sleep under a spinning lock, GP in own reader
export const ORACLE_CONSERVATION = 8; // allocated + free + leaked = all
export const ORACLE_PROGRESS = 9; // no actor retries for ever
export const ORACLE_KERNEL_BUG = 10; // KVM_BUG_ON and internal consistency

// Codes: oracle * 100 + n. Add yours with its meaning and argument list; the host's text table must cover all.
export const OOPS_FREE_ASSIGNED = 101; // (pfn, rmpLo as f64 low 32, high 32): freed while assigned
export const OOPS_HOST_WRITE_RMP = 102; // (pfn, errorCode): host write met an RMP violation
export const OOPS_BALANCE_NEGATIVE = 301; // (kvm id, in_progress)
export const OOPS_END_WITHOUT_RANGE = 302; // (kvm id)
export const OOPS_UNLOCK_NOT_OWNER = 701; // (lock, class, owner task)
export const OOPS_LOCK_ORDER = 702; // (class held, class taken, lock, class from which the held one was reached before)
export const OOPS_SLEEP_IN_ATOMIC = 703; // (class held, site)
export const OOPS_RECURSIVE_LOCK = 704; // (lock, class)
export const OOPS_GP_IN_READER = 705; // (srcu)
export const OOPS_HELD_AT_EXIT = 706; // (lock, class): a task returned to user space with a lock held
export const OOPS_HELD_OVERFLOW = 707; // (lock, class): more than HELD_MAX locks held
export const OOPS_SRCU_ACTIVE_CLEANUP = 708; // (srcu): destroyed with readers inside
export const OOPS_HEAP_CORRUPT = 1001; // (address, class)
export const OOPS_STACK_OVERFLOW = 1002; // (task)
export const OOPS_USE_AFTER_FREE = 1003; // (address, expected magic)
export const OOPS_DOUBLE_FREE = 1004; // (address or pfn)
export const OOPS_REFCOUNT = 1005; // (pfn, refcount)
export const OOPS_GUEST_FOREIGN_DATA = 601; // (vm, gfn, token read)
export const OOPS_GUEST_LOST_WRITE = 602; // (vm, gfn, token read, token written)
export const OOPS_DOUBLE_ASSIGN = 501; // (pfn, ASID and gfn that want it, ASID and gfn that have it)
export const OOPS_RMP_HEAD_CHANGED = 1006; // (entry, high and low word found): a 2M head changed under its lock
export const OOPS_RANGE_WITHOUT_BEGIN = 303; // (kvm id, first gfn, end gfn): range added outside a section
export const OOPS_INVALIDATE_LEFT_OPEN = 304; // (kvm id, in_progress): sections open after the last slot was unbound
export const OOPS_CALLBACK_UNBALANCED = 305; // (kvm id, slot id, begins, ends): of a slot that has just been unbound
export const OOPS_CALLBACK_FREED_SLOT = 401; // (slot or VM address, magic found)
export const OOPS_CALLBACK_UNBOUND_SLOT = 402; // (kvm id, slot id)
export const OOPS_CALLBACK_INVALID_SLOT = 403; // (kvm id, slot id): a slot being deleted or moved
export const OOPS_HOOK_WITHOUT_ASID = 404; // (kvm id, slot id, first gfn, end gfn): pages given back after the VM's ASID was
export const OOPS_GENERATION_BUSY = 1007; // (kvm id, address space): the published set was being updated already
export const OOPS_ATTRIBUTE_STORE = 1008; // (kvm id, gfn): a reserved attribute store failed
