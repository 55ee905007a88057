// A budget of operations for a whole run: whoever makes a step takes from it first what the step may need, and gives back what it did not need. So the run never makes
// more; a step that needs more than is left is not begun.
import { PR_BATCH, PR_BUDGET, PR_GRANTED, PR_KIND, PR_RECORDING, PR_STEP_MOST, PR_WARMUP_END_NS, ACTOR_VCPU } from '../abi/program';
import { atomicAdd64, atomicCas64, atomicLoad64, load32, loadF64, store32 } from '../point';

/** Whether a step that is due at `startNs` may be made; notes whether it is recorded. Steps of the warm-up cost nothing. */
// @ts-ignore: decorator
@inline
export function grant(program: usize, startNs: f64): bool {
  const recording = startNs >= loadF64(program + PR_WARMUP_END_NS);
  store32(program + PR_RECORDING, recording ? 1 : 0);
  return !recording || load32(program + PR_BUDGET) == 0 || take(program);
}

/** A vCPU can make a part of its batch; every other step is made whole. */
function take(program: usize): bool {
  const budget: usize = load32(program + PR_BUDGET);
  const wanted = <u64>load32(program + PR_STEP_MOST);
  const least: u64 = load32(program + PR_KIND) == ACTOR_VCPU ? 1 : wanted;
  let left = atomicLoad64(budget);
  while (left >= least) {
    const taken = min<u64>(wanted, left);
    const found = atomicCas64(budget, left, left - taken);
    if (found == left) {
      store32(program + PR_GRANTED, <u32>taken);
      return true;
    }
    left = found;
  }
  return false;
}

/** The step has made so many operations: the others that it was granted are for everybody again. */
export function giveBack(program: usize, operations: u32): void {
  const budget: usize = load32(program + PR_BUDGET);
  if (budget == 0) return;
  const granted = load32(program + PR_GRANTED);
  if (granted > operations) atomicAdd64(budget, <u64>(granted - operations));
}

/** Accesses of the present step of a vCPU. */
// @ts-ignore: decorator
@inline
export function batchOf(program: usize): u32 {
  const batch = load32(program + PR_BATCH);
  return load32(program + PR_BUDGET) == 0 || load32(program + PR_RECORDING) == 0 ? batch : min<u32>(batch, load32(program + PR_GRANTED));
}
