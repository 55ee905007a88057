// Iterative delay bounding: a fixed scheduler (the running thread as long as it can, then round robin) decides; passing over the next thread in its order
// costs one delay. The number of schedules for a bound does not grow with the number of threads. After Emmi, Qadeer, Rakamaric, "Delay-Bounded
// Scheduling", POPL 2011.
import type { View } from '../strategy.js';
import { Bounding, type Priced } from './bounding.js';

export class DelayBounding extends Bounding {
  readonly name = 'delays';

  protected override priced(view: View): Priced[] {
    const first = Math.max(0, view.current);
    const distance = (thread: number): number => (thread - first + view.threadCount) % view.threadCount;
    const inOrder = [...view.enabled.subarray(0, view.enabledCount)].toSorted((a, b) => distance(a) - distance(b));
    return inOrder.map((thread, cost) => ({ thread, cost }));
  }
}
