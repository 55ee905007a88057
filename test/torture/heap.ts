// What is allocated in a shard's heap, by size class: freed lately counts as free once the RCU grace periods are over.
import type { Shard } from '#src/host/shard.js';
import * as layout from '#src/kernel/abi/layout.js';

/** Live objects of each size class. @context no other thread is at work. */
export function heapLive({ x, words }: Shard): number[] {
  x.rcuBarrier();
  const tasks = words[layout.SH_MAX_TASKS / 4]!;
  return Array.from({ length: x.heapClassCount() }, (_, cls) => {
    let live = 0;
    for (let task = 0; task < tasks; task++) live += x.heapLive(x.taskAddress(task) >>> 0, cls);
    return live;
  });
}
