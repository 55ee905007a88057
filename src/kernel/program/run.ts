// The interpreter: one thread runs one actor program here until the stop flag, its deadline or its limit; nothing of the host is called
// per operation but the clock.
import { SH_STOP, TASK_PROGRAM } from '../abi/layout';
import {
  ACTOR_CONVERTER, ACTOR_DISCARDER, ACTOR_HOME_WORKER, ACTOR_INVALIDATOR, ACTOR_MEMORY_FAILURE, ACTOR_POPULATOR, ACTOR_REBINDER, ACTOR_VCPU,
  END_DEADLINE, END_LIMIT, END_STOPPED, PR_DEADLINE_NS, PR_DONE, PR_INTERVAL_NS, PR_KIND, PR_OP_LIMIT, PR_PARTITION, PR_START_NS, PR_TASK, PR_VERDICT,
} from '../abi/program';
import { atomicLoad32, current, futexWait, load32, load64, loadF64, nowNs, store32, store64 } from '../point';
import { heartbeat } from '../task';
import { convertStep, discardStep, invalidateStep, memoryFailureStep, populateStep } from './ranges';
import { rebindStep } from './rebind';
import { vcpuStep } from './touch';
import { homeWorkerLoop } from './fanout';

/** Sleeping overshoots by 0.1 to 0.2 ms, so the last part of a paced wait is spun. */
const SPIN_NS: f64 = 300_000;
const NAP_MAX_NS: f64 = 20_000_000;
const START_POLL_NS: i64 = 1_000_000;

/**
 * Runs the actor program at `program` on the calling thread. Returns END_*.
 * @context no lock held; every operation enters and leaves the kernel with nothing held.
 */
export function runProgram(program: usize): i32 {
  store32(current + TASK_PROGRAM, <u32>program);
  store32(program + PR_TASK, <u32>current);
  const kind = load32(program + PR_KIND);
  let verdict: i32 = END_STOPPED;
  if (kind == ACTOR_HOME_WORKER) homeWorkerLoop(<i32>load32(program + PR_PARTITION));
  else verdict = runSteps(program, kind);
  store32(program + PR_VERDICT, <u32>verdict);
  store32(current + TASK_PROGRAM, 0);
  return verdict;
}

function runSteps(program: usize, kind: u32): i32 {
  if (!waitForStart(program)) return END_STOPPED;
  const intervalNs = loadF64(program + PR_INTERVAL_NS);
  const deadlineNs = loadF64(program + PR_DEADLINE_NS);
  const limit = load64(program + PR_OP_LIMIT);
  let dueNs = loadF64(program + PR_START_NS);
  while (atomicLoad32(SH_STOP) == 0) {
    heartbeat();
    let startNs = nowNs();
    if (deadlineNs > 0 && startNs >= deadlineNs) return END_DEADLINE;
    if (intervalNs > 0) {
      if (startNs < dueNs && !waitUntil(dueNs)) return END_STOPPED;
      // Open loop: latency counts from the intended start, so a stall shows in every operation that it delayed.
      startNs = dueNs;
      dueNs += intervalNs;
    }
    const done = load64(program + PR_DONE) + <u64>step(program, kind, startNs);
    store64(program + PR_DONE, done);
    if (limit != 0 && done >= limit) return END_LIMIT;
  }
  return END_STOPPED;
}

/** Waits until the host has set the starting time, which it does once all actors of the run are here; false when the run was stopped. */
function waitForStart(program: usize): bool {
  while (loadF64(program + PR_START_NS) == 0) {
    if (atomicLoad32(SH_STOP) != 0) return false;
    futexWait(current + TASK_PROGRAM, load32(current + TASK_PROGRAM), START_POLL_NS);
    heartbeat();
  }
  return waitUntil(loadF64(program + PR_START_NS));
}

/** One step of an actor; returns the operations it performed. */
function step(program: usize, kind: u32, startNs: f64): u32 {
  switch (kind) {
    case ACTOR_VCPU: return vcpuStep(program, startNs);
    case ACTOR_INVALIDATOR: return invalidateStep(program, startNs);
    case ACTOR_CONVERTER: return convertStep(program, startNs);
    case ACTOR_REBINDER: return rebindStep(program, startNs);
    case ACTOR_MEMORY_FAILURE: return memoryFailureStep(program, startNs);
    case ACTOR_POPULATOR: return populateStep(program, startNs);
    case ACTOR_DISCARDER: return discardStep(program, startNs);
    default: return 0;
  }
}

/** Waits until the instant `dueNs`; false when the run was stopped meanwhile. */
function waitUntil(dueNs: f64): bool {
  let leftNs = dueNs - nowNs();
  while (leftNs > 0) {
    if (atomicLoad32(SH_STOP) != 0) return false;
    if (leftNs > SPIN_NS) {
      // Nobody wakes this word: it is the task's own, and its value does not change meanwhile.
      futexWait(current + TASK_PROGRAM, load32(current + TASK_PROGRAM), <i64>min<f64>(leftNs - SPIN_NS, NAP_MAX_NS));
      heartbeat();
    }
    leftNs = dueNs - nowNs();
  }
  return true;
}
