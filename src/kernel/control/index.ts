// The exports of the controlled build: the kernel's, and what its scheduler calls.
export * from '../index';
// The points are exported so that no function they are called in becomes the top of a stack by inlining: see threads.ts.
export { block, pointAtomic, pointAtomicLoad, pointFutex, pointLoad, pointLoadRelaxed, pointRange, pointRelax, pointRelaxOn, pointStore, runThreads } from './threads';
export { journalBack, journalForget, journalLearn, journalNote, journalTakeBlock, journalTakeThreads } from './journal';
export { restoreState, saveState } from './state';

