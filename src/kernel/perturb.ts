// What the perturbed build injects: delays at points, and rarer and rougher things: locks held on to, threads paused as by a debugger, allocations that fail,
// slow hooks and IPIs. Nothing here invents an answer: each only takes time, or does what the real thing may do at any moment. After locktorture's long
// holds, rr's chaos mode (log-uniform pauses of one victim) and the kernel's failslab and fail_page_alloc.
import { SH_PERTURB_MEAN, SH_PERTURB_NS, SH_STOP, TASK_HEARTBEAT, TASK_HELD_COUNT, TASK_ID, TASK_PAUSE_NS } from './abi/layout';
import {
  PB_AWAY_NS, PB_FAILURES, PB_FAIL_CHANCE, PB_HOLDS, PB_HOLD_CHANCE, PB_HOLD_NS, PB_HOOKS, PB_HOOK_CHANCE, PB_HOOK_NS, PB_IPIS, PB_IPI_CHANCE, PB_IPI_NS,
  PB_LEAVES, PB_LEAVE_EVERY_NS, PB_PAUSES, PB_PAUSE_EVERY_NS, PB_PAUSE_LEAST_NS, PB_PAUSE_MOST_NS, PB_TROUBLE, PB_YIELD_CHANCE,
} from './abi/perturb';
import { checkStop, current, doze, fence, loadF64, nowNs, peek32, poke32, randomU32, setCountdown, storeF64, tally } from './point';

/** Longer times are slept, not spun: the CPU is for those who are kept waiting. */
const SPIN_NS: f64 = 50_000;
const NAP_NS: f64 = 20_000_000;
const SPIN_TURNS: u32 = 16;
/** The shortest of the lengths that go up to a longest one. */
const LEAST_SHARE: f64 = 0.015625;

/** A perturbation. @context any point; takes no lock, and passes no point itself. */
export function perturbSlow(): void {
  // Without a task the caller only looks (statistics, reports), also at a run that has oopsed.
  if (current != 0) checkStop();
  const mean = peek32(SH_PERTURB_MEAN);
  if (mean == 0 || current == 0) {
    setCountdown(4096);
    return;
  }
  setCountdown(1 + <i32>(randomU32() % (2 * mean)));
  const boundNs = peek32(SH_PERTURB_NS);
  if (boundNs != 0) delay(boundNs);
  if (peek32(PB_TROUBLE) != 0) trouble();
}

/** A short delay: a spin, or the CPU goes to another thread. */
function delay(boundNs: u32): void {
  const draw = randomU32();
  if (randomU32() < peek32(PB_YIELD_CHANCE)) {
    // A nap on a word nobody wakes: the wide windows come from here.
    doze(current, ~peek32(current), 0);
    doze(current, peek32(current), <i64>(draw % boundNs));
  } else {
    for (let n = draw % ((boundNs >> 4) + 1) + 1; n != 0; n--) fence();
  }
}

function trouble(): void {
  const chance = peek32(PB_HOLD_CHANCE);
  if (chance != 0 && peek32(current + TASK_HELD_COUNT) != 0 && randomU32() < chance) {
    tally(PB_HOLDS);
    stay(drawUpTo(loadF64(PB_HOLD_NS)));
  }
  const pauseNs = loadF64(current + TASK_PAUSE_NS);
  if (pauseNs != 0 && nowNs() >= pauseNs) pause();
}

/** The victim stops wherever it is, whatever it holds. */
function pause(): void {
  tally(PB_PAUSES);
  stay(drawBetween(loadF64(PB_PAUSE_LEAST_NS), loadF64(PB_PAUSE_MOST_NS)));
  victimAwait();
}

/** This task will be paused, for the first or for the next time, when it has run for a while. */
export function victimAwait(): void {
  storeF64(current + TASK_PAUSE_NS, nowNs() + drawMean(loadF64(PB_PAUSE_EVERY_NS)));
}

/** Stays here for `ns`, or until the run ends. Gives signs of life: it is not stuck. */
function stay(ns: f64): void {
  const endNs = nowNs() + ns;
  for (let leftNs = ns; leftNs > 0 && peek32(SH_STOP) == 0; leftNs = endNs - nowNs()) {
    if (leftNs > SPIN_NS) {
      doze(current, peek32(current), <i64>min<f64>(leftNs, NAP_NS));
      poke32(current + TASK_HEARTBEAT, peek32(current + TASK_HEARTBEAT) + 1);
    } else {
      for (let n = SPIN_TURNS; n != 0; n--) fence();
    }
  }
  checkStop();
}

// Uniform in (0, 1].
function drawUnit(): f64 { return (<f64>randomU32() + 1.0) / 4294967296.0; }

/** Exponential with this mean. */
function drawMean(mean: f64): f64 { return -mean * Math.log(drawUnit()); }

/** Log-uniform: each power of two alike. */
function drawBetween(least: f64, most: f64): f64 { return least * Math.pow(most / least, drawUnit()); }

function drawUpTo(most: f64): f64 { return drawBetween(most * LEAST_SHARE, most); }

/** Whether this allocation is to fail. Task 0, which sets the host up, is spared. @context any; builds that are not perturbed: never. */
// @ts-ignore: decorator
@inline
export function allocationFails(): bool {
  return PERTURBED && peek32(PB_FAIL_CHANCE) != 0 && failDrawn();
}

/** allocationFails when it is drawn: counts those that fail. @context perturbed builds only, as the two below. */
export function failDrawn(): bool {
  if (peek32(current + TASK_ID) == 0 || randomU32() >= peek32(PB_FAIL_CHANCE)) return false;
  tally(PB_FAILURES);
  return true;
}

/** The platform hook takes its time. @context at its beginning. */
// @ts-ignore: decorator
@inline
export function perturbHook(): void {
  if (PERTURBED && peek32(PB_HOOK_CHANCE) != 0) hookDrawn();
}

/** perturbHook when it is drawn: stays for up to PB_HOOK_NS. */
export function hookDrawn(): void {
  if (randomU32() >= peek32(PB_HOOK_CHANCE)) return;
  tally(PB_HOOKS);
  stay(drawUpTo(loadF64(PB_HOOK_NS)));
}

/**
 * Whether an IPI that comes now reaches this vCPU late. Time passes then, in which the guest runs on; whoever kicks it waits for its exit.
 * @context guest mode, before the look for the IPI.
 */
// @ts-ignore: decorator
@inline
export function ipiIsLate(): bool {
  return PERTURBED && peek32(PB_IPI_CHANCE) != 0 && ipiDrawn();
}

/** ipiIsLate when it is drawn: stays for up to PB_IPI_NS. */
export function ipiDrawn(): bool {
  if (randomU32() >= peek32(PB_IPI_CHANCE)) return false;
  stay(drawUpTo(loadF64(PB_IPI_NS)));
  return true;
}

/** One did come, and the guest makes one more access with what it has translated. */
export function ipiWasLate(): void { tally(PB_IPIS); }

/** When the thread that begins to run an actor now is to leave it; 0: never. */
export function drawLeave(): f64 {
  const everyNs = PERTURBED ? loadF64(PB_LEAVE_EVERY_NS) : 0;
  return everyNs == 0 ? 0 : nowNs() + drawMean(everyNs);
}

/** For how long it will be away. */
export function drawAway(): f64 {
  tally(PB_LEAVES);
  return drawUpTo(loadF64(PB_AWAY_NS));
}
