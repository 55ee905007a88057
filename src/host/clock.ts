// The one clock of the host side: CLOCK_MONOTONIC, the same origin in every thread of the process, in nanoseconds.
const ORIGIN_NS = performance.timeOrigin;

/** Monotonic nanoseconds since the process's time origin; comparable between threads. About 80 ns a call. */
export function nowNs(): number {
  return performance.now() * 1e6;
}

/** Wall-clock time of a monotonic instant, milliseconds since the epoch: for file names and reports. */
export function wallMs(atNs: number = nowNs()): number {
  return ORIGIN_NS + atNs / 1e6;
}
