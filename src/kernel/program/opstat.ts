// Operation statistics: counts, errors and latencies of one actor, written by it alone.
import {
  OPSTAT_SIZE, OS_COUNT, OS_ERRORS, OS_ERROR_SLOTS, OS_HISTOGRAM, OS_MAX_NS, OS_MIN_NS, OS_PAGES, OS_SAMPLED, OS_SERVICED,
  OS_SERVICE_HISTOGRAM, OS_SERVICE_MAX_NS, PR_BEGAN_NS, PR_STATS,
} from '../abi/program';
import { load32, load64, loadF64, store32, store64, storeF64 } from '../point';
import { histogramRecord } from './histogram';

// @ts-ignore: decorator
@inline
function opstat(program: usize, op: u32): usize {
  return <usize>load32(program + PR_STATS) + <usize>op * OPSTAT_SIZE;
}

/** Counts an operation that returned `ret` (negative: errno) and covered `pages`. */
export function opCount(program: usize, op: u32, ret: i32, pages: u64): void {
  const stat = opstat(program, op);
  store64(stat + OS_COUNT, load64(stat + OS_COUNT) + 1);
  store64(stat + OS_PAGES, load64(stat + OS_PAGES) + pages);
  if (ret < 0) countError(stat, <u32>-ret);
}

function countError(stat: usize, errno: u32): void {
  for (let n: usize = 0; n < <usize>OS_ERROR_SLOTS; n++) {
    const slot = stat + OS_ERRORS + n * 8;
    const seen = load32(slot);
    if (seen != 0 && seen != errno) continue;
    store32(slot, errno);
    store32(slot + 4, load32(slot + 4) + 1);
    return;
  }
}

/** Records a latency of operation `op`. */
export function opLatency(program: usize, op: u32, ns: f64): void {
  const stat = opstat(program, op);
  const value = max<f64>(ns, 0);
  const sampled = load64(stat + OS_SAMPLED);
  store64(stat + OS_SAMPLED, sampled + 1);
  if (sampled == 0 || value < loadF64(stat + OS_MIN_NS)) storeF64(stat + OS_MIN_NS, value);
  if (value > loadF64(stat + OS_MAX_NS)) storeF64(stat + OS_MAX_NS, value);
  histogramRecord(stat + OS_HISTOGRAM, <u64>value);
}

/**
 * Records how long an operation of an open loop took once it had begun: the latency that a closed loop would have seen, beside the one that counts from
 * the instant at which it was due. An operation within a step, with a start of its own after the step's, counts from that.
 */
export function opService(program: usize, op: u32, startNs: f64, endNs: f64): void {
  const beganNs = loadF64(program + PR_BEGAN_NS);
  if (beganNs == 0) return;
  const stat = opstat(program, op);
  const value = max<f64>(endNs - max<f64>(beganNs, startNs), 0);
  store64(stat + OS_SERVICED, load64(stat + OS_SERVICED) + 1);
  if (value > loadF64(stat + OS_SERVICE_MAX_NS)) storeF64(stat + OS_SERVICE_MAX_NS, value);
  histogramRecord(stat + OS_SERVICE_HISTOGRAM, <u64>value);
}
