// The kernel's wrappers around the RMP instructions: retries, the host's direct map, counters. Only FAIL_INUSE and FAIL_OVERLAP are worth a retry, and
// only while another CPU is in the middle of something: RFC v8 retried every failure, upstream retries an overlap without end.
// kernel: arch/x86/virt/svm/sev.c rmpupdate, psmash, rmp_make_private, rmp_make_shared.
import { PTRS_PER_2M, SH_MAX_TASKS } from '../abi/layout';
import { EEXIST, EFAULT, EINVAL, ENODEV } from '../abi/errno';
import {
  PG_LEVEL_2M, RMP_ALREADY_ASSIGNED, RMP_ENTRY_SIZE, RMP_FAIL_INUSE, RMP_FAIL_OVERLAP, RMP_HI, RMP_OK, SNP_COUNTERS, SNP_ENABLED,
  SNPC_IN_USE, SNPC_OVERLAP, SNPC_PSMASHES, SNPC_RMPUPDATES,
} from '../abi/snp';
import { EV_PSMASH, EV_RMPUPDATE } from '../abi/trace';
import { V_B14, V_B16 } from '../abi/variants';
import { atomicLoad64, cpuRelax, current, load32, loadStatic64, store64, variant } from '../point';
import { nap } from '../sync/word';
import { traceBegin, traceEnd } from '../trace';
import { directMapRestore, directMapSplit } from './direct-map';
import { psmashInsn, rmpupdateInsn } from './instructions';
import {
  RMP_ASSIGNED, rmpCovers, rmpEntry, RMP_HI_IN_USE, rmpHeadEntry, rmpLevel, RMP_PAGESIZE_2M, rmpState,
} from './rmp';

/** Waits after the spins: 50 us, doubled each time. A CPU that lost its time slice in mid-instruction is back long before their sum. */
const MAX_WAITS: u32 = 12;
const FIRST_WAIT_NS: i64 = 50_000;

/** Adds to one of this task's SNP counters (SNPC_*). */
// @ts-ignore: decorator
@inline
export function snpCount(counter: usize, n: u32): void {
  const p = current + SNP_COUNTERS + counter;
  store64(p, loadStatic64(p) + <u64>n);
}

/** Notes a refusal and waits a little. False when trying again is pointless. */
function waitForRetry(pfn: u32, is2m: bool, code: i32, tries: u32): bool {
  if (code == RMP_FAIL_INUSE) snpCount(SNPC_IN_USE, 1);
  else if (code == RMP_FAIL_OVERLAP) snpCount(SNPC_OVERLAP, 1);
  else return false;
  if (variant(V_B16)) return false;
  const spins: u32 = 4 * load32(SH_MAX_TASKS); // the kernel's 4 * num_present_cpus()
  if (tries < spins) {
    cpuRelax();
    return true;
  }
  const waits = tries - spins;
  if (waits >= MAX_WAITS || refusalLasts(pfn, is2m, code)) return false;
  nap(FIRST_WAIT_NS << <i64>waits);
  return true;
}

/** Whether a refusal has a reason that will not go away by itself: a real overlap, or a page that a VMRUN uses. */
function refusalLasts(pfn: u32, is2m: bool, code: i32): bool {
  const entry = rmpEntry(pfn);
  if (!is2m) {
    if (code == RMP_FAIL_OVERLAP) return (atomicLoad64(rmpHeadEntry(pfn)) & RMP_PAGESIZE_2M) != 0;
    return (atomicLoad64(entry + RMP_HI) & RMP_HI_IN_USE) != 0;
  }
  for (let n: usize = 0; n < <usize>PTRS_PER_2M; n++) {
    const p = entry + n * RMP_ENTRY_SIZE;
    if (code == RMP_FAIL_OVERLAP ? (atomicLoad64(p) & RMP_ASSIGNED) != 0 : (atomicLoad64(p + RMP_HI) & RMP_HI_IN_USE) != 0) return true;
  }
  return false;
}

/**
 * RMPUPDATE with the kernel's care: splits the host's mapping before a 4K page is assigned, retries transient refusals. `state` as in
 * rmpupdateInsn. 0, -ENODEV without SNP, -EEXIST when `onlyIfFree` met an assigned page, else -EFAULT.
 * @context any, also under mmu_lock: it spins, then parks for short times, bounded.
 */
export function rmpupdate(pfn: u32, state: u64, onlyIfFree: bool): i32 {
  if (load32(SNP_ENABLED) == 0) return -ENODEV;
  // A 2M RMP entry lies behind a 2M or smaller host mapping either way: no page of the region stays with the host.
  if ((state & (RMP_ASSIGNED | RMP_PAGESIZE_2M)) == RMP_ASSIGNED && rmpCovers(pfn)) directMapSplit(pfn);
  const since = traceBegin();
  let code = rmpupdateInsn(pfn, state, onlyIfFree);
  if (code != RMP_OK) code = rmpupdateRetry(pfn, state, onlyIfFree, code);
  traceEnd(EV_RMPUPDATE, since, pfn, state, 0, code);
  if (code != RMP_OK) return code == RMP_ALREADY_ASSIGNED ? -EEXIST : -EFAULT;
  snpCount(SNPC_RMPUPDATES, 1);
  // B14: the clean-up label is reached on success too and gives the host its 2M mapping back.
  if (variant(V_B14) && (state & RMP_ASSIGNED) != 0) directMapRestore(pfn);
  return 0;
}

function rmpupdateRetry(pfn: u32, state: u64, onlyIfFree: bool, firstCode: i32): i32 {
  let code = firstCode;
  for (let tries: u32 = 0; code != RMP_OK && waitForRetry(pfn, (state & RMP_PAGESIZE_2M) != 0, code, tries); tries++) {
    code = rmpupdateInsn(pfn, state, onlyIfFree);
  }
  return code;
}

/**
 * Splits the 2M entry that covers `pfn`. 0; -EINVAL, -ENODEV; or the hardware's code. FAIL_INUSE is retried. kernel: psmash.
 * @context any; spins, then parks, bounded.
 */
export function snpRmptablePsmash(pfn: u32): i32 {
  if (load32(SNP_ENABLED) == 0) return -ENODEV;
  if (!rmpCovers(pfn)) return -EINVAL;
  const head = pfn & ~(<u32>PTRS_PER_2M - 1);
  const since = traceBegin();
  let code = RMP_FAIL_INUSE;
  // The host needs 4K mappings once parts of the region may come back to it.
  directMapSplit(head);
  for (let tries: u32 = 0; ; tries++) {
    code = psmashInsn(head);
    if (code != RMP_FAIL_INUSE || !waitForRetry(head, true, code, tries)) break;
  }
  traceEnd(EV_PSMASH, since, head, 0, 0, code);
  if (code == RMP_OK) snpCount(SNPC_PSMASHES, 1);
  return code;
}

/** Splits the 2M entry that covers `pfn` unless somebody else has meanwhile: 0 when the entry is 4K afterwards. */
export function psmashOrRaced(pfn: u32): i32 {
  const code = snpRmptablePsmash(pfn);
  return code != 0 && rmpCovers(pfn) && rmpLevel(pfn) != PG_LEVEL_2M ? 0 : code;
}

/** Assigns a page to a guest (asid 0 and immutable: to the firmware). 0 or negative errno, see rmpupdate. */
export function rmpMakePrivate(pfn: u32, gpa: u64, level: i32, asid: u32, immutable: bool): i32 {
  return rmpupdate(pfn, rmpState(gpa, level, asid, immutable), false);
}

/** Gives a page back to the hypervisor. 0 or negative errno, see rmpupdate. */
export function rmpMakeShared(pfn: u32, level: i32): i32 {
  return rmpupdate(pfn, level == PG_LEVEL_2M ? RMP_PAGESIZE_2M : 0, false);
}
