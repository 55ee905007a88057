// Trace points. A task whose TASK_TRACE is 0 pays a load and a branch; one that is traced writes 48 bytes into its own ring and looks at the clock twice. The
// controlled build has none: its executions are recorded step by step. Events and their arguments: abi/trace.ts.
import { TASK_TRACE } from './abi/layout';
import {
  EVENT_A, EVENT_B, EVENT_C, EVENT_END_NS, EVENT_KIND, EVENT_RET, EVENT_SIZE, EVENT_START_NS, TRACE_HEADER, TRACE_MASK, TRACE_TOTAL,
} from './abi/trace';
import { current, load32, load64, loadStatic32, nowNs, store32, store64, storeF64 } from './point';

/** The time when the task is traced, else 0: for traceEnd. @context any. */
// @ts-ignore: decorator
@inline
export function traceBegin(): f64 {
  return !CONTROLLED && loadStatic32(current + TASK_TRACE) != 0 ? nowNs() : 0;
}

/** An event from `sinceNs` (of traceBegin; 0: not traced) until now. @context any. */
// @ts-ignore: decorator
@inline
export function traceEnd(kind: u32, sinceNs: f64, a: u32, b: u64, c: u64, ret: i32): void {
  if (!CONTROLLED && sinceNs != 0) record(kind, sinceNs, nowNs(), a, b, c, ret);
}

/** An event from `sinceNs` to `endNs`, which the caller knows anyway. @context any. */
// @ts-ignore: decorator
@inline
export function traceSpan(kind: u32, sinceNs: f64, endNs: f64, a: u32, b: u64, c: u64, ret: i32): void {
  if (!CONTROLLED && loadStatic32(current + TASK_TRACE) != 0) record(kind, sinceNs, endNs, a, b, c, ret);
}

/** An event that takes no time. @context any. */
// @ts-ignore: decorator
@inline
export function traceInstant(kind: u32, a: u32, b: u64, c: u64): void {
  if (!CONTROLLED && loadStatic32(current + TASK_TRACE) != 0) recordNow(kind, a, b, c);
}

function recordNow(kind: u32, a: u32, b: u64, c: u64): void {
  const now = nowNs();
  record(kind, now, now, a, b, c, 0);
}

/** @context the task is traced. */
function record(kind: u32, startNs: f64, endNs: f64, a: u32, b: u64, c: u64, ret: i32): void {
  const ring: usize = loadStatic32(current + TASK_TRACE);
  if (ring == 0) return; // it was until just now
  const total = load64(ring + TRACE_TOTAL);
  const event = ring + TRACE_HEADER + <usize>(<u32>total & load32(ring + TRACE_MASK)) * EVENT_SIZE;
  storeF64(event + EVENT_START_NS, startNs);
  storeF64(event + EVENT_END_NS, endNs);
  store32(event + EVENT_KIND, kind);
  store32(event + EVENT_A, a);
  store64(event + EVENT_B, b);
  store64(event + EVENT_C, c);
  store32(event + EVENT_RET, <u32>ret);
  store64(ring + TRACE_TOTAL, total + 1);
}
