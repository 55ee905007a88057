// A thread's announced point as an operation of partial-order reduction: the words it reads and writes, and the queue of a futex, which waits and wake-ups
// write. A turn of a spin loop and the return from a wait touch nothing.
import { POINT_COPY, POINT_FENCE, POINT_FUTEX_WAIT, POINT_FUTEX_WAKE, POINT_RELAX } from '../kernel/abi/point.js';
import type { Operation, Touch } from './dpor/dependence.js';
import type { View } from './strategy.js';

/** Words of futex queues lie behind all words of memory. */
const QUEUES = 2 ** 30;
const NOTHING: Operation = { kind: 'access', touches: [] };

function words(address: number, bytes: number, write: boolean): Touch {
  return { first: address >>> 2, end: (address + Math.max(1, bytes) + 3) >>> 2, write };
}

/** The operation a thread announces. */
export function operationOf(view: View, thread: number): Operation {
  const kind = view.kind(thread);
  const address = view.address(thread);
  if (kind === 0 || kind === POINT_FENCE || kind === POINT_RELAX) return NOTHING;
  const queue = { first: QUEUES + (address >>> 2), end: QUEUES + (address >>> 2) + 1, write: true };
  if (kind === POINT_FUTEX_WAKE) return { kind: 'access', touches: [queue] };
  const touch = words(address, view.bytes(thread), view.writes(thread));
  if (kind === POINT_FUTEX_WAIT) return { kind: 'access', touches: [touch, queue] };
  if (kind !== POINT_COPY) return { kind: 'access', touches: [touch] };
  return { kind: 'access', touches: [touch, words(view.low(thread), view.bytes(thread), false)] };
}
