// What a step does, in a word, by its kind (src/kernel/abi/point.ts): for reports and messages.
import * as points from '../kernel/abi/point.js';

export const OPERATIONS: Record<number, string> = {
  [points.POINT_LOAD]: 'read',
  [points.POINT_STORE]: 'write',
  [points.POINT_ATOMIC_LOAD]: 'load',
  [points.POINT_LOAD_RELAXED]: 'load (relaxed)',
  [points.POINT_ATOMIC_STORE]: 'store',
  [points.POINT_XCHG]: 'xchg',
  [points.POINT_CAS]: 'cas',
  [points.POINT_CAS_RELAXED]: 'cas (relaxed)',
  [points.POINT_ADD]: 'add',
  [points.POINT_SUB]: 'sub',
  [points.POINT_OR]: 'or',
  [points.POINT_AND]: 'and',
  [points.POINT_FILL]: 'fill',
  [points.POINT_COPY]: 'copy',
  [points.POINT_RELAX]: 'spin',
  [points.POINT_FUTEX_WAIT]: 'sleep on',
  [points.POINT_FUTEX_WAKE]: 'wake',
};
