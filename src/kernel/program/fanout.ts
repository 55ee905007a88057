// Fan-out: one large piece of an invalidation is cut into 2M chunks, and the home workers of the partitions that hold the pages do the
// chunks in parallel. The caller waits, so the protocol around it (one begin, one end) stays as it is; only the two leaf loops that walk
// pages (the arch hook, freeing) are spread.
import { LC_JOB } from '../abi/classes';
import {
  PTRS_PER_2M, SH_PARTITION_COUNT, SH_STOP, SUBSYS_PROGRAM, TASK_FANOUT, WAIT_JOB,
} from '../abi/layout';
import {
  atomicAdd32, atomicLoad32, atomicStore32, atomicSub32, checkStop, current, futexWait, futexWake, load32, load64, store32, store64,
} from '../point';
import { mutexInit, mutexLock, mutexUnlock } from '../sync/mutex';
import { heartbeat, waitBegin, waitEnd } from '../task';

// SUBSYS_PROGRAM: the one job of the shard (JOB_LOCK serialises callers).
const JOB_LOCK: usize = SUBSYS_PROGRAM; // mutex
const JOB_SEQUENCE: usize = SUBSYS_PROGRAM + 64; // u32, raised for each job; home workers wait on it
const JOB_PENDING: usize = SUBSYS_PROGRAM + 128; // u32, home workers still at it; the caller waits on it
const JOB_HOMES: usize = SUBSYS_PROGRAM + 132; // u32, home workers that serve
const JOB_RUN: usize = SUBSYS_PROGRAM + 136; // u32, table index of (object, start u64, end u64) => void
const JOB_HOME_OF: usize = SUBSYS_PROGRAM + 140; // u32, table index of (object, start u64) => u32: partition of a chunk
const JOB_OBJECT: usize = SUBSYS_PROGRAM + 144; // u32
const JOB_START: usize = SUBSYS_PROGRAM + 152; // u64
const JOB_END: usize = SUBSYS_PROGRAM + 160; // u64
const JOB_HOME_MASK: usize = SUBSYS_PROGRAM + 168; // u32, bit p: partition p has a home worker

/** Below this many pages the hand-over costs more than it saves (a wake-up is 10-50 us, a page 25 ns). */
const FANOUT_MIN_PAGES: u64 = 8192;
const WAIT_ROUND_NS: i64 = 20_000_000;

export function fanoutInit(): void {
  mutexInit(JOB_LOCK, LC_JOB);
}

/** Whether this task asked for fan-out, the range is worth it and at least two homes serve. */
export function fanoutWanted(start: u64, end: u64): bool {
  return load32(current + TASK_FANOUT) != 0 && end - start >= FANOUT_MIN_PAGES && atomicLoad32(JOB_HOMES) >= 2;
}

/**
 * Runs `run(object, s, e)` for the 2M-aligned chunks of [start, end), each on the home worker of partition `homeOf(object, s)`, and waits
 * for all. Partitions without a home worker are served by the others in turn.
 * @context sleeps; the caller's locks protect the object for all workers.
 */
export function fanout(run: u32, homeOf: u32, object: usize, start: u64, end: u64): void {
  mutexLock(JOB_LOCK);
  store32(JOB_RUN, run);
  store32(JOB_HOME_OF, homeOf);
  store32(JOB_OBJECT, <u32>object);
  store64(JOB_START, start);
  store64(JOB_END, end);
  atomicStore32(JOB_PENDING, atomicLoad32(JOB_HOMES));
  atomicAdd32(JOB_SEQUENCE, 1);
  futexWake(JOB_SEQUENCE, 0xffffffff);
  waitBegin(JOB_LOCK, WAIT_JOB);
  let pending = atomicLoad32(JOB_PENDING);
  while (pending != 0) {
    futexWait(JOB_PENDING, pending, WAIT_ROUND_NS);
    heartbeat();
    checkStop();
    pending = atomicLoad32(JOB_PENDING);
  }
  waitEnd();
  mutexUnlock(JOB_LOCK);
}

/** Home workers that serve now. */
export function homeWorkerCount(): u32 { return atomicLoad32(JOB_HOMES); }

/** The nth served partition in the mask stands in for a partition without a home. */
function servedBy(mask: u32, partition: u32): u32 {
  if ((mask >>> partition) & 1) return partition;
  let n = partition % <u32>popcnt<u32>(mask);
  let rest = mask;
  for (; n != 0; n--) rest &= rest - 1;
  return <u32>ctz<u32>(rest);
}

/** Serves fan-out jobs of `partition` until the stop flag. The body of a home worker. Returns the number of jobs served. */
export function homeWorkerLoop(partition: i32): i32 {
  let served = 0;
  mutexLock(JOB_LOCK);
  const bit = <u32>1 << <u32>partition;
  store32(JOB_HOME_MASK, load32(JOB_HOME_MASK) | bit);
  atomicAdd32(JOB_HOMES, 1);
  let sequence = atomicLoad32(JOB_SEQUENCE);
  mutexUnlock(JOB_LOCK);
  while (atomicLoad32(SH_STOP) == 0) {
    if (atomicLoad32(JOB_SEQUENCE) == sequence) {
      futexWait(JOB_SEQUENCE, sequence, WAIT_ROUND_NS);
      heartbeat();
      continue;
    }
    sequence++;
    doShare(<u32>partition);
    served++;
    if (atomicSub32(JOB_PENDING, 1) == 1) futexWake(JOB_PENDING, 1);
  }
  return served;
}

/**
 * This home worker's chunks of the current job. The workers begin at different places: neighbouring chunks hang on the same nodes of the page cache's tree,
 * whose cache lines would go to and fro between workers that walk an interleaved file side by side.
 */
function doShare(partition: u32): void {
  const mask = load32(JOB_HOME_MASK);
  const start = load64(JOB_START);
  const end = load64(JOB_END);
  const before = <u64>popcnt<u32>(mask & ((<u32>1 << partition) - 1));
  const first = (start + (end - start) * before / <u64>popcnt<u32>(mask)) & ~(<u64>PTRS_PER_2M - 1);
  if (first <= start) {
    doChunks(partition, mask, start, end);
    return;
  }
  doChunks(partition, mask, first, end);
  doChunks(partition, mask, start, first);
}

/** The home worker's chunks of [from, to); neighbouring ones are done in one go. */
function doChunks(partition: u32, mask: u32, from: u64, to: u64): void {
  const object: usize = load32(JOB_OBJECT);
  const partitions = load32(SH_PARTITION_COUNT);
  let runStart: u64 = 0;
  let runEnd: u64 = 0;
  let start = from;
  while (start < to) {
    const next = min<u64>((start | (PTRS_PER_2M - 1)) + 1, to);
    if (servedBy(mask, call_indirect<u32>(load32(JOB_HOME_OF), object, start) % partitions) == partition) {
      if (runEnd != start) {
        if (runEnd != runStart) call_indirect<void>(load32(JOB_RUN), object, runStart, runEnd);
        runStart = start;
      }
      runEnd = next;
    }
    start = next;
  }
  if (runEnd != runStart) call_indirect<void>(load32(JOB_RUN), object, runStart, runEnd);
}
