// What each violation means, in one sentence with its values: one entry for every code of abi/oops.ts.
import * as codes from '../kernel/abi/oops.js';
import { LC_MAX, LC_RCU } from '../kernel/abi/classes.js';
import * as sync from '../kernel/abi/sync.js';
import { lockClassName } from './lock-classes.js';

/** Says what lies at an address: `vm0.mmu_lock`. */
export type NameOf = (address: number) => string;
type Text = (values: readonly number[], nameOf: NameOf) => string;

const hex = (value: number | undefined): string => `0x${(value ?? 0).toString(16)}`;

/** Owner and state of an RMP entry's halves. */
const rmp = (lo: number | undefined, hi: number | undefined): string => `RMP entry ${hex(hi)}:${hex(lo)}`;
const place = (vm: number | undefined, gfn: number | undefined): string => `vm${vm} gfn ${hex(gfn)}`;
const slot = (vm: number | undefined, id: number | undefined): string => `vm${vm}.slot${id}`;

const SLEEPERS: Record<number, string> = {
  [sync.SITE_SYNCHRONIZE_SRCU]: 'synchronize_srcu()',
  [sync.SITE_SYNCHRONIZE_RCU]: 'synchronize_rcu()',
  [sync.SITE_RCUWAIT]: 'rcuwait',
  [sync.SITE_BARRIER]: 'a barrier',
};

function sleeper(site: number): string {
  if (site < LC_MAX) return `lock ${lockClassName(site)}`;
  return SLEEPERS[site] ?? `sleeping call ${site}`;
}

const PAGES: Record<number, Text> = {
  [codes.OOPS_FREE_ASSIGNED]: ([pfn, lo, hi]) =>
    `free of pfn ${hex(pfn)}, which is still assigned to a guest (${rmp(lo, hi)})`,
  [codes.OOPS_FREE_IN_USE]: ([pfn]) => `free of pfn ${hex(pfn)}, which a VMRUN uses`,
  [codes.OOPS_HOST_WRITE_RMP]: ([pfn, error]) =>
    `RMP violation: host write to pfn ${hex(pfn)}, #PF error code ${hex(error)}`,
  [codes.OOPS_AUDIT_ASSIGNED_FREE]: ([pfn, lo, hi]) =>
    `pfn ${hex(pfn)} is free but assigned to a guest (${rmp(lo, hi)})`,
  [codes.OOPS_DOUBLE_ASSIGN]: ([pfn, asid, gfn, owner, ownerGfn]) =>
    `pfn ${hex(pfn)} assigned twice: ASID ${asid} gfn ${hex(gfn)} wants it, ASID ${owner} gfn ${hex(ownerGfn)} has it`,
  [codes.OOPS_AUDIT_DEAD_ASID]: ([pfn, asid]) => `pfn ${hex(pfn)} is assigned to ASID ${asid}, which no guest has`,
  [codes.OOPS_AUDIT_COUNT_BITS]: ([head, counted, assigned]) =>
    `2M region at pfn ${hex(head)} counts ${counted} assigned pages, its RMP entries say ${assigned}`,
  [codes.OOPS_AUDIT_RMP_BUSY]: ([pfn]) => `the RMP entry of pfn ${hex(pfn)} is still locked by an instruction at rest`,
  [codes.OOPS_AUDIT_ZONE]: ([partition, pfn]) =>
    `partition ${partition}: free lists, bitmaps and counters disagree at pfn ${hex(pfn)}`,
  [codes.OOPS_AUDIT_LOST_PAGES]: ([pages]) => `${pages} pages are neither allocated nor free nor leaked`,
  [codes.OOPS_AUDIT_LEAK_LIST]: ([listed, counted]) =>
    `the leak list is corrupt: ${listed === -1 ? 'more pages than were counted, or a loop' : `${listed} pages`}, ${counted} counted`,
  [codes.OOPS_RMP_HEAD_CHANGED]: ([entry, hi, lo]) =>
    `the head of a 2M RMP entry changed under its lock: entry ${hex(entry)} is now ${hex(hi)}:${hex(lo)}`,
};

const MAPPINGS: Record<number, Text> = {
  [codes.OOPS_DEAD_ROOT]: ([vm, gfn]) =>
    `vm${vm}: a fault has mapped into a root that was torn down, at or above gfn ${hex(gfn)}`,
  [codes.OOPS_LEAF_OF_FREE_PAGE]: ([vm, pfn]) =>
    `vm${vm}: a page table still maps free pfn ${hex(pfn)} when it is torn down`,
  [codes.OOPS_STALE_TRANSLATION]: ([vm, gfn, pfn]) =>
    `${place(vm, gfn)}: the guest uses a translation to free pfn ${hex(pfn)}`,
  [codes.OOPS_STALE_OWNER]: ([vm, gfn, pfn, hi, lo]) =>
    `${place(vm, gfn)}: the guest uses a translation to pfn ${hex(pfn)}, which is private to another owner (${rmp(lo, hi)})`,
  [codes.OOPS_SPTE_PFN_CHANGED]: ([vm, from, to]) =>
    `vm${vm}: a present page-table entry to pfn ${hex(from)} would be replaced by one to pfn ${hex(to)}`,
  [codes.OOPS_AUDIT_SPTE_FREE]: ([vm, gfn, pfn]) => `${place(vm, gfn)}: a page-table entry maps free pfn ${hex(pfn)}`,
  [codes.OOPS_AUDIT_SPTE_NO_SLOT]: ([vm, gfn, pfn]) =>
    `${place(vm, gfn)}: a page-table entry to pfn ${hex(pfn)} lies outside every memslot`,
  [codes.OOPS_AUDIT_SPTE_ATTRIBUTE]: ([vm, gfn, pfn]) =>
    `${place(vm, gfn)}: pfn ${hex(pfn)} is mapped private where the attribute says shared, or the reverse`,
  [codes.OOPS_AUDIT_SPTE_NOT_IN_FILE]: ([vm, gfn, pfn, held]) =>
    `${place(vm, gfn)}: pfn ${hex(pfn)} is mapped, but the file holds pfn ${hex(held)} there`,
  [codes.OOPS_AUDIT_SPTE_NOT_SHARED]: ([vm, gfn, pfn, held]) =>
    `${place(vm, gfn)}: pfn ${hex(pfn)} is mapped, but the process has ${held === 0xffffffff ? 'no page' : `pfn ${hex(held)}`} there`,
  [codes.OOPS_AUDIT_TLB_STALE]: ([vm, vcpu, gfn, cached, mapped]) =>
    `vm${vm}.vcpu${vcpu}: the TLB still has pfn ${hex(cached)} for gfn ${hex(gfn)}, the page tables have pfn ${hex(mapped)}`,
  [codes.OOPS_AUDIT_SPTE_RMP]: ([vm, gfn, pfn, hi]) =>
    `${place(vm, gfn)}: pfn ${hex(pfn)} is mapped private, but the RMP gives it to somebody else (high word ${hex(hi)})`,
  [codes.OOPS_GUEST_FOREIGN_DATA]: ([vm, gfn, token]) =>
    `${place(vm, gfn)}: the guest read ${hex(token)}, which is not its own data`,
  [codes.OOPS_GUEST_LOST_WRITE]: ([vm, gfn, read, written]) =>
    `${place(vm, gfn)}: the guest read ${hex(read)} but last wrote ${hex(written)}`,
};

const INVALIDATION: Record<number, Text> = {
  [codes.OOPS_BALANCE_NEGATIVE]: ([vm, open]) =>
    `vm${vm}: an invalidation ended that had not begun (mmu_invalidate_in_progress ${open})`,
  [codes.OOPS_END_WITHOUT_RANGE]: ([vm]) => `vm${vm}: an invalidation ended without having named a range`,
  [codes.OOPS_RANGE_SHRANK]: ([vm, start, end, newStart, newEnd]) =>
    `vm${vm}: the range that faults must stay out of shrank from gfns [${start}, ${end}) to [${newStart}, ${newEnd}) while it was open`,
  [codes.OOPS_AUDIT_SEQUENCE]: ([vm, sequence, ends]) =>
    `vm${vm}: mmu_invalidate_seq is ${sequence} after ${ends} ends of invalidations`,
  [codes.OOPS_AUDIT_ASSIGNED_ELSEWHERE]: ([pfn, asid, gfn, held]) =>
    `pfn ${hex(pfn)} is assigned to gfn ${gfn} of ASID ${asid}, whose guest has ${held === 0xffffffff ? 'no page' : `pfn ${hex(held)}`} there`,
  [codes.OOPS_RANGE_WITHOUT_BEGIN]: ([vm, start, end]) =>
    `vm${vm}: range gfn ${hex(start)}-${hex(end)} added outside an invalidation`,
  [codes.OOPS_INVALIDATE_LEFT_OPEN]: ([vm, open]) =>
    `vm${vm}: ${open} invalidations still open after the last memslot was unbound`,
  [codes.OOPS_CALLBACK_UNBALANCED]: ([vm, id, begins, ends]) =>
    `${slot(vm, id)}: unbound after ${begins} invalidate_start and ${ends} invalidate_end callbacks`,
  [codes.OOPS_AUDIT_BALANCE]: ([vm, open]) => `vm${vm}: ${open} invalidations open at rest`,
  [codes.OOPS_AUDIT_MN_ACTIVE]: ([vm, open]) => `vm${vm}: ${open} mmu_notifier sections open at rest`,
  [codes.OOPS_AUDIT_CALLBACKS]: ([vm, id, begins, ends]) =>
    `${slot(vm, id)}: ${begins} invalidate_start but ${ends} invalidate_end callbacks at rest`,
  [codes.OOPS_CALLBACK_FREED_SLOT]: ([address, magic], nameOf) =>
    `callback on a freed memslot or VM at ${nameOf(address ?? 0)} (magic ${hex(magic)})`,
  [codes.OOPS_CALLBACK_UNBOUND_SLOT]: ([vm, id]) => `${slot(vm, id)}: callback on an unbound memslot`,
  [codes.OOPS_CALLBACK_INVALID_SLOT]: ([vm, id]) =>
    `${slot(vm, id)}: callback on a memslot that is being deleted or moved`,
  [codes.OOPS_HOOK_WITHOUT_ASID]: ([vm, id, start, end]) =>
    `${slot(vm, id)}: pages of gfn ${hex(start)}-${hex(end)} given back after the VM's ASID was`,
  [codes.OOPS_AUDIT_BINDING]: ([vm, id, offset, bound], nameOf) =>
    `${slot(vm, id)}: at file page ${hex(offset)} the binding is ${bound === 0 ? 'missing' : `that of ${nameOf(bound ?? 0)}`}`,
  [codes.OOPS_AUDIT_GENERATION]: ([vm, space]) => `vm${vm}: a memslot update of address space ${space} is open at rest`,
  [codes.OOPS_AUDIT_SLOT_FREED]: ([vm, address], nameOf) =>
    `vm${vm}: the freed memslot at ${nameOf(address ?? 0)} is still in the set`,
  [codes.OOPS_GENERATION_BUSY]: ([vm, space]) =>
    `vm${vm}: the memslots of address space ${space} were being updated already`,
  [codes.OOPS_ATTRIBUTE_STORE]: ([vm, gfn]) => `${place(vm, gfn)}: an attribute store failed that had been reserved`,
  [codes.OOPS_DEVICE_MISSED]: ([vm, gfn]) =>
    `${place(vm, gfn)}: an access to a device of the kernel went to user space, though the device was there before the access began`,
  [codes.OOPS_LIST_CORRUPT]: ([entry, neighbour], nameOf) =>
    `list corruption: ${nameOf(entry ?? 0)} and ${nameOf(neighbour ?? 0)} do not lead to each other`,
  [codes.OOPS_XA_INTERNAL]: ([entry, index]) => `xa_load(${index}) returned internal entry ${hex(entry)}`,
  [codes.OOPS_RETRY_FOREVER]: ([vm, gfn, seq, open, retries]) =>
    `${place(vm, gfn)}: the fault retried ${retries} times while nothing moved (mmu_invalidate_seq ${seq}, in progress ${open})`,
  [codes.OOPS_FAULT_LOOP]: ([vm, gfn, seq]) =>
    `${place(vm, gfn)}: the fault is handled again and again, the access never completes (mmu_invalidate_seq ${seq})`,
};

const LOCKING: Record<number, Text> = {
  [codes.OOPS_UNLOCK_NOT_OWNER]: ([lock, lockClass, owner], nameOf) =>
    `unlock of ${nameOf(lock ?? 0)} (${lockClassName(lockClass ?? 0)}) by a task that does not hold it; ${
      (owner ?? -1) < 0 ? 'nobody does' : `task${owner} does`
    }`,
  [codes.OOPS_LOCK_ORDER]: ([held, taken, lock, via], nameOf) =>
    held === taken
      ? `two locks of class ${lockClassName(held ?? 0)} nested: ${nameOf(lock ?? 0)}`
      : `lock order: ${lockClassName(taken ?? 0)} (${nameOf(lock ?? 0)}) taken under ${lockClassName(held ?? 0)}, but the reverse was seen before${
          via === undefined || via === 0 ? '' : ` (from ${lockClassName(via)})`
        }`,
  [codes.OOPS_SLEEP_IN_ATOMIC]: ([held, site]) =>
    `${sleeper(site ?? 0)} may sleep, called ${held === LC_RCU ? 'inside rcu_read_lock()' : `under spinning lock ${lockClassName(held ?? 0)}`}`,
  [codes.OOPS_RECURSIVE_LOCK]: ([lock, lockClass], nameOf) =>
    `recursive locking of ${nameOf(lock ?? 0)} (${lockClassName(lockClass ?? 0)})`,
  [codes.OOPS_GP_IN_READER]: ([srcu], nameOf) =>
    `synchronize_srcu() of ${nameOf(srcu ?? 0)} inside its own read section: it would wait for itself`,
  [codes.OOPS_HELD_AT_EXIT]: ([lock, lockClass], nameOf) =>
    lock === 0
      ? 'a task ended with a lock held'
      : `return to user space with ${nameOf(lock ?? 0)} (${lockClassName(lockClass ?? 0)}) held`,
  [codes.OOPS_HELD_OVERFLOW]: ([lock, lockClass], nameOf) =>
    `more locks held than the model keeps count of, taking ${nameOf(lock ?? 0)} (${lockClassName(lockClass ?? 0)})`,
  [codes.OOPS_SRCU_ACTIVE_CLEANUP]: ([srcu], nameOf) => `${nameOf(srcu ?? 0)} destroyed with readers inside`,
  [codes.OOPS_AUDIT_LOCK_HELD]: ([task, lock, lockClass], nameOf) =>
    `task${task} holds ${nameOf(lock ?? 0)} (${lockClassName(lockClass ?? 0)}) at rest`,
};

const INTERNAL: Record<number, Text> = {
  [codes.OOPS_ASSERTION]: ([number, a, b]) => `assertion ${number} does not hold (values ${a}, ${b})`,
  [codes.OOPS_HEAP_CORRUPT]: ([address, sizeClass]) =>
    `heap: the object at ${hex(address)} (size class ${sizeClass}) was freed twice or written after its free`,
  [codes.OOPS_STACK_OVERFLOW]: ([task]) => `task${task}: private stack overflow`,
  [codes.OOPS_USE_AFTER_FREE]: ([address, magic], nameOf) =>
    `use after free of ${nameOf(address ?? 0)} (expected magic ${hex(magic)})`,
  [codes.OOPS_BEYOND_BUFFER]: ([offset, size]) => `a buffer of ${size} bytes is read at byte ${offset}`,
  [codes.OOPS_VMGEXIT_RECURSION]: ([vcpu, depth]) =>
    `the handler of VMGEXIT of vCPU ${vcpu} calls itself (${depth} on the stack): the guest chooses how deep`,
  [codes.OOPS_FREED_ROOT]: ([vm, root]) => `VM ${vm}: the root at ${hex(root)} is read after it was freed`,
  [codes.OOPS_LAUNCH_SHARED]: ([vm, gfn, pfn]) =>
    `VM ${vm}: pfn ${hex(pfn)} is measured as the private page of gfn ${hex(gfn)}, which is shared`,
  [codes.OOPS_STALE_CACHE]: ([vm, gfn, pfn]) =>
    `VM ${vm}: the cache of gfn ${hex(gfn)} leads to pfn ${hex(pfn)}, which is free`,
  [codes.OOPS_STALE_DMA]: ([vm, page, pfn]) =>
    `VM ${vm}: a device writes to pfn ${hex(pfn)}, which is free, for page ${hex(page)} of the VMM`,
  [codes.OOPS_FREED_ACCESS]: ([address]) => `use after free: the memory at ${hex(address)} was freed`,
  [codes.OOPS_DOUBLE_FREE]: ([address]) => `double free of ${hex(address)}`,
  [codes.OOPS_REFCOUNT]: ([object, count], nameOf) => `reference count ${count} of ${nameOf(object ?? 0)} underflows`,
};

const TEXTS: Record<number, Text> = { ...PAGES, ...MAPPINGS, ...INVALIDATION, ...LOCKING, ...INTERNAL };

/** The sentence for a violation; for a code without one its number and values. */
export function oopsText(code: number, values: readonly number[], nameOf: NameOf): string {
  return TEXTS[code]?.(values, nameOf) ?? `violation ${code}: ${values.join(', ')}`;
}

/** Codes that have a sentence. */
export function oopsTextCodes(): number[] {
  return Object.keys(TEXTS).map(Number);
}
