// Fan-out: one large piece of an invalidation is cut into 2M chunks, and the home workers of the partitions that hold the pages do the
// chunks in parallel. The protocol around it (one begin, one end) stays the caller's; only the two leaf loops that walk pages (the arch hook, freeing) are
// spread. A home begins with its own partition's chunks; who has nothing left, the caller first of all, takes over what a late home has not begun: the
// system's scheduler may well let a woken thread wait for milliseconds behind another one.
import { LC_JOB } from '../abi/classes';
import {
  PTRS_PER_2M, SH_PARTITION_COUNT, SH_STOP, SUBSYS_FANOUT, SUBSYS_PROGRAM, TASK_FANOUT, WAIT_JOB,
} from '../abi/layout';
import {
  atomicAdd32, atomicAnd32, atomicCas32, atomicLoad32, atomicOr32, atomicStore32, atomicSub32, checkStop, cpuRelax, current, fillBytes, futexWait, futexWake, load32, load64, loadStatic32, nowNs, store32, store64,
} from '../point';
import { mutexInit, mutexLock, mutexUnlock } from '../sync/mutex';
import { heartbeat, waitBegin, waitEnd } from '../task';

// SUBSYS_PROGRAM: the one job of the shard (JOB_LOCK serialises callers).
const JOB_LOCK: usize = SUBSYS_PROGRAM; // mutex
const JOB_SEQUENCE: usize = SUBSYS_PROGRAM + 64; // u32, raised for each job; home workers wait on it
const JOB_STATE: usize = SUBSYS_PROGRAM + 128; // u32, JOB_OPEN, JOB_JOINED and below them the home workers that are at it
const JOB_HOMES: usize = SUBSYS_PROGRAM + 132; // u32, home workers that serve
const JOB_RUN: usize = SUBSYS_PROGRAM + 136; // u32, table index of (object, start u64, end u64) => u32
const JOB_HOME_OF: usize = SUBSYS_PROGRAM + 140; // u32, table index of (object, start u64) => u32: partition of a chunk
const JOB_OBJECT: usize = SUBSYS_PROGRAM + 144; // u32
const JOB_SEGMENTS: usize = SUBSYS_PROGRAM + 148; // u32
const JOB_START: usize = SUBSYS_PROGRAM + 152; // u64
const JOB_END: usize = SUBSYS_PROGRAM + 160; // u64
const JOB_STEP: usize = SUBSYS_PROGRAM + 168; // u64, pages of a segment; whole 2M chunks
const JOB_HOME_MASK: usize = SUBSYS_PROGRAM + 176; // u64, bit p: partition p has a home worker
const JOB_SUM: usize = SUBSYS_PROGRAM + 184; // u32, sum of what JOB_RUN has returned to those that have left
const JOB_TAKEN: usize = SUBSYS_FANOUT; // SEGMENTS_MAX x 2 x u32, bit p of 64: somebody has taken home p's chunks of the segment

/** Home workers may still join the job. */
const JOB_OPEN: u32 = 0x80000000;
/** One has joined. */
const JOB_JOINED: u32 = 0x40000000;
const SEGMENTS_MAX: u32 = 64;
/** Below this many pages the hand-over costs more than it saves (a wake-up is 10-50 us, a page 25 ns). */
const FANOUT_MIN_PAGES: u64 = 8192;
/** If no home worker has come after this time, the caller begins itself. To wake a sleeping thread takes a virtual machine 100 us and more. */
const LATE_NS: i64 = 200_000;
/** A home worker looks for the next job for this long before it sleeps: an invalidation's two jobs follow one another. */
const LINGER_NS: f64 = 20_000;
const WAIT_ROUND_NS: i64 = 20_000_000;

export function fanoutInit(): void {
  mutexInit(JOB_LOCK, LC_JOB);
}

/** Whether this task asked for fan-out, the range is worth it and at least two homes serve. */
export function fanoutWanted(start: u64, end: u64): bool {
  return loadStatic32(current + TASK_FANOUT) != 0 && end - start >= FANOUT_MIN_PAGES && atomicLoad32(JOB_HOMES) >= 2;
}

/**
 * Runs `run(object, s, e)` for the 2M-aligned chunks of [start, end), on the home worker of partition `homeOf(object, s)` unless that one is late. Returns
 * when all are done, with the sum of what `run` returned. Partitions without a home worker are served by the others in turn. `run` may run for disjoint ranges at once.
 * @context sleeps; the caller's locks protect the object for all workers.
 */
export function fanout(run: u32, homeOf: u32, object: usize, start: u64, end: u64): u32 {
  mutexLock(JOB_LOCK);
  store32(JOB_RUN, run);
  store32(JOB_HOME_OF, homeOf);
  store32(JOB_OBJECT, <u32>object);
  store64(JOB_START, start);
  store64(JOB_END, end);
  atomicStore32(JOB_SUM, 0);
  cutSegments(start, end);
  atomicStore32(JOB_STATE, JOB_OPEN);
  atomicAdd32(JOB_SEQUENCE, 1);
  futexWake(JOB_SEQUENCE, 0xffffffff);
  // While the caller sleeps its CPU is a home's. Who leaves has seen that nothing is left to take.
  futexWait(JOB_STATE, JOB_OPEN, LATE_NS);
  const own = atomicLoad32(JOB_STATE) == JOB_OPEN ? takeOver(homeCount()) : 0;
  waitBegin(JOB_LOCK, WAIT_JOB);
  awaitHomes();
  // A home that comes at this moment finds nothing, and is waited for.
  atomicAnd32(JOB_STATE, ~JOB_OPEN);
  awaitHomes();
  waitEnd();
  const sum = own + atomicLoad32(JOB_SUM);
  mutexUnlock(JOB_LOCK);
  return sum;
}

/** Home workers that are at the job. */
// @ts-ignore: decorator
@inline
function inside(state: u32): u32 { return state & ~(JOB_OPEN | JOB_JOINED); }

/** Sleeps until no home worker is at the job. */
function awaitHomes(): void {
  let state = atomicLoad32(JOB_STATE);
  while (inside(state) != 0) {
    futexWait(JOB_STATE, state, WAIT_ROUND_NS);
    heartbeat();
    checkStop();
    state = atomicLoad32(JOB_STATE);
  }
}

/** Home workers that serve now. */
export function homeWorkerCount(): u32 { return atomicLoad32(JOB_HOMES); }

/** Segments of whole chunks, aligned as the chunks are, nobody's yet. */
function cutSegments(start: u64, end: u64): void {
  const chunks = ((end - 1) >>> 9) - (start >>> 9) + 1;
  const perSegment = (chunks + SEGMENTS_MAX - 1) / SEGMENTS_MAX;
  const segments = <u32>((chunks + perSegment - 1) / perSegment);
  store64(JOB_STEP, perSegment * PTRS_PER_2M);
  store32(JOB_SEGMENTS, segments);
  fillBytes(JOB_TAKEN, 0, segments << 3);
}

/** The nth served partition in the mask stands in for a partition without a home. */
function servedBy(mask: u64, partition: u32): u32 {
  if ((mask >>> partition) & 1) return partition;
  return nthHome(mask, partition % <u32>popcnt<u64>(mask));
}

/** The nth of the partitions that have a home worker. */
function nthHome(mask: u64, n: u32): u32 {
  let rest = mask;
  for (; n != 0; n--) rest &= rest - 1;
  return <u32>ctz<u64>(rest);
}

/** Partitions that have a home worker. */
function homeCount(): u32 { return <u32>popcnt<u64>(load64(JOB_HOME_MASK)); }

/** Serves fan-out jobs of `partition` (below 64) until the stop flag. The body of a home worker. Returns the number of jobs it came in time for. */
export function homeWorkerLoop(partition: i32): i32 {
  let served = 0;
  mutexLock(JOB_LOCK);
  store64(JOB_HOME_MASK, load64(JOB_HOME_MASK) | (<u64>1 << <u64>partition));
  atomicAdd32(JOB_HOMES, 1);
  let sequence = atomicLoad32(JOB_SEQUENCE);
  mutexUnlock(JOB_LOCK);
  while (atomicLoad32(SH_STOP) == 0) {
    const newest = atomicLoad32(JOB_SEQUENCE);
    if (newest == sequence) {
      futexWait(JOB_SEQUENCE, sequence, WAIT_ROUND_NS);
      heartbeat();
      continue;
    }
    sequence = newest;
    if (!join()) continue;
    atomicAdd32(JOB_SUM, doShare(<u32>partition));
    served++;
    // The last one out leaves its CPU to the caller.
    if (inside(atomicSub32(JOB_STATE, 1)) == 1) futexWake(JOB_STATE, 1);
    else linger(sequence);
  }
  return served;
}

/** Waits a moment for a job behind number `sequence`. */
function linger(sequence: u32): void {
  if (CONTROLLED) return;
  const untilNs = nowNs() + LINGER_NS;
  while (atomicLoad32(JOB_SEQUENCE) == sequence && nowNs() < untilNs) cpuRelax();
}

/** Counts this home worker in, unless the job is over: its words may be the next one's at any moment then. */
function join(): bool {
  let state = atomicLoad32(JOB_STATE);
  while ((state & JOB_OPEN) != 0) {
    const seen = atomicCas32(JOB_STATE, state, (state | JOB_JOINED) + 1);
    if (seen == state) return true;
    state = seen;
  }
  return false;
}

/**
 * This home worker's chunks of the job, then those that others have not begun. The homes begin at different places: neighbouring chunks hang on the
 * same nodes of the page cache's tree, whose cache lines would go to and fro between workers that walk an interleaved file side by side.
 */
function doShare(partition: u32): u32 {
  const rank = <u32>popcnt<u64>(load64(JOB_HOME_MASK) & ((<u64>1 << <u64>partition) - 1));
  const segments = load32(JOB_SEGMENTS);
  const first = firstSegment(rank);
  let sum: u32 = 0;
  for (let n: u32 = 0; n < segments; n++) sum += take((first + n) % segments, partition);
  return sum + takeOver(rank);
}

/** Segment at which the home worker of this rank begins. */
function firstSegment(rank: u32): u32 { return load32(JOB_SEGMENTS) * rank / homeCount(); }

/** What home workers other than that of `rank` have not begun, of each in the order in which it would come to it last. */
function takeOver(rank: u32): u32 {
  const mask = load64(JOB_HOME_MASK);
  const homes = <u32>popcnt<u64>(mask);
  const segments = load32(JOB_SEGMENTS);
  let sum: u32 = 0;
  for (let k: u32 = 1; k <= homes; k++) {
    const other = (rank + k) % homes;
    if (other == rank) continue;
    const first = firstSegment(other);
    for (let n = segments; n != 0; n--) sum += take((first + n - 1) % segments, nthHome(mask, other));
  }
  return sum;
}

/** Does home `partition`'s chunks of the segment if nobody has taken them; neighbouring ones in one go. Returns the sum of what `run` returned, as those below. */
function take(segment: u32, partition: u32): u32 {
  const word = JOB_TAKEN + (<usize>segment << 3) + (<usize>(partition >>> 5) << 2);
  const bit = <u32>1 << (partition & 31);
  if ((atomicLoad32(word) & bit) != 0 || (atomicOr32(word, bit) & bit) != 0) return 0;
  const step = load64(JOB_STEP);
  const from = (load64(JOB_START) & ~(<u64>PTRS_PER_2M - 1)) + step * segment;
  return doChunks(partition, load64(JOB_HOME_MASK), max<u64>(from, load64(JOB_START)), min<u64>(from + step, load64(JOB_END)));
}

/** The home worker's chunks of [from, to); neighbouring ones are done in one go. */
function doChunks(partition: u32, mask: u64, from: u64, to: u64): u32 {
  const object: usize = load32(JOB_OBJECT);
  const partitions = load32(SH_PARTITION_COUNT);
  let runStart: u64 = 0;
  let runEnd: u64 = 0;
  let sum: u32 = 0;
  let start = from;
  while (start < to) {
    const next = min<u64>((start | (PTRS_PER_2M - 1)) + 1, to);
    if (servedBy(mask, call_indirect<u32>(load32(JOB_HOME_OF), object, start) % partitions) == partition) {
      if (runEnd != start) {
        if (runEnd != runStart) sum += call_indirect<u32>(load32(JOB_RUN), object, runStart, runEnd);
        runStart = start;
      }
      runEnd = next;
    }
    start = next;
  }
  if (runEnd != runStart) sum += call_indirect<u32>(load32(JOB_RUN), object, runStart, runEnd);
  return sum;
}
