// The exports of a program's module: a file of the user's with `setup`, `thread0`, ... is compiled beside this one (src/explore/compile.ts) and has
// the sync layer and the heap below it, but no modelled host.
import { ENOMEM } from '../abi/errno';
import { SHARD_MAGIC, SH_BOOTED, SH_MAGIC } from '../abi/layout';
import { bootHeap, placeTasks } from '../boot-core';
import { atomicStore32, store32 } from '../point';
import { syncInit } from '../sync/init';
import { taskBind } from '../task';

export { setCurrent } from '../point';
export { taskAddress, taskBind } from '../task';
export { journalBack, journalForget, journalLearn, journalNote, journalTakeBlock, journalTakeThreads } from './journal';
export { restoreState, saveState } from './state';
// The points are exported so that no function they are called in becomes the top of a stack by inlining: see threads.ts.
export { block, pointAtomic, pointAtomicLoad, pointFutex, pointLoad, pointLoadRelaxed, pointRange, pointRelax, pointRelaxOn, pointStore, runThreads } from './threads';

/** Boots a shard without a host; the caller becomes task 0. Returns 0 or -ENOMEM. @context one thread, before any other. */
export function bootProgram(): i32 {
  placeTasks();
  if (!bootHeap()) return -ENOMEM;
  taskBind(0);
  const error = syncInit();
  if (error != 0) return error;
  store32(SH_MAGIC, SHARD_MAGIC);
  atomicStore32(SH_BOOTED, 1);
  return 0;
}
