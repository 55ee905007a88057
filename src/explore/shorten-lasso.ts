// A livelock made small: the loop once, behind as few steps as lead into it. Once the execution goes round, every state comes again a round later, so the
// first one that does is found by halving.
import { type Failure, replay } from './explore.js';
import { Divergence } from './strategies/replay.js';
import type { Target } from './target.js';

/** A tape that ends when the state after step `repeatsFrom` comes for the second time. */
export interface ShortLasso {
  tape: readonly number[];
  repeatsFrom: number;
}

/** `failure` is one that repeats itself. */
export function shortenLasso(target: Target, failure: Failure): ShortLasso {
  const { machine } = target;
  let best: ShortLasso = { tape: failure.tape, repeatsFrom: failure.repeatsFrom! };
  for (let [first, end] = [1, best.repeatsFrom]; first < end;) {
    const middle = (first + end) >>> 1;
    if (comesAgain(target, failure, middle)) {
      best = { tape: [...machine.tape.subarray(0, machine.tapeLength)], repeatsFrom: middle };
      end = middle;
    } else first = middle + 1;
  }
  return best;
}

/** Whether the state after a step comes again before the tape ends. */
function comesAgain(target: Target, { kind, tape }: Failure, step: number): boolean {
  try {
    return replay(target, tape, step)?.kind === kind && target.machine.repeatsFrom === step;
  } catch (error) {
    if (error instanceof Divergence) return false;
    throw error;
  }
}
