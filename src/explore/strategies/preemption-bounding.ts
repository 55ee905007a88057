// Iterative preemption bounding: a switch away from a thread that could go on costs 1, a switch because it waits or has finished is free. After Musuvathi
// and Qadeer, "Iterative Context Bounding for Systematic Testing of Multithreaded Programs", PLDI 2007.
import type { View } from '../strategy.js';
import { Bounding, type Priced } from './bounding.js';

export class PreemptionBounding extends Bounding {
  readonly name = 'preemptions';

  protected override priced(view: View): Priced[] {
    const stays = view.current >= 0 && view.isEnabled(view.current);
    const others = [...view.enabled.subarray(0, view.enabledCount)]
      .filter((thread) => thread !== view.current)
      .toSorted((a, b) => a - b);
    const switches = others.map((thread) => ({ thread, cost: stays ? 1 : 0 }));
    return stays ? [{ thread: view.current, cost: 0 }, ...switches] : switches;
  }
}
