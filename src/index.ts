// rmptorture as a library: hosts, guests, files, and the way in for other people's threads.
export { Host, type HostStatistics, type RunEnd, type Workload } from './host/host.js';
export type { HostOptions } from './host/host-options.js';
export { Slot } from './host/slot.js';
export { attachHost, AttachedHost, type HostHandle, type UserHook } from './host/attach.js';
export type {
  FileHandle,
  FileOptions,
  GuestMemfdOptions,
  MemoryRegion,
  MemslotOptions,
  PageRange,
  VmHandle,
} from './host/object-options.js';
export { File, Vm } from './host/objects.js';
export { Vcpu, type TouchOptions, type TouchResult, type VcpuExit } from './host/vcpu.js';
export type { VmOptions } from './host/vm-options.js';
export type { CostName, Costs, CostsInput } from './host/costs.js';
export type { Injected, Occasional, Perturbing, Trouble } from './host/trouble.js';
export { KernelError, KernelOops, RmpTortureError, UsageError, type Violation } from './host/errors.js';
export type { LockStatistics, PageStatistics } from './host/statistics.js';
export { runTorture, type TortureResult } from './torture/run.js';
export type { TortureOptions } from './torture/torture-options.js';
export type { TortureProgress } from './torture/window.js';
export { workload, type ActorOptions, type WorkloadOptions, type WorkloadResult } from './torture/workload.js';
export type { ActorResult, OperationResult } from './torture/results.js';
export type { Trust } from './torture/trust.js';
export type { Perturbation } from './torture/trouble.js';
