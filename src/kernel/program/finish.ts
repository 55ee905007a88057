// The end of an operation: statistics, the ring of recent operations, and the check that nothing is held on the way out.
import { PR_RECORDING } from '../abi/program';
import { EV_OPERATION } from '../abi/trace';
import { load32, nowNs } from '../point';
import { lockdepHeldNothing } from '../sync/lockdep';
import { ringEnd } from '../task';
import { traceSpan } from '../trace';
import { opCount, opLatency, opService } from './opstat';

/**
 * Finishes an operation that was due at `startNs`, returned `ret` and covered `pages`. Operations of steps that were due in the warm-up are not recorded.
 * @context nothing may be held.
 */
export function finishOp(program: usize, op: u32, ret: i32, pages: u64, startNs: f64): void {
  const endNs = nowNs();
  lockdepHeldNothing();
  ringEnd(ret);
  traceSpan(EV_OPERATION + op, startNs, endNs, 0, pages, 0, ret);
  if (load32(program + PR_RECORDING) == 0) return;
  opCount(program, op, ret, pages);
  opLatency(program, op, endNs - startNs);
  opService(program, op, startNs, endNs);
}
