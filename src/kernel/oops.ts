// The oops: a violated invariant. It is recorded in the shard header; this thread leaves the kernel by an exception, the others at the next point they come to,
// with all locks as they are: the run has failed and only its state is still of interest.
import {
  OOPS_ARGS, OOPS_CODE, OOPS_DONE, OOPS_MAX, OOPS_ORACLE, OOPS_SIZE, OOPS_TASK, OOPS_TIME_NS, SH_OOPS, SH_OOPS_COUNT, SH_STOP,
  STOP_OOPS, TASK_ID,
} from './abi/layout';
import { atomicAdd32, atomicStore32, checkStop, current, loadStatic32, nowNs, store32, storeF64 } from './point';

/** Records a violation without stopping (the audit reports all that it finds). Values by code: see abi/oops.ts. */
export function oopsRecord(oracle: u32, code: u32, a: f64, b: f64, c: f64, d: f64, e: f64): void {
  const n = atomicAdd32(SH_OOPS_COUNT, 1);
  if (n >= <u32>OOPS_MAX) return;
  const record: usize = <usize>n * OOPS_SIZE + SH_OOPS;
  store32(record + OOPS_ORACLE, oracle);
  store32(record + OOPS_TASK, current == 0 ? 0xffffffff : loadStatic32(current + TASK_ID));
  store32(record + OOPS_CODE, code);
  storeF64(record + OOPS_ARGS, a);
  storeF64(record + OOPS_ARGS + 8, b);
  storeF64(record + OOPS_ARGS + 16, c);
  storeF64(record + OOPS_ARGS + 24, d);
  storeF64(record + OOPS_ARGS + 32, e);
  storeF64(record + OOPS_TIME_NS, nowNs());
  atomicStore32(record + OOPS_DONE, 1);
}

/** Reports a violation, stops the run and leaves the kernel. Does not return. */
export function oops(oracle: u32, code: u32, a: f64 = 0, b: f64 = 0, c: f64 = 0, d: f64 = 0, e: f64 = 0): void {
  oopsRecord(oracle, code, a, b, c, d, e);
  atomicStore32(SH_STOP, STOP_OOPS);
  checkStop();
}

/** Reports a violation when the condition holds; does not return then. kernel: BUG_ON(). */
// @ts-ignore: decorator
@inline
export function bugOn(condition: bool, oracle: u32, code: u32, a: f64 = 0, b: f64 = 0): void {
  if (condition) oops(oracle, code, a, b);
}
