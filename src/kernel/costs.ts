// The cost model: what an operation of the hardware takes is spent by keeping the CPU busy, for as long as the host has said (abi/costs.ts). The model's own
// RMPUPDATE takes 20 ns and its IPI is a word in memory; with costs, the operations have the proportions of a real machine. Not in the controlled build,
// which has no time.
import { COST_TURNS_PER_NS } from './abi/costs';
import { fence, loadF64, nowNs, peek32, storeF64 } from './point';

/** Below this a reading of the clock would be a good part of the time to be spent. */
const CLOCK_NS: f64 = 2000;
const CLOCK_TURNS: u32 = 32;
const CALIBRATION_TURNS: u32 = 1024;
const CALIBRATION_NS: f64 = 20_000_000;

/** Spends the cost of one operation; `cost` is its word. @context where the operation takes place, with whatever it holds. */
// @ts-ignore: decorator
@inline
export function spend(cost: usize): void {
  if (!CONTROLLED && peek32(cost) != 0) spendNs(<f64>peek32(cost));
}

/** The same for `n` operations in a row. */
// @ts-ignore: decorator
@inline
export function spendMany(cost: usize, n: u32): void {
  if (!CONTROLLED && peek32(cost) != 0 && n != 0) spendNs(<f64>peek32(cost) * <f64>n);
}

/** Keeps the CPU busy: short times by a loop of known speed, long ones by the clock. */
export function spendNs(ns: f64): void {
  if (ns < CLOCK_NS) {
    turn(<u32>(ns * loadF64(COST_TURNS_PER_NS)));
    return;
  }
  const endNs = nowNs() + ns;
  while (nowNs() < endNs) turn(CLOCK_TURNS);
}

/** So many turns of the loop that COST_TURNS_PER_NS is measured by. @context any; no point. */
export function turn(turns: u32): void {
  for (let n = turns; n != 0; n--) fence();
}

/** Measures the loop: the fastest of many short runs, so that neither another thread on this CPU nor code not yet optimized counts. @context boot; takes 20 ms. */
export function costsCalibrate(): void {
  let best: f64 = Infinity;
  const endNs = nowNs() + CALIBRATION_NS;
  for (let beganNs = nowNs(); beganNs < endNs;) {
    turn(CALIBRATION_TURNS);
    const now = nowNs();
    best = min<f64>(best, now - beganNs);
    beganNs = now;
  }
  storeF64(COST_TURNS_PER_NS, <f64>CALIBRATION_TURNS / best);
}
