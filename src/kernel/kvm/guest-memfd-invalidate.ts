// Begin and end of a guest_memfd's invalidations: one pair a file and call, however many memslots and pieces of bindings the range meets, all zapped under one hold
// of mmu_lock. kernel: virt/kvm/guest_memfd.c kvm_gmem_invalidate_begin, kvm_gmem_invalidate_end.
import { KC_FLUSHES, KC_HOOK_CALLS, KC_RM_BEGINS, KC_RM_ENDS, KC_RM_SKIPPED, KVM_HOOK, KVM_ID, KVM_MMU_LOCK, SLOT_ID, SLOT_NOTIFIER } from '../abi/kvm';
import { HOOK_SNP, HOOK_USER, SH_HOOK } from '../abi/layout';
import { RM_BINDINGS, RM_KVM, RM_MEMFD } from '../abi/mm';
import { V_B05, V_B55, V_PLANT_NO_FLUSH, V_PLANT_SKIP_ZAP } from '../abi/variants';
import { putPage } from '../mm/page';
import { shmemFindPage } from '../mm/shmem';
import { XA_PRESENT, xaFind, xaFindAfter } from '../mm/xarray';
import { guestInvalidated } from '../oracle/guest';
import { load32, load64, oraclesOn, store64, userHook, variant } from '../point';
import { sevGmemReset } from '../snp/guest-memfd';
import { rcuNoteContextSwitch } from '../sync/rcu';
import { writeLock, writeUnlock } from '../sync/rwlock';
import { stackPop, stackPush } from '../task';
import { kvmCountLocked, kvmMmuInvalidateBegin, kvmMmuInvalidateEnd, kvmMmuInvalidateRangeAdd } from './invalidate';
import { kvmCount } from './memslots-update';
import { kvmFlushRemoteTlbs } from './requests';
import { restrictedmemGetGfnRange } from './restrictedmem_kvm';
import { kvmUnmapGfnRange } from './tdp';

/**
 * Opens an invalidation of the file's pages [start, end) and zaps them in every memslot bound there; where none is, nothing is opened.
 * @context the invalidate lock (bindings stand still until the end); takes mmu_lock for write.
 */
export function kvmGmemInvalidateBegin(gmem: usize, start: u64, end: u64): void {
  const kvm: usize = load32(gmem + RM_KVM);
  if (kvm == 0) return;
  const indexp = stackPush(24);
  const range = indexp + 8;
  store64(indexp, start);
  let open = false;
  let flush = false;
  let entry: usize = xaFind(gmem + RM_BINDINGS, indexp, end - 1, XA_PRESENT);
  while (entry != 0) {
    const slot = entry - SLOT_NOTIFIER;
    if (!open) {
      open = true;
      writeLock(kvm + KVM_MMU_LOCK);
      kvmCountLocked(kvm, KC_RM_BEGINS);
      kvmMmuInvalidateBegin(kvm);
    }
    if (restrictedmemGetGfnRange(slot, start, end, range)) {
      if (zapPiece(kvm, slot, load64(range), load64(range + 8))) flush = true;
    }
    entry = nextSlot(gmem, indexp, end - 1, entry);
  }
  if (flush && !variant(V_PLANT_NO_FLUSH)) {
    kvmCountLocked(kvm, KC_FLUSHES);
    kvmFlushRemoteTlbs(kvm);
  }
  stackPop(24);
  if (!open) {
    kvmCount(kvm, KC_RM_SKIPPED);
    return;
  }
  // Behind the flush once more: a guest write that still used an old translation is not taken for a lasting one.
  if (oraclesOn()) eachPiece(kvm, gmem, start, end, NOTE);
  writeUnlock(kvm + KVM_MMU_LOCK);
  if (load32(kvm + KVM_HOOK) == <u32>HOOK_USER) eachPiece(kvm, gmem, start, end, CALL_HOOK);
  if (variant(V_B55)) resetAtBegin(gmem, start, end);
}

/** Closes what begin has opened: the same bindings are there, so the two find the same. @context as begin. */
export function kvmGmemInvalidateEnd(gmem: usize, start: u64, end: u64): void {
  const kvm: usize = load32(gmem + RM_KVM);
  if (kvm == 0) return;
  const indexp = stackPush(8);
  store64(indexp, start);
  const bound = xaFind(gmem + RM_BINDINGS, indexp, end - 1, XA_PRESENT) != 0;
  stackPop(8);
  if (!bound) return;
  writeLock(kvm + KVM_MMU_LOCK);
  kvmMmuInvalidateEnd(kvm);
  kvmCountLocked(kvm, KC_RM_ENDS);
  writeUnlock(kvm + KVM_MMU_LOCK);
}

/** Adds a memslot's part to the open section and zaps it; whether a flush is due. @context mmu_lock for write. */
function zapPiece(kvm: usize, slot: usize, startGfn: u64, endGfn: u64): bool {
  const end = variant(V_B05) ? endGfn - 1 : endGfn;
  kvmMmuInvalidateRangeAdd(kvm, startGfn, end);
  if (oraclesOn()) guestInvalidated(kvm, startGfn, endGfn);
  return !variant(V_PLANT_SKIP_ZAP) && kvmUnmapGfnRange(kvm, slot, startGfn, end, true);
}

/** The next binding that is another slot's: a binding of several pieces is met once. */
function nextSlot(gmem: usize, indexp: usize, last: u64, before: usize): usize {
  let entry: usize = xaFindAfter(gmem + RM_BINDINGS, indexp, last, XA_PRESENT);
  while (entry == before && entry != 0) entry = xaFindAfter(gmem + RM_BINDINGS, indexp, last, XA_PRESENT);
  return entry;
}

const NOTE: bool = true;
const CALL_HOOK: bool = false;

/** Tells the guest-data oracle, or a hook of the host's own, of each memslot's part. The file has no hook of its own for pages that only go at the end. */
function eachPiece(kvm: usize, gmem: usize, start: u64, end: u64, note: bool): void {
  const indexp = stackPush(24);
  const range = indexp + 8;
  store64(indexp, start);
  let entry: usize = xaFind(gmem + RM_BINDINGS, indexp, end - 1, XA_PRESENT);
  while (entry != 0) {
    const slot = entry - SLOT_NOTIFIER;
    if (restrictedmemGetGfnRange(slot, start, end, range)) {
      if (note) {
        guestInvalidated(kvm, load64(range), load64(range + 8));
      } else {
        kvmCount(kvm, KC_HOOK_CALLS);
        rcuNoteContextSwitch();
        userHook(load32(kvm + KVM_ID), load32(slot + SLOT_ID), <f64>load64(range), <f64>load64(range + 8));
      }
    }
    entry = nextSlot(gmem, indexp, end - 1, entry);
  }
  stackPop(24);
}

/** B55: the reset where RFC v8 has it. A fault prepares the page again before it is freed: nothing in get_pfn looks at the open invalidation. */
function resetAtBegin(gmem: usize, start: u64, end: u64): void {
  if (load32(SH_HOOK) != <u32>HOOK_SNP) return;
  const memfd: usize = load32(gmem + RM_MEMFD);
  const indexp = stackPush(8);
  store64(indexp, start);
  let entry = xaFind(memfd, indexp, end - 1, XA_PRESENT);
  while (entry != 0) {
    const pfn = shmemFindPage(memfd, load64(indexp));
    if (pfn != 0xffffffff) {
      sevGmemReset(pfn, pfn + 1);
      putPage(pfn);
    }
    entry = xaFindAfter(memfd, indexp, end - 1, XA_PRESENT);
  }
  stackPop(8);
}
