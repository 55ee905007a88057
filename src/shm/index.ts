// rmptorture/shm: the kernel's locks and tables over a shared memory of your own. See docs/shm.md.
export { Arena, type ArenaHandle, type ArenaOptions } from './arena.js';
export { Barrier, Mutex, RwLock, RwSem, SpinLock, Srcu } from './locks.js';
export { Histogram } from './histogram.js';
export { Ring } from './ring.js';
export { XArray } from './xarray.js';
