// Barrier: a fixed number of tasks meet; none goes on before all have come. Reusable. Not a kernel lock: actors start and stop by it.
//
// struct barrier (64 bytes): arrived (+0) u32: tasks inside the present generation    owner (+4) task id + 1 of the last to arrive, a hint
//   class (+8) 0    parties (+12) u32    generation (+16) u32: generations complete; the futex
//   sleepers (+20) u32: 1 when somebody may sleep on the generation
import { WAIT_BARRIER } from '../abi/layout';
import { LOCK_CLASS, LOCK_EXTRA, LOCK_OWNER, SITE_BARRIER } from '../abi/sync';
import { atomicAdd32, atomicLoad32, atomicStore32, atomicXchg32, cpuRelax, futexWake, loadStatic32, store32 } from '../point';
import { currentId, waitBegin, waitEnd } from '../task';
import { mightSleep } from './lockdep';
import { park, spinTurns } from './word';

const GENERATION: usize = 16;
const SLEEPERS: usize = 20;

/** @context before the barrier is shared. `parties` tasks meet here each time. */
export function barrierInit(b: usize, parties: u32): void {
  store32(b + LOCK_OWNER, 0);
  store32(b + LOCK_CLASS, 0);
  store32(b + LOCK_EXTRA, parties);
  store32(b + GENERATION, 0);
  store32(b + SLEEPERS, 0);
  atomicStore32(b, 0);
}

/** Waits for all parties. Returns the number of generations complete, the same for all who met. @context sleeps. */
export function barrierWait(b: usize): u32 {
  if (LOCKDEP) mightSleep(SITE_BARRIER);
  const generation = atomicLoad32(b + GENERATION);
  if (atomicAdd32(b, 1) + 1 == loadStatic32(b + LOCK_EXTRA)) {
    store32(b + LOCK_OWNER, currentId() + 1);
    // Nobody can arrive for the next generation before the number goes up: all others are still inside.
    atomicStore32(b, 0);
    atomicAdd32(b + GENERATION, 1);
    if (atomicXchg32(b + SLEEPERS, 0) != 0) futexWake(b + GENERATION, 0xffffffff);
    return generation + 1;
  }
  for (let n = spinTurns(); n > 0; n--) {
    if (atomicLoad32(b + GENERATION) != generation) return generation + 1;
    cpuRelax();
  }
  waitBegin(b, WAIT_BARRIER);
  while (atomicLoad32(b + GENERATION) == generation) {
    atomicStore32(b + SLEEPERS, 1);
    park(b + GENERATION, generation);
  }
  waitEnd();
  return generation + 1;
}
