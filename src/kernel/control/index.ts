// The exports of the controlled build: the kernel's, and what its scheduler calls.
export * from '../index';
export { runThreads } from './threads';
export { restoreState, saveState } from './state';
export { runOperations } from './operations';
