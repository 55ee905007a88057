// When the steps of an actor are due. Open loop: by the clock, at a constant, staged or random rate; closed loop: a think time after each step. Stutter
// pauses all actors of a run at the same times, as locktorture's stutter does: due times are kept in load time, from which the pauses are left out.
// Stages and Poisson arrivals are exact: the next arrival is where the integral of the rate has grown by one, or by an exponential draw.
import { SH_STOP, TASK_PROGRAM } from '../abi/layout';
import {
  ARRIVAL_POISSON, PR_ARRIVAL, PR_BURST, PR_INTERVAL_NS, PR_STAGES, PR_STAGE_COUNT, PR_START_NS, PR_STUTTER_PAUSE_NS, PR_STUTTER_RUN_NS,
  PR_THINK_NS, STAGE_SIZE, ST_END_NS, ST_RATE, ST_SLOPE,
} from '../abi/program';
import { atomicLoad32, current, futexWait, load32, loadF64, loadStatic32, nowNs } from '../point';
import { heartbeat } from '../task';
import { drawExponential } from './random';

/** Sleeping overshoots by 0.1 to 0.2 ms, so the last part of a wait is spun. */
const SPIN_NS: f64 = 300_000;
const NAP_MAX_NS: f64 = 20_000_000;
/** The largest number of steps that is counted: what JavaScript has as a whole number. */
const STEPS_MOST: f64 = 9007199254740991;

/** 1, or an exponential draw with mean 1. */
function drawGap(program: usize): f64 {
  return load32(program + PR_ARRIVAL) == ARRIVAL_POISSON ? drawExponential(program) : 1.0;
}

/** Load time of the first arrival: at once when they are regular. */
export function firstArrival(program: usize): f64 {
  return load32(program + PR_ARRIVAL) == ARRIVAL_POISSON ? nextArrival(program, 0) : 0;
}

/** Load time in nanoseconds of the arrival after the one at `t`; infinite when the last stage ends at rate 0. */
export function nextArrival(program: usize, t: f64): f64 {
  const work = drawGap(program) * <f64>load32(program + PR_BURST);
  if (load32(program + PR_STAGE_COUNT) != 0) return stagedArrival(program, t, work);
  return t + work * loadF64(program + PR_INTERVAL_NS);
}

/** Where the integral of the rate from `t` on reaches `work`. */
function stagedArrival(program: usize, t: f64, work: f64): f64 {
  let stage: usize = load32(program + PR_STAGES);
  const end = stage + <usize>load32(program + PR_STAGE_COUNT) * STAGE_SIZE;
  let from: f64 = 0;
  for (; stage != end; stage += STAGE_SIZE) {
    const until = loadF64(stage + ST_END_NS);
    if (t < until) {
      const slope = loadF64(stage + ST_SLOPE);
      const rate = loadF64(stage + ST_RATE) + slope * (t - from);
      const left = until - t;
      const here = left * (rate + slope * left * 0.5);
      // The root of rate * x + slope * x^2 / 2 = work, in the form that loses no digits when the slope is small.
      if (work < here) return t + (2.0 * work) / (rate + Math.sqrt(max<f64>(rate * rate + 2.0 * slope * work, 0)));
      work -= here;
      t = until;
    }
    from = until;
  }
  return t + work * loadF64(program + PR_INTERVAL_NS);
}

/** The integral of the rate over load times [from, to): steps that are due there, of random arrivals in the mean. */
function workBetween(program: usize, from: f64, to: f64): f64 {
  let stage: usize = load32(program + PR_STAGES);
  const end = stage + <usize>load32(program + PR_STAGE_COUNT) * STAGE_SIZE;
  let work: f64 = 0;
  let begin: f64 = 0;
  for (; stage != end && from < to; stage += STAGE_SIZE) {
    const until = loadF64(stage + ST_END_NS);
    if (from < until) {
      const slope = loadF64(stage + ST_SLOPE);
      const rate = loadF64(stage + ST_RATE) + slope * (from - begin);
      const here = min<f64>(until, to) - from;
      work += here * (rate + slope * here * 0.5);
      from += here;
    }
    begin = until;
  }
  return from < to ? work + (to - from) / loadF64(program + PR_INTERVAL_NS) : work;
}

/** Steps that are due at instants [from, to), as far as the rate says. */
export function stepsBetween(program: usize, fromNs: f64, toNs: f64): u64 {
  return <u64>max<f64>(0, min<f64>(workBetween(program, loadTimeAt(program, fromNs), loadTimeAt(program, toNs)), STEPS_MOST));
}

/** The load time that has passed at an instant. */
function loadTimeAt(program: usize, atNs: f64): f64 {
  const passedNs = atNs - loadF64(program + PR_START_NS);
  const runNs = loadF64(program + PR_STUTTER_RUN_NS);
  if (runNs == 0) return passedNs;
  const periodNs = runNs + loadF64(program + PR_STUTTER_PAUSE_NS);
  const periods = Math.floor(passedNs / periodNs);
  return periods * runNs + min<f64>(passedNs - periods * periodNs, runNs);
}

/** The instant at which load time `t` is reached, with the pauses before it. */
export function instantOf(program: usize, t: f64): f64 {
  const startNs = loadF64(program + PR_START_NS);
  const runNs = loadF64(program + PR_STUTTER_RUN_NS);
  if (runNs == 0) return startNs + t;
  return startNs + t + Math.floor(t / runNs) * loadF64(program + PR_STUTTER_PAUSE_NS);
}

/** The end of the pause that `atNs` lies in; `atNs` itself when it lies in none. */
export function pauseEnd(program: usize, atNs: f64): f64 {
  const runNs = loadF64(program + PR_STUTTER_RUN_NS);
  if (runNs == 0) return atNs;
  const periodNs = runNs + loadF64(program + PR_STUTTER_PAUSE_NS);
  const startNs = loadF64(program + PR_START_NS);
  const periods = Math.floor((atNs - startNs) / periodNs);
  return atNs - startNs - periods * periodNs < runNs ? atNs : startNs + (periods + 1.0) * periodNs;
}

/** Draws the think time after a step, nanoseconds. */
export function drawThink(program: usize): f64 {
  const meanNs = loadF64(program + PR_THINK_NS);
  return meanNs == 0 ? 0 : meanNs * drawGap(program);
}

/**
 * Waits until the instant `dueNs`. Returns the clock's last reading, at or after it, or -1 when the run was stopped meanwhile.
 * @context no lock held; sleeps.
 */
export function waitUntil(dueNs: f64): f64 {
  let now = nowNs();
  while (now < dueNs) {
    if (atomicLoad32(SH_STOP) != 0) return -1;
    if (dueNs - now > SPIN_NS) {
      // Nobody wakes this word: it is the task's own, and its value does not change meanwhile.
      futexWait(current + TASK_PROGRAM, loadStatic32(current + TASK_PROGRAM), <i64>min<f64>(dueNs - now - SPIN_NS, NAP_MAX_NS));
      heartbeat();
    }
    now = nowNs();
  }
  return now;
}
