// A budget of operations for a whole run: whoever makes a step takes from it first what the step may need, and gives back what it did not need. So the run never makes
// more, and as many as its steps allow: a step that needs more than is left, and than others may give back, is not begun.
import { PR_BATCH, PR_BUDGET, PR_GRANTED, PR_KIND, PR_RECORDING, PR_STEP_MOST, PR_WARMUP_END_NS, ACTOR_VCPU } from '../abi/program';
import { atomicCas64, atomicLoad64, atomicSub64, load32, loadF64, nowNs, store32 } from '../point';
import { waitUntil } from './pacing';

/** In the budget's word above the operations that are left: threads that are at a step of which some may come back. */
const STEP: u64 = 1 << 53;
/** For so long at a time a thread waits for what may come back. */
const RETURN_NS: f64 = 100_000;

/** Whether a step that is due at `startNs` may be made; notes whether it is recorded. Steps of the warm-up cost nothing. */
// @ts-ignore: decorator
@inline
export function grant(program: usize, startNs: f64): bool {
  const recording = startNs >= loadF64(program + PR_WARMUP_END_NS);
  store32(program + PR_RECORDING, recording ? 1 : 0);
  return !recording || load32(program + PR_BUDGET) == 0 || take(program);
}

/** A vCPU can make a part of its batch; every other step is made whole. Who finds too little waits while others are at a step: they may give some back. */
function take(program: usize): bool {
  const budget: usize = load32(program + PR_BUDGET);
  const wanted = <u64>load32(program + PR_STEP_MOST);
  const least: u64 = load32(program + PR_KIND) == ACTOR_VCPU ? 1 : wanted;
  while (true) {
    const word = atomicLoad64(budget);
    const left = word & (STEP - 1);
    if (left >= least) {
      const taken = min<u64>(wanted, left);
      if (atomicCas64(budget, word, word - taken + STEP) != word) continue;
      store32(program + PR_GRANTED, <u32>taken);
      return true;
    }
    if (word < STEP || waitUntil(nowNs() + RETURN_NS) < 0) return false;
  }
  return false;
}

/** The step has made so many operations: the others that it was granted are for everybody again. */
export function giveBack(program: usize, operations: u32): void {
  const budget: usize = load32(program + PR_BUDGET);
  if (budget == 0) return;
  const granted = load32(program + PR_GRANTED);
  atomicSub64(budget, STEP - <u64>(granted > operations ? granted - operations : 0));
}

/** Accesses of the present step of a vCPU. */
// @ts-ignore: decorator
@inline
export function batchOf(program: usize): u32 {
  const batch = load32(program + PR_BATCH);
  return load32(program + PR_BUDGET) == 0 || load32(program + PR_RECORDING) == 0 ? batch : min<u32>(batch, load32(program + PR_GRANTED));
}
