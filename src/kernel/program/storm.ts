// The stormer: keeps RMP entries locked, as a CPU in the middle of an RMPADJUST or PSMASH does that takes its time. Whoever else wants the entry meanwhile is
// refused with FAIL_INUSE by a holder that is really there.
import { EBUSY, ENOENT } from '../abi/errno';
import { NO_PFN, SH_STOP } from '../abi/layout';
import { OP_RMP_LOCK, PR_HOLD_NS, TG_FILE, TG_FIRST_OFFSET } from '../abi/program';
import { PG_LEVEL_2M, RMP_HI } from '../abi/snp';
import { turn } from '../costs';
import { putPage } from '../mm/page';
import { restrictedmemFindPage } from '../mm/restrictedmem';
import { atomicCas64, atomicLoad32, load32, load64, loadF64, nowNs } from '../point';
import { rmpLockEntry } from '../snp/region';
import { rmpEntry, rmpHeadEntry, RMP_HI_BUSY, RMP_HI_LOCK, rmpLevel } from '../snp/rmp';
import { ringBegin } from '../task';
import { finishOp } from './finish';
import { drawKey, drawTarget } from './keys';
import { drawU32 } from './random';

const TURNS: u32 = 16;
const LEAST_SHARE: f64 = 0.015625;

/** Locks the entry of one page of the guest for a time. -ENOENT: no page at the drawn offset; -EBUSY: another instruction is at it. */
export function stormStep(program: usize, startNs: f64): u32 {
  const target = drawTarget(program);
  const key = drawKey(program, target);
  const mostNs = loadF64(program + PR_HOLD_NS);
  const holdNs = mostNs * Math.pow(LEAST_SHARE, <f64>drawU32(program) / 4294967296.0);
  ringBegin(OP_RMP_LOCK, target, 0, key, 1, startNs);
  const pfn = restrictedmemFindPage(load32(target + TG_FILE), load64(target + TG_FIRST_OFFSET) + key);
  let ret: i32 = -ENOENT;
  if (pfn != <u32>NO_PFN) {
    // An instruction holds no reference: the page may go on meanwhile as far as others get without this entry.
    putPage(pfn);
    ret = holdEntry(pfn, holdNs);
  }
  finishOp(program, OP_RMP_LOCK, ret, 1, startNs);
  return 1;
}

function holdEntry(pfn: u32, holdNs: f64): i32 {
  const entry = rmpLevel(pfn) == PG_LEVEL_2M ? rmpHeadEntry(pfn) : rmpEntry(pfn);
  const hi = rmpLockEntry(entry);
  if (hi == RMP_HI_BUSY) return -EBUSY;
  const endNs = nowNs() + holdNs;
  while (nowNs() < endNs && atomicLoad32(SH_STOP) == 0) turn(TURNS);
  // A PSMASH of the region, if it has become a 2M page meanwhile, has written the word: then it is no longer ours.
  atomicCas64(entry + RMP_HI, hi | RMP_HI_LOCK, hi);
  return 0;
}
