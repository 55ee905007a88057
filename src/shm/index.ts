// rmptorture/shm: the kernel's locks and tables for your own shared memory. See docs/shm.md.
export { Arena, type ArenaHandle, type ArenaOptions, type LockOptions } from './arena.js';
export { Barrier, Mutex, RwLock, RwSem, SpinLock, Srcu } from './locks.js';
export { XArray, type Mark } from './xarray.js';
export { Ring, type RingOptions } from './ring.js';
export { Histogram, HistogramSummary, type HdrTextOptions, type HistogramOptions } from './histogram.js';
export { KernelError, KernelOops, RmpTortureError, UsageError } from '../host/errors.js';
