// Accesses to freed memory under the explorer's scheduler, writes as well as reads: looked for at the point of the access, where no thread can be suspended, so the report is
// written without points. See src/kernel/freed.ts.
import {
  HEAP_FIRST, OOPS_ARGS, OOPS_CODE, OOPS_DONE, OOPS_MAX, OOPS_ORACLE, OOPS_SIZE, OOPS_TASK, SH_HEAP_NEXT, SH_OOPS, SH_OOPS_COUNT, SH_ORACLES, SH_STOP, STOP_OOPS, TASK_ID,
} from '../abi/layout';
import { OOPS_FREED_ACCESS, ORACLE_KERNEL_BUG } from '../abi/oops';
import { CONTROL_SUSPENDING } from '../abi/control';
import { checkStop, current } from '../point';
import { markDirty } from './threads';

/** The word at `p` holds the pattern of freed memory, and the thread is about to use it. Does not return if it is memory of the heap. @context at a point. */
export function freedAccess(p: usize): void {
  // A thread that is being suspended has not come to its access yet.
  if (load<u32>(CONTROL_SUSPENDING) != 0 || load<u32>(SH_ORACLES) == 0) return;
  if (p < <usize>load<u32>(HEAP_FIRST) || p >= <usize>load<u32>(SH_HEAP_NEXT)) return;
  const count = load<u32>(SH_OOPS_COUNT);
  markDirty(SH_OOPS_COUNT);
  store<u32>(SH_OOPS_COUNT, count + 1);
  if (count < <u32>OOPS_MAX) {
    const record: usize = <usize>count * OOPS_SIZE + SH_OOPS;
    markDirty(record);
    store<u32>(record + OOPS_ORACLE, ORACLE_KERNEL_BUG);
    store<u32>(record + OOPS_TASK, current == 0 ? 0xffffffff : load<u32>(current + TASK_ID));
    store<u32>(record + OOPS_CODE, OOPS_FREED_ACCESS);
    store<f64>(record + OOPS_ARGS, <f64>p);
    store<u32>(record + OOPS_DONE, 1);
  }
  markDirty(SH_STOP);
  store<u32>(SH_STOP, STOP_OOPS);
  checkStop();
}
