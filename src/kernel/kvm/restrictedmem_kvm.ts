// KVM's side of restrictedmem: binding a memslot to a file, and the notifier through which the file announces that pages go away. Here the guest's
// mappings are zapped, and then the platform hook gives the pages back to the host. kernel: virt/kvm/kvm_main.c of the UPM v10 line,
// kvm_restrictedmem_invalidate_begin() with the platform hook of SNP RFC v8 patch 03.
import { EINVAL } from '../abi/errno';
import { DEBUG_INVALIDATE_BEGIN, DEBUG_INVALIDATE_BEGIN_SKIPPED } from '../abi/debug';
import {
  KC_FLUSHES, KC_HOOK_CALLS, KC_RM_BEGINS, KC_RM_ENDS, KC_RM_ERRORS, KC_RM_SKIPPED, KVM_ASID, KVM_HOOK, KVM_ID, KVM_MAGIC, KVM_MAGIC_VALUE,
  KVM_MEMSLOT_INVALID, KVM_LOCK, KVM_MMU_LOCK, KVM_SLOTS_LOCK, KVM_SRCU, KVM_TYPE, KVM_TYPE_SNP, SLOT_BASE_GFN, SLOT_BEGINS, SLOT_BOUND, SLOT_CB_LAST, SLOT_ENDS, SLOT_FLAGS, SLOT_ID,
  SLOT_KVM, SLOT_MAGIC, SLOT_MAGIC_VALUE, SLOT_NOTIFIER, SLOT_NPAGES, SLOT_RM_FILE, SLOT_RM_INDEX,
} from '../abi/kvm';
import { HOOK_NONE, HOOK_SNP, PAGE_SHIFT, PROTOCOL_RFC_V7, SH_PROTOCOL, SUBSYS_KVM } from '../abi/layout';
import {
  NOTIFIER_OPS, NOTIFIER_OPS_ERROR, NOTIFIER_OPS_INVALIDATE_END, NOTIFIER_OPS_INVALIDATE_OPEN, NOTIFIER_OPS_INVALIDATE_PIECE, NOTIFIER_OPS_INVALIDATE_START,
} from '../abi/mm';
import {
  OOPS_CALLBACK_FREED_SLOT, OOPS_CALLBACK_INVALID_SLOT, OOPS_CALLBACK_UNBALANCED, OOPS_CALLBACK_UNBOUND_SLOT, OOPS_HOOK_WITHOUT_ASID,
  ORACLE_BALANCE, ORACLE_CALLBACK,
} from '../abi/oops';
import { EV_HOOK } from '../abi/trace';
import { V_B05, V_PLANT_LOCK_ORDER, V_PLANT_NO_FLUSH, V_PLANT_SKIP_ZAP, V_PLANT_SLEEP_ATOMIC } from '../abi/variants';
import { prDebug } from '../debug';
import { fputFile, restrictedmemBind, restrictedmemGetPage, restrictedmemUnbind } from '../mm/restrictedmem';
import { fget, guestMemfd } from '../mm/restrictedmem-file';
import { oops } from '../oops';
import { perturbHook } from '../perturb';
import { atomicLoad32, atomicStore32, load32, load64, loadStatic32, loadStatic64, oraclesOn, store32, store64, storeOnce32, userHook, variant } from '../point';
import { guestInvalidated } from '../oracle/guest';
import { sevInvalidatePages, sevInvalidatePrivateRange } from '../snp/hook';
import { mutexLock, mutexUnlock } from '../sync/mutex';
import { rcuNoteContextSwitch } from '../sync/rcu';
import { writeLock, writeUnlock } from '../sync/rwlock';
import { srcuReadLock, srcuReadUnlock } from '../sync/srcu';
import { currentId, stackPop, stackPush } from '../task';
import { traceBegin, traceEnd } from '../trace';
import { kvmGmemBind, kvmGmemGetPfn, kvmGmemUnbind } from './guest-memfd';
import { kvmCountLocked, kvmMmuInvalidateBegin, kvmMmuInvalidateEnd, kvmMmuInvalidateRangeAdd } from './invalidate';
import { kvmCount } from './memslots-update';
import { kvmFlushRemoteTlbs } from './requests';
import { kvmUnmapGfnRange } from './tdp';

// SUBSYS_KVM + 64: kvm_restrictedmem_notifier_ops, table indices.
const NOTIFIER_OPS_TABLE: usize = SUBSYS_KVM + 64;

/** Fills the ops table that all slots point to. @context boot. */
export function kvmRestrictedmemInit(): void {
  store32(NOTIFIER_OPS_TABLE + NOTIFIER_OPS_INVALIDATE_START, kvmRestrictedmemInvalidateBegin.index);
  store32(NOTIFIER_OPS_TABLE + NOTIFIER_OPS_INVALIDATE_END, kvmRestrictedmemInvalidateEnd.index);
  store32(NOTIFIER_OPS_TABLE + NOTIFIER_OPS_ERROR, kvmRestrictedmemError.index);
  store32(NOTIFIER_OPS_TABLE + NOTIFIER_OPS_INVALIDATE_OPEN, openInPieces.index);
  store32(NOTIFIER_OPS_TABLE + NOTIFIER_OPS_INVALIDATE_PIECE, invalidatePiece.index);
}

/**
 * Binds the slot to pages [offset, offset + size) of a file, which the slot then keeps alive. Returns 0, -EINVAL, or the bind's error.
 * @context slots_lock; takes restrictedmem.lock for write. kernel: kvm_restrictedmem_bind().
 */
export function kvmRestrictedmemBind(slot: usize, file: usize, offset: u64): i32 {
  if (guestMemfd()) return kvmGmemBind(slot, file, offset);
  if (<i64>offset < 0) return -EINVAL;
  // One test for what are two errors of the kernel, no such descriptor and a descriptor of another kind.
  if (!fget(file)) return -EINVAL;
  const index = offset >> PAGE_SHIFT;
  store32(slot + SLOT_RM_FILE, <u32>file);
  store64(slot + SLOT_RM_INDEX, index);
  store32(slot + SLOT_NOTIFIER + NOTIFIER_OPS, <u32>NOTIFIER_OPS_TABLE);
  // Before the bind: a hole punch may find the binding the moment it stands.
  atomicStore32(slot + SLOT_BOUND, 1);
  const ret = restrictedmemBind(file, index, index + load64(slot + SLOT_NPAGES), slot + SLOT_NOTIFIER, true);
  if (ret != 0) {
    atomicStore32(slot + SLOT_BOUND, 0);
    store32(slot + SLOT_RM_FILE, 0);
    fputFile(file);
  }
  return ret;
}

/**
 * Takes the binding away; the file invalidates the slot's whole range first.
 * @context slots_lock or VM destruction, outside kvm->srcu and mmu_lock; takes restrictedmem.lock for write; may release the file.
 * kernel: kvm_restrictedmem_unbind().
 */
export function kvmRestrictedmemUnbind(slot: usize): void {
  if (guestMemfd()) {
    kvmGmemUnbind(slot);
    return;
  }
  const file: usize = load32(slot + SLOT_RM_FILE);
  if (file == 0) return;
  const index = load64(slot + SLOT_RM_INDEX);
  restrictedmemUnbind(file, index, index + load64(slot + SLOT_NPAGES), slot + SLOT_NOTIFIER);
  atomicStore32(slot + SLOT_BOUND, 0);
  store32(slot + SLOT_RM_FILE, 0);
  // No callback can come any more: each begin must have had its end.
  if (oraclesOn()) {
    const begins = atomicLoad32(slot + SLOT_BEGINS);
    const ends = atomicLoad32(slot + SLOT_ENDS);
    if (begins != ends) oops(ORACLE_BALANCE, OOPS_CALLBACK_UNBALANCED, load32(load32(slot + SLOT_KVM) + KVM_ID), load32(slot + SLOT_ID), begins, ends);
  }
  fputFile(file);
}

/** Page of the file behind `gfn`, with a reference. @context inside kvm->srcu or slots_lock; may sleep. kernel: kvm_restrictedmem_get_pfn(). */
export function kvmRestrictedmemGetPfn(slot: usize, gfn: u64, pfnp: usize, orderp: usize): i32 {
  if (guestMemfd()) return kvmGmemGetPfn(slot, gfn, pfnp, orderp);
  const offset = gfn - loadStatic64(slot + SLOT_BASE_GFN) + loadStatic64(slot + SLOT_RM_INDEX);
  return restrictedmemGetPage(loadStatic32(slot + SLOT_RM_FILE), offset, pfnp, orderp);
}

/** Oracle 4: a callback meets only a live, bound slot that is not being taken away. */
function checkCallback(slot: usize): void {
  storeOnce32(slot + SLOT_CB_LAST, currentId() + 1);
  if (!oraclesOn()) return;
  if (load32(slot + SLOT_MAGIC) != SLOT_MAGIC_VALUE) oops(ORACLE_CALLBACK, OOPS_CALLBACK_FREED_SLOT, <f64>slot, load32(slot + SLOT_MAGIC));
  const kvm: usize = load32(slot + SLOT_KVM);
  if (load32(kvm + KVM_MAGIC) != KVM_MAGIC_VALUE) oops(ORACLE_CALLBACK, OOPS_CALLBACK_FREED_SLOT, <f64>kvm, load32(kvm + KVM_MAGIC));
  const id = load32(slot + SLOT_ID);
  if (atomicLoad32(slot + SLOT_BOUND) == 0) oops(ORACLE_CALLBACK, OOPS_CALLBACK_UNBOUND_SLOT, load32(kvm + KVM_ID), id);
  if ((load32(slot + SLOT_FLAGS) & KVM_MEMSLOT_INVALID) != 0) oops(ORACLE_CALLBACK, OOPS_CALLBACK_INVALID_SLOT, load32(kvm + KVM_ID), id);
}

/**
 * File pages [start, end) as guest frames of the slot: {first u64, end u64} at `range`. False when they do not meet.
 * kernel: restrictedmem_get_gfn_range(), whose ends are inclusive and which put an inclusive end into an exclusive field (V_B05).
 */
export function restrictedmemGetGfnRange(slot: usize, start: u64, end: u64, range: usize): bool {
  const index = load64(slot + SLOT_RM_INDEX);
  const first = max<u64>(start, index);
  const last = min<u64>(end, index + load64(slot + SLOT_NPAGES));
  if (first >= last) return false;
  store64(range, load64(slot + SLOT_BASE_GFN) + (first - index));
  store64(range + 8, load64(slot + SLOT_BASE_GFN) + (last - index));
  return true;
}

/** A planted misuse: takes a sleeping lock where none may be taken. */
function takeAndRelease(lock: usize): void {
  mutexLock(lock);
  mutexUnlock(lock);
}

/**
 * Opens the invalidation of [startGfn, endGfn) and zaps it: from here to the end no fault maps it again.
 * @context restrictedmem.lock held; takes kvm->srcu and mmu_lock for write.
 */
function kvmRestrictedmemZap(slot: usize, startGfn: u64, endGfn: u64): void {
  const kvm: usize = load32(slot + SLOT_KVM);
  // V_B05: the last page is neither zapped nor protected from faults.
  const end = variant(V_B05) ? endGfn - 1 : endGfn;
  const idx = srcuReadLock(kvm + KVM_SRCU);
  // The shape of B60: slots_lock is held across synchronize_srcu, so a reader that takes it can wait for itself.
  if (variant(V_PLANT_LOCK_ORDER)) takeAndRelease(kvm + KVM_SLOTS_LOCK);
  writeLock(kvm + KVM_MMU_LOCK);
  if (variant(V_PLANT_SLEEP_ATOMIC)) takeAndRelease(kvm + KVM_LOCK);
  kvmCountLocked(kvm, KC_RM_BEGINS);
  store32(slot + SLOT_BEGINS, load32(slot + SLOT_BEGINS) + 1);
  kvmMmuInvalidateBegin(kvm);
  kvmMmuInvalidateRangeAdd(kvm, startGfn, end);
  if (oraclesOn()) guestInvalidated(kvm, startGfn, endGfn);
  const flush = !variant(V_PLANT_SKIP_ZAP) && kvmUnmapGfnRange(kvm, slot, startGfn, end, true);
  if (flush && !variant(V_PLANT_NO_FLUSH)) {
    kvmCountLocked(kvm, KC_FLUSHES);
    kvmFlushRemoteTlbs(kvm);
  }
  if (hookOf(kvm) != HOOK_NONE) kvmCountLocked(kvm, KC_HOOK_CALLS);
  // Again behind the flush: a guest write that still used an old translation is not taken for a lasting one.
  if (oraclesOn()) guestInvalidated(kvm, startGfn, endGfn);
  writeUnlock(kvm + KVM_MMU_LOCK);
  srcuReadUnlock(kvm + KVM_SRCU, idx);
}

/** The VM's platform hook; RFC v7 had none. */
// @ts-ignore: decorator
@inline
function hookOf(kvm: usize): u32 {
  return load32(SH_PROTOCOL) == PROTOCOL_RFC_V7 ? HOOK_NONE : load32(kvm + KVM_HOOK);
}

/**
 * The optional platform hook kvm_x86_ops.invalidate_restricted_mem: absent, it is skipped (static_call_cond).
 * @context restrictedmem.lock held, neither mmu_lock nor kvm->srcu; the invalidation of the range is open. kernel: arch/x86/kvm/mmu/mmu.c.
 */
export function kvmArchInvalidateRestrictedMem(slot: usize, startGfn: u64, endGfn: u64): void {
  const kvm: usize = load32(slot + SLOT_KVM);
  const hook = hookOf(kvm);
  if (hook == HOOK_NONE) return;
  checkAsid(kvm, slot, startGfn, endGfn);
  const since = traceBegin();
  perturbHook();
  if (hook == HOOK_SNP) {
    sevInvalidatePrivateRange(slot, startGfn, endGfn);
  } else {
    // The user's function may sleep, and wait for whom it likes.
    rcuNoteContextSwitch();
    userHook(load32(kvm + KVM_ID), load32(slot + SLOT_ID), <f64>startGfn, <f64>endGfn);
  }
  traceEnd(EV_HOOK, since, load32(kvm + KVM_ID) << 8 | load32(slot + SLOT_ID) & 0xff, startGfn, endGfn, 0);
}

/** Oracle 4: what SNP's hook gives back belongs to an ASID. */
// @ts-ignore: decorator
@inline
function checkAsid(kvm: usize, slot: usize, startGfn: u64, endGfn: u64): void {
  if (oraclesOn() && load32(kvm + KVM_TYPE) == KVM_TYPE_SNP && load32(kvm + KVM_ASID) == 0) {
    oops(ORACLE_CALLBACK, OOPS_HOOK_WITHOUT_ASID, load32(kvm + KVM_ID), load32(slot + SLOT_ID), <f64>startGfn, <f64>endGfn);
  }
}

/** The file takes [start, end) away. @context restrictedmem.lock held; see the parts. kernel: kvm_restrictedmem_invalidate_begin(). */
export function kvmRestrictedmemInvalidateBegin(notifier: usize, start: u64, end: u64): void {
  begin(notifier, start, end, false);
}

/** The same of a range that goes in pieces: SNP's hook runs with each of them, a user's function for all of it here. @context as begin. */
function openInPieces(notifier: usize, start: u64, end: u64): void {
  begin(notifier, start, end, true);
}

function begin(notifier: usize, start: u64, end: u64, inPieces: bool): void {
  const slot = notifier - SLOT_NOTIFIER;
  checkCallback(slot);
  const kvm: usize = load32(slot + SLOT_KVM);
  const id = load32(slot + SLOT_ID);
  const index = <f64>load64(slot + SLOT_RM_INDEX);
  const range = stackPush(16);
  if (!restrictedmemGetGfnRange(slot, start, end, range)) {
    stackPop(16);
    prDebug(DEBUG_INVALIDATE_BEGIN_SKIPPED, id, <f64>start, <f64>(end - 1), index);
    kvmCount(kvm, KC_RM_SKIPPED);
    return;
  }
  const startGfn = load64(range);
  const endGfn = load64(range + 8);
  stackPop(16);
  // The patch's callbacks had inclusive ends, and the gfn range took its end over from them: so the lines read.
  prDebug(DEBUG_INVALIDATE_BEGIN, id, <f64>start, <f64>(end - 1), index, <f64>startGfn, <f64>(endGfn - 1));
  kvmRestrictedmemZap(slot, startGfn, endGfn);
  if (inPieces && hookOf(kvm) == HOOK_SNP) checkAsid(kvm, slot, startGfn, endGfn);
  else kvmArchInvalidateRestrictedMem(slot, startGfn, endGfn);
}

/**
 * SNP's hook for file pages [start, end), a piece of a range that has been opened, whose pages are in `pages` from offset `base` on.
 * @context a home worker's, several at once; the punching task holds restrictedmem.lock; may sleep.
 */
function invalidatePiece(notifier: usize, start: u64, end: u64, pages: usize, base: u64): void {
  const slot = notifier - SLOT_NOTIFIER;
  const kvm: usize = load32(slot + SLOT_KVM);
  if (hookOf(kvm) != HOOK_SNP) return;
  const range = stackPush(16);
  if (restrictedmemGetGfnRange(slot, start, end, range)) {
    const since = traceBegin();
    perturbHook();
    sevInvalidatePages(slot, load64(range), load64(range + 8), pages, base);
    traceEnd(EV_HOOK, since, load32(kvm + KVM_ID) << 8 | load32(slot + SLOT_ID) & 0xff, load64(range), load64(range + 8), 0);
  }
  stackPop(16);
}

/** The pages are gone. Skips what begin skipped, so the two balance. @context as begin; takes mmu_lock for write. */
export function kvmRestrictedmemInvalidateEnd(notifier: usize, start: u64, end: u64): void {
  const slot = notifier - SLOT_NOTIFIER;
  checkCallback(slot);
  const range = stackPush(16);
  const meets = restrictedmemGetGfnRange(slot, start, end, range);
  stackPop(16);
  if (!meets) return;
  const kvm: usize = load32(slot + SLOT_KVM);
  writeLock(kvm + KVM_MMU_LOCK);
  kvmMmuInvalidateEnd(kvm);
  kvmCountLocked(kvm, KC_RM_ENDS);
  store32(slot + SLOT_ENDS, load32(slot + SLOT_ENDS) + 1);
  writeUnlock(kvm + KVM_MMU_LOCK);
}

/** A page of the file is broken: SIGBUS to whoever runs, which here is a count. @context any. kernel: kvm_restrictedmem_error(). */
export function kvmRestrictedmemError(notifier: usize, start: u64, end: u64): void {
  const slot = notifier - SLOT_NOTIFIER;
  checkCallback(slot);
  kvmCount(load32(slot + SLOT_KVM), KC_RM_ERRORS);
}
