// rmptorture as a library: hosts, guests, files, and the way in for other people's threads.
export {
  Host,
  attachHost,
  type UserHook,
  type HostHandle,
  type HostOptions,
  type HostStatistics,
  type RunEnd,
} from './host/host.js';
export {
  File,
  Vcpu,
  Vm,
  type FileOptions,
  type MemslotOptions,
  type PageRange,
  type TouchResult,
  type VmOptions,
} from './host/objects.js';
export { KernelError, KernelOops, RmpTortureError, UsageError, type Violation } from './host/errors.js';
export type { LockStatistics, PageStatistics } from './host/statistics.js';
export { runTorture, type TortureOptions, type TortureProgress, type TortureResult } from './torture/run.js';
