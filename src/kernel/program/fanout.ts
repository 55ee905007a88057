// Fan-out: one large piece of an invalidation is cut into 2M chunks, and the home workers of the partitions that hold the pages do the
// chunks in parallel: the arch hook and then the freeing of each. The protocol around it (one begin, one end) stays the caller's. A home begins with its
// own partition's chunks, the caller with those of a home that it stands in for; who has nothing left takes over what a late one has not begun: the system's
// scheduler may well let a woken thread wait for milliseconds behind another one.
import { LC_JOB } from '../abi/classes';
import {
  PTRS_PER_2M, SH_PARTITION_COUNT, SH_STOP, SUBSYS_FANOUT, SUBSYS_PROGRAM, TASK_FANOUT, TASK_HEARTBEAT, WAIT_JOB,
} from '../abi/layout';
import {
  atomicAdd32, atomicAnd32, atomicCas32, atomicLoad32, atomicLoad64, atomicOr32, atomicStore32, atomicStore64, atomicSub32, atomicXchg32, checkStop, cpuRelax, current, fillBytes, futexWait, futexWake, load32, load64,
  loadStatic32, nowNs, store32, store64,
} from '../point';
import { mutexInit, mutexLock, mutexUnlock } from '../sync/mutex';
import { heartbeat, waitBegin, waitEnd } from '../task';

// SUBSYS_PROGRAM: the one job of the shard (JOB_LOCK serialises callers).
const JOB_LOCK: usize = SUBSYS_PROGRAM; // mutex
const JOB_SEQUENCE: usize = SUBSYS_PROGRAM + 64; // u32, raised for each job; home workers wait on it
const JOB_STATE: usize = SUBSYS_PROGRAM + 128; // u32, JOB_OPEN and below it the home workers that are at it
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
const JOB_CALLER: usize = SUBSYS_PROGRAM + 192; // u32, address of the task that has announced jobs, 0: none
const JOB_ASIDE: usize = SUBSYS_PROGRAM + 196; // u32, partition + 1 of the home worker that the caller stands in for; that one waits on this word. 0: none
const JOB_READY: usize = SUBSYS_PROGRAM + 200; // u64, bit p: the home worker of partition p stands by for an announced job
const JOB_CAME: usize = SUBSYS_PROGRAM + 208; // u64, bit p: it has joined the job
const JOB_TAKEN: usize = SUBSYS_FANOUT; // SEGMENTS_MAX x 2 x u32, bit p of 64: somebody has taken home p's chunks of the segment

// What came of watching the caller.
const JOINED: u32 = 0;
const ON_ITS_CPU: u32 = 1;
const TOO_LONG: u32 = 2;

/** Home workers may still join the job. */
const JOB_OPEN: u32 = 0x80000000;
/** No partition. */
const NOBODY: u32 = 0xffffffff;
const SEGMENTS_MAX: u32 = 64;
/** Below this many pages the hand-over costs more than it saves: to wake the homes takes the caller 50 us, they need 100 us more, and a page is 23 ns. */
const FANOUT_MIN_PAGES: u64 = 16384;
const WAIT_ROUND_NS: i64 = 20_000_000;
/** A home worker that wakes up sees the caller get on within this time, or it has its CPU: the zap of a table of 512 entries takes less than a microsecond. */
const FIRST_BEAT_NS: f64 = 10_000;
/** Later it stands by without a heartbeat for this long, */
const STILL_NS: f64 = 100_000;
/** and for this long in any case. */
const STAND_BY_NS: f64 = 2_000_000;
/** The caller looks for this long whether the homes are done, before it sleeps. */
const LOOK_NS: f64 = 50_000;

/** @context boot. */
export function fanoutInit(): void {
  mutexInit(JOB_LOCK, LC_JOB);
}

/** Whether this task asked for fan-out, the range is worth it and at least two homes serve. */
export function fanoutWanted(start: u64, end: u64): bool {
  return loadStatic32(current + TASK_FANOUT) != 0 && end - start >= FANOUT_MIN_PAGES && atomicLoad32(JOB_HOMES) >= 2;
}

/**
 * A job of this task is about to come: home workers wake up and stand by while the caller does what comes before it, with heartbeats; to wake a thread takes
 * a virtual machine 100 us and more. One of them is left asleep, and the caller does its share: the one that would run on the caller's CPU. Who wakes up there instead
 * (nothing gets on while he looks) changes places with the one aside.
 * @context any; fanoutOver comes after it.
 */
export function fanoutAnnounce(): void {
  atomicStore32(JOB_CALLER, <u32>current);
  ring();
}

/** No job comes any more. @context as fanoutAnnounce. */
export function fanoutOver(): void { atomicCas32(JOB_CALLER, <u32>current, 0); }

/** Wakes the home workers, but for the one aside. */
function ring(): void {
  atomicAdd32(JOB_SEQUENCE, 1);
  futexWake(JOB_SEQUENCE, 0xffffffff);
}

/** Puts the home worker of this partition aside (NOBODY: none). The one that was there is as the others again. */
function setAside(partition: u32): void {
  const before = atomicXchg32(JOB_ASIDE, partition + 1);
  if (before != 0 && before != partition + 1) futexWake(JOB_ASIDE, 0xffffffff);
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
  atomicStore64(JOB_CAME, 0);
  cutSegments(start, end);
  atomicStore32(JOB_STATE, JOB_OPEN);
  const ready = atomicLoad64(JOB_READY);
  if (ready == 0) ring();
  const own = doShare(standIn(ready));
  lookForHomes();
  waitBegin(JOB_LOCK, WAIT_JOB);
  awaitHomes();
  // A home that comes at this moment finds nothing, and is waited for.
  atomicAnd32(JOB_STATE, ~JOB_OPEN);
  awaitHomes();
  waitEnd();
  const sum = own + atomicLoad32(JOB_SUM);
  noteAbsent();
  mutexUnlock(JOB_LOCK);
  return sum;
}

/** The partition whose home worker the caller stands in for: the one aside, else one that does not stand by. */
function standIn(ready: u64): u32 {
  const aside = atomicLoad32(JOB_ASIDE);
  const mask = load64(JOB_HOME_MASK);
  if (aside != 0) return aside - 1;
  return nthHome((mask & ~ready) != 0 ? mask & ~ready : mask, 0);
}

/** Who did not come to this job is aside at the next. If all came they are too many, if nobody came the wrong one was aside. @context JOB_LOCK. */
function noteAbsent(): void {
  const came = atomicLoad64(JOB_CAME);
  const absent = load64(JOB_HOME_MASK) & ~came;
  const aside = atomicLoad32(JOB_ASIDE);
  if (came == 0 || absent == 0) setAside(NOBODY);
  else if (aside == 0 || ((absent >>> <u64>(aside - 1)) & 1) == 0) setAside(<u32>ctz<u64>(absent));
}

/** Nothing is left to take: who is still at it is at his last segment, and a wake-up would take longer. */
function lookForHomes(): void {
  const untilNs = nowNs() + LOOK_NS;
  while (inside(atomicLoad32(JOB_STATE)) != 0 && nowNs() < untilNs) cpuRelax();
}

/** Home workers that are at the job. */
// @ts-ignore: decorator
@inline
function inside(state: u32): u32 { return state & ~JOB_OPEN; }

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
/** Home workers that stand by for an announced job. */
export function homeWorkersReady(): u32 { return <u32>popcnt<u64>(atomicLoad64(JOB_READY)); }

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
    const aside = atomicLoad32(JOB_ASIDE) == <u32>partition + 1;
    if (aside || newest == sequence) {
      if (aside) futexWait(JOB_ASIDE, <u32>partition + 1, WAIT_ROUND_NS);
      else futexWait(JOB_SEQUENCE, sequence, WAIT_ROUND_NS);
      heartbeat();
      continue;
    }
    sequence = newest;
    if (!standBy(<u32>partition)) continue;
    // What rang for this job while this home was on its way to it.
    sequence = atomicLoad32(JOB_SEQUENCE);
    atomicAdd32(JOB_SUM, doShare(<u32>partition));
    served++;
    if (inside(atomicSub32(JOB_STATE, 1)) == 1) futexWake(JOB_STATE, 1);
  }
  return served;
}

/** Joins the job that is open, or waits for the one that was announced while its caller gets on. Whether a job was joined. */
function standBy(partition: u32): bool {
  if (join(partition)) return true;
  const caller: usize = atomicLoad32(JOB_CALLER);
  if (CONTROLLED || caller == 0) return false;
  atomicOr32(maskWord(JOB_READY, partition), maskBit(partition));
  const seen = watch(partition, caller);
  atomicAnd32(maskWord(JOB_READY, partition), ~maskBit(partition));
  if (seen == ON_ITS_CPU) setAside(partition);
  return seen == JOINED || join(partition);
}

// @ts-ignore: decorator
@inline
function maskWord(mask: usize, partition: u32): usize { return mask + (<usize>(partition >>> 5) << 2); }
// @ts-ignore: decorator
@inline
function maskBit(partition: u32): u32 { return <u32>1 << (partition & 31); }

/** Looks for the job, and now and then at the heartbeats of its caller: each look takes him the cache line away. */
function watch(partition: u32, caller: usize): u32 {
  const sinceNs = nowNs();
  let seen: u32 = ON_ITS_CPU;
  let beat = atomicLoad32(caller + TASK_HEARTBEAT);
  let now = sinceNs;
  let lookNs = sinceNs + FIRST_BEAT_NS;
  while (now - sinceNs < STAND_BY_NS) {
    if (join(partition)) return JOINED;
    now = nowNs();
    if (now < lookNs) continue;
    const newest = atomicLoad32(caller + TASK_HEARTBEAT);
    if (atomicLoad32(JOB_CALLER) != <u32>caller) return TOO_LONG;
    if (newest == beat) return seen;
    beat = newest;
    seen = TOO_LONG;
    lookNs = now + STILL_NS;
  }
  return TOO_LONG;
}

/** Counts this home worker in, unless the job is over: its words may be the next one's at any moment then. */
function join(partition: u32): bool {
  let state = atomicLoad32(JOB_STATE);
  while ((state & JOB_OPEN) != 0) {
    const seen = atomicCas32(JOB_STATE, state, state + 1);
    if (seen == state) {
      atomicOr32(maskWord(JOB_CAME, partition), maskBit(partition));
      return true;
    }
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
