// rmptorture as a library: hosts, guests, files, and the way in for other people's threads.
export { Host, type HostOptions, type HostStatistics, type RunEnd, type Workload } from './host/host.js';
export { Slot } from './host/slot.js';
export { attachHost, AttachedHost, type HostHandle, type UserHook } from './host/attach.js';
export {
  File,
  Vcpu,
  Vm,
  type FileHandle,
  type FileOptions,
  type MemoryRegion,
  type MemslotOptions,
  type PageRange,
  type TouchResult,
  type VcpuExit,
  type VmHandle,
} from './host/objects.js';
export type { VmOptions } from './host/vm-options.js';
export type { CostName, Costs, CostsInput } from './host/costs.js';
export type { Injected, Occasional, Trouble } from './host/trouble.js';
export { KernelError, KernelOops, RmpTortureError, UsageError, type Violation } from './host/errors.js';
export type { LockStatistics, PageStatistics } from './host/statistics.js';
export { runTorture, type TortureOptions, type TortureResult } from './torture/run.js';
export type { TortureProgress } from './torture/window.js';
export { workload, type ActorOptions, type WorkloadOptions, type WorkloadResult } from './torture/workload.js';
export type { ActorResult, OperationResult } from './torture/results.js';
export type { Trust } from './torture/trust.js';
export type { Perturbation } from './torture/trouble.js';
