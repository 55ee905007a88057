// ASIDs of SNP guests. A freed ASID may still tag cache lines and TLB entries, so it is not given out again before a flush (WBINVD on all CPUs
// and DF_FLUSH), which is done once for all freed ones, when none is left. kernel: arch/x86/kvm/svm/sev.c sev_asid_new, sev_asid_free,
// __sev_recycle_asids.
import { LOCK_ASID } from '../abi/layout';
import { COST_WBINVD } from '../abi/costs';
import { EBUSY, EINVAL } from '../abi/errno';
import {
  SNP_ASID_FLUSHES, SNP_ASID_LIMIT, SNP_ASID_RECLAIM, SNP_ASID_USED, SNP_MAX_ASID, SNP_MAX_ASID_DEFAULT, SNP_MIN_ASID,
} from '../abi/snp';
import { spend } from '../costs';
import { load32, store32 } from '../point';
import { mutexLock, mutexUnlock } from '../sync/mutex';

const WORDS: usize = 32;

function testBit(bitmap: usize, bit: u32): bool {
  return ((load32(bitmap + ((bit >>> 5) << 2)) >>> (bit & 31)) & 1) != 0;
}

function setBit(bitmap: usize, bit: u32): void {
  const word = bitmap + ((bit >>> 5) << 2);
  store32(word, load32(word) | ((<u32>1) << (bit & 31)));
}

/** @context LOCK_ASID. */
function findFree(): u32 {
  const first = max<u32>(load32(SNP_MIN_ASID), 1);
  const configured = load32(SNP_MAX_ASID);
  const last = min<u32>(configured == 0 ? SNP_MAX_ASID_DEFAULT : configured, SNP_ASID_LIMIT);
  for (let asid = first; asid <= last; asid++) {
    if (!testBit(SNP_ASID_USED, asid)) return asid;
  }
  return 0;
}

/** Flushes, and makes all freed ASIDs usable. False when none was freed since the last time. @context LOCK_ASID. */
function recycle(): bool {
  let any: u32 = 0;
  for (let n: usize = 0; n < WORDS; n++) {
    const freed = load32((n << 2) + SNP_ASID_RECLAIM);
    if (freed == 0) continue;
    any |= freed;
    store32((n << 2) + SNP_ASID_USED, load32((n << 2) + SNP_ASID_USED) & ~freed);
    store32((n << 2) + SNP_ASID_RECLAIM, 0);
  }
  if (any == 0) return false;
  spend(COST_WBINVD);
  store32(SNP_ASID_FLUSHES, load32(SNP_ASID_FLUSHES) + 1);
  return true;
}

/** An ASID for a new SNP guest, or -EBUSY. @context may sleep: takes LOCK_ASID. */
export function sevAsidNew(): i32 {
  mutexLock(LOCK_ASID);
  let asid = findFree();
  if (asid == 0 && recycle()) asid = findFree();
  if (asid != 0) setBit(SNP_ASID_USED, asid);
  mutexUnlock(LOCK_ASID);
  return asid == 0 ? -EBUSY : <i32>asid;
}

/**
 * Takes one certain ASID out of the pool that sevAsidNew() draws from. 0, -EINVAL (no such ASID), -EBUSY (in use, or freed and not flushed since).
 * @context may sleep: takes LOCK_ASID.
 */
export function sevAsidTake(asid: u32): i32 {
  if (asid > <u32>SNP_ASID_LIMIT) return -EINVAL;
  mutexLock(LOCK_ASID);
  const used = testBit(SNP_ASID_USED, asid);
  setBit(SNP_ASID_USED, asid);
  mutexUnlock(LOCK_ASID);
  return used ? -EBUSY : 0;
}

/** Gives an ASID back; it stays unusable until the next flush. @context may sleep: takes LOCK_ASID. */
export function sevAsidFree(asid: u32): void {
  mutexLock(LOCK_ASID);
  setBit(SNP_ASID_RECLAIM, asid);
  mutexUnlock(LOCK_ASID);
}

/** Whether an ASID belongs to a living VM: what an RMP entry's ASID must be. For audits. */
export function sevAsidLive(asid: u32): bool {
  mutexLock(LOCK_ASID);
  const live = asid <= <u32>SNP_ASID_LIMIT && testBit(SNP_ASID_USED, asid) && !testBit(SNP_ASID_RECLAIM, asid);
  mutexUnlock(LOCK_ASID);
  return live;
}
