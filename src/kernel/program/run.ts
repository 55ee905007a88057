// The interpreter: one thread runs one actor program here until the stop flag, its deadline or its limit; nothing of the host is called
// per operation but the clock.
import { SH_STOP, TASK_PAUSE_NS, TASK_PROGRAM } from '../abi/layout';
import {
  ACTOR_CACHE_WRITER, ACTOR_CONVERTER, ACTOR_DEVICE, ACTOR_DISCARDER, ACTOR_HOME_WORKER, ACTOR_HOST_WRITER, ACTOR_INTERRUPTER, ACTOR_INVALIDATOR, ACTOR_LIFECYCLE, ACTOR_MEMORY_FAILURE,
  ACTOR_MIX, ACTOR_MMIO_DEVICE, ACTOR_PAGE_STATE, ACTOR_POPULATOR, ACTOR_REAPER, ACTOR_REBINDER, ACTOR_RECLAIMER, ACTOR_REGION, ACTOR_RMP_STORMER, ACTOR_VCPU, END_DEADLINE, END_LEFT, END_LIMIT, END_STOPPED, PR_AGAIN, PR_AWAY_NS, PR_BEGAN_NS, PR_BURST, PR_DEADLINE_NS, PR_DONE,
  PR_KIND, PR_LATE_NS, PR_LOAD_NS, PR_MISSED, PR_MIX, PR_NEXT, PR_OPEN, PR_OP_LIMIT, PR_PARTITION, PR_RECORDED, PR_RECORDING, PR_START_NS, PR_STEPS, PR_TASK, PR_THINK_NS, PR_VERDICT,
  PR_VICTIM, PR_WARMUP_END_NS,
} from '../abi/program';
import { drawAway, drawLeave, victimAwait } from '../perturb';
import { atomicLoad32, current, futexWait, load32, load64, loadF64, loadStatic32, nowNs, store32, store64, storeF64 } from '../point';
import { rcuAllQs, rcuUserEnter, rcuUserExit } from '../sync/rcu';
import { heartbeat } from '../task';
import { giveBack, grant } from './budget';
import { deviceStep, mmioDeviceStep } from './devices';
import { interruptStep, pageStateStep } from './exits';
import { drawThink, firstArrival, instantOf, nextArrival, pauseEnd, stepsBetween, waitUntil } from './pacing';
import { drawU32 } from './random';
import { convertStep, discardStep, invalidateStep, memoryFailureStep, populateStep } from './ranges';
import { lifecycleStep } from './lifecycle';
import { rebindStep } from './rebind';
import { stormStep } from './storm';
import { vcpuStep } from './touch';
import { runInTurn } from './turns';
import { homeWorkerLoop } from './fanout';
import { cachedWriteStep, hostWriteStep, reapStep, reclaimStep, regionStep } from './vmm';

const START_POLL_NS: i64 = 1_000_000;
/** Arrivals that were missed are counted one by one up to so many; the others by the integral of the rate. */
const MISSED_MOST: u32 = 1 << 20;

/**
 * Runs the actor program at `program` on the calling thread, with those that are linked to it in turn. Returns its END_*.
 * @context no lock held; every operation enters and leaves the kernel with nothing held.
 */
export function runProgram(program: usize): i32 {
  rcuUserExit();
  const verdict = load32(program + PR_NEXT) != 0 ? runInTurn(program) : runAlone(program);
  rcuUserEnter();
  store32(current + TASK_PROGRAM, 0);
  if (PERTURBED) storeF64(current + TASK_PAUSE_NS, 0);
  return verdict;
}

function runAlone(program: usize): i32 {
  store32(current + TASK_PROGRAM, <u32>program);
  store32(program + PR_TASK, <u32>current);
  const kind = load32(program + PR_KIND);
  let verdict: i32 = END_STOPPED;
  if (kind == ACTOR_HOME_WORKER) homeWorkerLoop(<i32>load32(program + PR_PARTITION));
  else verdict = runSteps(program, kind);
  store32(program + PR_VERDICT, <u32>verdict);
  return verdict;
}

function runSteps(program: usize, kind: u32): i32 {
  if (!waitForStart(program)) return END_STOPPED;
  const leaveNs = drawLeave();
  if (PERTURBED && load32(program + PR_VICTIM) != 0) victimAwait();
  return load32(program + PR_OPEN) == 0 ? runClosed(program, kind, leaveNs) : runOpen(program, kind, leaveNs);
}

/** The thread leaves at `leaveNs` (0: never). Another one, or this, goes on with the program later. */
// @ts-ignore: decorator
@inline
export function leaves(program: usize, leaveNs: f64, nowNs: f64): bool {
  return PERTURBED && leaveNs != 0 && nowNs >= leaveNs && left(program);
}

function left(program: usize): bool {
  storeF64(program + PR_AWAY_NS, drawAway());
  // Its ring of recent operations may soon be another actor's.
  store32(program + PR_TASK, 0);
  return true;
}

/** Closed loop: each step begins when the one before has ended and the think time is over. */
function runClosed(program: usize, kind: u32, leaveNs: f64): i32 {
  const deadlineNs = loadF64(program + PR_DEADLINE_NS);
  const thinks = loadF64(program + PR_THINK_NS) != 0;
  while (atomicLoad32(SH_STOP) == 0) {
    heartbeat();
    rcuAllQs();
    const startNs = nowNs();
    if (deadlineNs > 0 && startNs >= deadlineNs) return END_DEADLINE;
    if (leaves(program, leaveNs, startNs)) return END_LEFT;
    const resumeNs = pauseEnd(program, startNs);
    if (resumeNs > startNs) {
      waitUntil(capped(resumeNs, deadlineNs));
      continue;
    }
    if (!grant(program, startNs)) return END_LIMIT;
    if (account(program, step(program, kind, startNs))) return END_LIMIT;
    if (thinks) waitUntil(capped(nowNs() + drawThink(program), deadlineNs));
  }
  return END_STOPPED;
}

/** Open loop: steps are due by the clock, and latency counts from then, so that a stall shows in every operation that it delayed. */
function runOpen(program: usize, kind: u32, leaveNs: f64): i32 {
  const deadlineNs = loadF64(program + PR_DEADLINE_NS);
  const burst = load32(program + PR_BURST);
  let t = load32(program + PR_AGAIN) != 0 ? loadF64(program + PR_LOAD_NS) : firstArrival(program);
  while (atomicLoad32(SH_STOP) == 0) {
    if (PERTURBED && leaveNs != 0 && leaves(program, leaveNs, nowNs())) {
      store32(program + PR_AGAIN, 1);
      storeF64(program + PR_LOAD_NS, t);
      return END_LEFT;
    }
    const dueNs = instantOf(program, t);
    for (let n: u32 = 0; n < burst; n++) {
      heartbeat();
      rcuAllQs();
      const atNs = waitUntil(capped(dueNs, deadlineNs));
      if (atNs < 0) return END_STOPPED;
      if (deadlineNs > 0 && atNs >= deadlineNs) return missed(program, t, burst - n);
      storeF64(program + PR_BEGAN_NS, atNs);
      if (atNs - dueNs > loadF64(program + PR_LATE_NS)) storeF64(program + PR_LATE_NS, atNs - dueNs);
      if (!grant(program, dueNs)) return END_LIMIT;
      if (account(program, step(program, kind, dueNs))) return END_LIMIT;
    }
    t = nextArrival(program, t);
  }
  return END_STOPPED;
}

// @ts-ignore: decorator
@inline
function capped(dueNs: f64, deadlineNs: f64): f64 {
  return deadlineNs > 0 ? min<f64>(dueNs, deadlineNs) : dueNs;
}

/** Counts the steps that were due before the deadline and were not made: `left` of the arrival at load time `t`, and those after it. */
export function missed(program: usize, t: f64, left: u32): i32 {
  const deadlineNs = loadF64(program + PR_DEADLINE_NS);
  const warmupEndNs = loadF64(program + PR_WARMUP_END_NS);
  let count: u64 = 0;
  let steps: u64 = left;
  let looked: u32 = 0;
  for (let dueNs = instantOf(program, t); dueNs < deadlineNs && atomicLoad32(SH_STOP) == 0; dueNs = instantOf(program, t)) {
    // A thread that is hours behind has more of them than it can count one by one.
    if (looked++ == MISSED_MOST) {
      count += stepsBetween(program, max<f64>(dueNs, warmupEndNs), deadlineNs);
      break;
    }
    if (dueNs >= warmupEndNs) count += steps;
    steps = load32(program + PR_BURST);
    t = nextArrival(program, t);
  }
  store64(program + PR_MISSED, count);
  return END_DEADLINE;
}

/** Counts a step of `operations`; true when the actor has done all that it was to do. */
export function account(program: usize, operations: u32): bool {
  store64(program + PR_DONE, load64(program + PR_DONE) + <u64>operations);
  if (load32(program + PR_RECORDING) == 0) return false;
  giveBack(program, operations);
  const recorded = load64(program + PR_RECORDED) + <u64>operations;
  store64(program + PR_RECORDED, recorded);
  store64(program + PR_STEPS, load64(program + PR_STEPS) + 1);
  const limit = load64(program + PR_OP_LIMIT);
  return limit != 0 && recorded >= limit;
}

/** Waits until the host has set the starting time, which it does once all actors of the run are here; false when the run was stopped. */
export function waitForStart(program: usize): bool {
  while (loadF64(program + PR_START_NS) == 0) {
    if (atomicLoad32(SH_STOP) != 0) return false;
    futexWait(current + TASK_PROGRAM, loadStatic32(current + TASK_PROGRAM), START_POLL_NS);
    heartbeat();
  }
  return waitUntil(loadF64(program + PR_START_NS)) >= 0;
}

/** One step of an actor; returns the operations it performed. */
export function step(program: usize, kind: u32, startNs: f64): u32 {
  switch (kind) {
    case ACTOR_VCPU: return vcpuStep(program, startNs);
    case ACTOR_INVALIDATOR: return invalidateStep(program, startNs);
    case ACTOR_CONVERTER: return convertStep(program, startNs);
    case ACTOR_REBINDER: return rebindStep(program, startNs);
    case ACTOR_MEMORY_FAILURE: return memoryFailureStep(program, startNs);
    case ACTOR_POPULATOR: return populateStep(program, startNs);
    case ACTOR_DISCARDER: return discardStep(program, startNs);
    case ACTOR_RMP_STORMER: return stormStep(program, startNs);
    case ACTOR_LIFECYCLE: return lifecycleStep(program, startNs);
    case ACTOR_HOST_WRITER: return hostWriteStep(program, startNs);
    case ACTOR_DEVICE: return deviceStep(program, startNs);
    case ACTOR_RECLAIMER: return reclaimStep(program, startNs);
    case ACTOR_REAPER: return reapStep(program, startNs);
    case ACTOR_INTERRUPTER: return interruptStep(program, startNs);
    case ACTOR_PAGE_STATE: return pageStateStep(program, startNs);
    case ACTOR_CACHE_WRITER: return cachedWriteStep(program, startNs);
    case ACTOR_MMIO_DEVICE: return mmioDeviceStep(program, startNs);
    case ACTOR_REGION: return regionStep(program, startNs);
    case ACTOR_MIX: return step(program, drawKind(program), startNs);
    default: return 0;
  }
}

/** Draws what an actor of a mix does next: the first kind whose bound the draw stays below. */
function drawKind(program: usize): u32 {
  const draw = drawU32(program) >> 1;
  let kind: u32 = ACTOR_VCPU;
  while (kind < <u32>ACTOR_DISCARDER && draw >= load32(program + PR_MIX + <usize>kind * 4)) kind++;
  return kind;
}
