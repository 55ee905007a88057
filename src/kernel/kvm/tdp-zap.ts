// Zapping leaf entries of a gfn range, in every root: what an invalidation does. Leaf tables are walked as arrays, absent subtrees are stepped
// over. kernel: arch/x86/kvm/mmu/tdp_mmu.c tdp_mmu_zap_leafs(), tdp_mmu_iter_cond_resched() (6.8).
import { KVM_MMU_LOCK } from '../abi/kvm';
import { PTRS_PER_2M } from '../abi/layout';
import { MMU_ROOTS, MMU_YIELDS, ROOT_NEXT, ROOT_TABLE, TDP_MAX_GFN } from '../abi/vcpu';
import { V_B31, V_B33, V_B34, V_B43 } from '../abi/variants';
import { atomicAdd32, atomicStore64, atomicXchg64, load32, load64, loadStatic64, store64, variant } from '../point';
import { rcuReadLock, rcuReadUnlock } from '../sync/rcu';
import { rwlockNeedbreak, writeLock, writeUnlock } from '../sync/rwlock';
import { heartbeat } from '../task';
import { kvmFlushRemoteTlbs, kvmFlushRemoteTlbsRange } from './requests';
import { tdpRootGet, tdpRootObsolete, tdpRootPut } from './tdp-root';
import { noteDirty, SPTE_LARGE, SPTE_PRESENT, SPTE_PRIVATE, SPTE_STABLE, spteIsPresent, spteTable, tdpEntry, tdpNextGfn } from './tdp-spte';

/** Leaf tables between two looks at who waits for mmu_lock: 16 tables are about 10 us. */
const TABLES_PER_LOOK: u32 = 16;
/** Bytes of entries from which on whole lines are looked at: 64 pages. */
const LINES_MIN: usize = 512;
/** What an entry must have for a plain store to do. */
const SPTE_PLAIN: u64 = SPTE_PRESENT | SPTE_STABLE | SPTE_PRIVATE;

/**
 * Clears the present entries among [first, last) of a leaf table; returns how many. An entry that the CPU or the fast page fault may still
 * change is exchanged, so that a write by the guest in the last moment is known by its dirty bit (B43: it is stored over); all others cannot change under us,
 * and a plain store of 8 aligned bytes cannot be seen half done.
 * @context mmu_lock for write.
 */
function zapEntries(kvm: usize, first: usize, last: usize): u32 {
  let zapped: u32 = 0;
  for (let sptep = first; sptep < last; sptep += 8) {
    let spte = loadStatic64(sptep);
    if ((spte & SPTE_PRESENT) == 0) continue;
    if ((spte & SPTE_STABLE) == SPTE_STABLE) store64(sptep, 0);
    else if (variant(V_B43)) atomicStore64(sptep, 0);
    else spte = atomicXchg64(sptep, 0);
    noteDirty(kvm, spte);
    zapped++;
  }
  return zapped;
}

/**
 * The same, a cache line at a time: an empty one is stepped over, one of which all is present, stable and private (its dirty bits tell nobody anything) is cleared
 * without a closer look. A quarter of the time, and the zap is the part of an invalidation that home workers cannot share.
 * @context mmu_lock for write.
 */
function zapLeafTable(kvm: usize, first: usize, last: usize): u32 {
  if (last - first < LINES_MIN) return zapEntries(kvm, first, last);
  let zapped: u32 = 0;
  let line = first;
  while (line < last) {
    const next = min<usize>((line | 63) + 1, last);
    zapped += next - line == 64 ? zapLine(kvm, line) : zapEntries(kvm, line, next);
    line = next;
  }
  return zapped;
}

// @ts-ignore: decorator
@inline
function zapLine(kvm: usize, p: usize): u32 {
  const a = loadStatic64(p);
  const b = loadStatic64(p + 8);
  const c = loadStatic64(p + 16);
  const d = loadStatic64(p + 24);
  const e = loadStatic64(p + 32);
  const f = loadStatic64(p + 40);
  const g = loadStatic64(p + 48);
  const h = loadStatic64(p + 56);
  if (((a | b | c | d | e | f | g | h) & SPTE_PRESENT) == 0) return 0;
  if ((a & b & c & d & e & f & g & h & SPTE_PLAIN) != SPTE_PLAIN) return zapEntries(kvm, p, p + 64);
  store64(p, 0);
  store64(p + 8, 0);
  store64(p + 16, 0);
  store64(p + 24, 0);
  store64(p + 32, 0);
  store64(p + 40, 0);
  store64(p + 48, 0);
  store64(p + 56, 0);
  return 8;
}

/**
 * Zaps what begins at `gfn` below one level-2 entry, up to `end`; a 2M leaf goes as a whole even if the range covers a part of it.
 * @context mmu_lock for write.
 */
// @ts-ignore: decorator
@inline
function zapBelow2m(kvm: usize, sptep: usize, gfn: u64, end: u64): u32 {
  const spte = load64(sptep);
  if (!spteIsPresent(spte)) return 0;
  if ((spte & SPTE_LARGE) != 0) {
    atomicXchg64(sptep, 0);
    return 1;
  }
  const table = spteTable(spte);
  const first = tdpEntry(table, gfn, 1);
  return zapLeafTable(kvm, first, end >= tdpNextGfn(gfn, 2) ? table + 4096 : tdpEntry(table, end, 1));
}

/**
 * Zaps the leafs of one root in [start, end). Returns whether TLBs have to be flushed for what was zapped here or (`flush`) before; the flag
 * of an earlier root is never lost (B33), and everything zapped so far is flushed before mmu_lock is let go of (B34).
 * @context mmu_lock for write, dropped and retaken with `canYield` when somebody waits. kernel: tdp_mmu_zap_leafs().
 */
function zapLeafs(kvm: usize, root: usize, start: u64, end: u64, canYield: bool, flush: bool): bool {
  const rootTable: usize = load32(root + ROOT_TABLE);
  let pending = flush;
  let total: u32 = 0;
  let tables: u32 = 0;
  let gfn = start;
  let restart = start;
  while (gfn < end) {
    const top = load64(tdpEntry(rootTable, gfn, 4));
    if (!spteIsPresent(top)) {
      gfn = tdpNextGfn(gfn, 4);
      continue;
    }
    const middle = load64(tdpEntry(spteTable(top), gfn, 3));
    if (!spteIsPresent(middle)) {
      gfn = tdpNextGfn(gfn, 3);
      continue;
    }
    const zapped = zapBelow2m(kvm, tdpEntry(spteTable(middle), gfn, 2), gfn, end);
    if (zapped != 0) pending = true;
    total += zapped;
    gfn = tdpNextGfn(gfn, 2);
    // Home workers that stand by for what comes next watch it.
    if (!CONTROLLED) heartbeat();
    if (canYield && ++tables % TABLES_PER_LOOK == 0 && rwlockNeedbreak(kvm + KVM_MMU_LOCK)) {
      yieldZap(kvm, pending);
      pending = false;
      restart = gfn;
    }
  }
  if (!variant(V_B34) || restart == start || total == 0) return pending;
  kvmFlushRemoteTlbsRange(kvm, restart, end);
  return false;
}

/** Flushes what is pending and lets waiters of mmu_lock through. The root survives by the caller's reference. @context mmu_lock for write: renewed. */
function yieldZap(kvm: usize, flush: bool): void {
  if (flush && !variant(V_B34)) kvmFlushRemoteTlbs(kvm);
  rcuReadUnlock();
  writeUnlock(kvm + KVM_MMU_LOCK);
  heartbeat();
  writeLock(kvm + KVM_MMU_LOCK);
  atomicAdd32(kvm + MMU_YIELDS, 1);
  rcuReadLock();
}

/**
 * Zaps [start, end) in all roots, invalid ones too: their entries still name pages that the caller is about to give away (B31). Returns whether
 * the caller has to flush TLBs.
 * @context mmu_lock for write; may drop and retake it with `canYield`. kernel: kvm_tdp_mmu_unmap_gfn_range().
 */
export function tdpZapLeafs(kvm: usize, start: u64, end: u64, canYield: bool): bool {
  const last = min<u64>(end, <u64>TDP_MAX_GFN);
  // A small range ends before the first look at the lock's waiters, and then needs no reference either.
  const yields = canYield && last - start > <u64>(TABLES_PER_LOOK - 2) * PTRS_PER_2M;
  let flush = false;
  rcuReadLock();
  let root: usize = load32(kvm + MMU_ROOTS);
  while (root != 0) {
    // A reference while the lock may be dropped, and the next root is read before it is given back (B32).
    if (yields) tdpRootGet(root);
    const skipped = variant(V_B31) && tdpRootObsolete(root);
    if (!skipped) flush = zapLeafs(kvm, root, start, last, yields, variant(V_B33) ? false : flush);
    const next: usize = load32(root + ROOT_NEXT);
    if (yields) tdpRootPut(kvm, root);
    root = next;
  }
  rcuReadUnlock();
  return flush;
}
