// Which steps of an execution exchange something between threads: the first of its thread to meet what another thread did to a word, and the last read and
// the last write before another thread does something to it. All others come between two steps of the same thread that say more: nobody else could tell when
// they happened.
import type { RecordedStep } from './recorder.js';
import { LOCK_HEAP, SH_HEAP_NEXT } from '../kernel/abi/layout.js';
import * as points from '../kernel/abi/point.js';

interface Access {
  step: number;
  thread: number;
  read: boolean;
  write: boolean;
}

/** Words of the kernel's heap: who takes memory first changes where things lie, and nothing else. */
const ALLOCATOR = new Set<number>([LOCK_HEAP, SH_HEAP_NEXT]);
const RANGES = new Set<number>([points.POINT_FILL, points.POINT_COPY]);
const LOADS = new Set<number>([
  points.POINT_LOAD,
  points.POINT_ATOMIC_LOAD,
  points.POINT_LOAD_RELAXED,
  points.POINT_FENCE,
  points.POINT_RELAX,
]);
const COMPARING = new Set<number>([points.POINT_CAS, points.POINT_CAS_RELAXED]);
const STORES = new Set<number>([points.POINT_STORE, points.POINT_ATOMIC_STORE, points.POINT_FILL, points.POINT_COPY]);

function accessOf(step: number, { thread, kind, wrote }: RecordedStep): Access {
  const write = !LOADS.has(kind) && (wrote || !COMPARING.has(kind));
  return { step, thread, read: !STORES.has(kind), write };
}

/** Accesses by word (address / 4), in their order. A wait has no operation but its own. */
function accessesByWord(steps: readonly RecordedStep[]): Map<number, Access[]> {
  const byWord = new Map<number, Access[]>();
  for (const [n, step] of steps.entries()) {
    if (step.kind === 0 || ALLOCATOR.has(step.address)) continue;
    const bytes = RANGES.has(step.kind) ? step.bytes : Math.min(8, Math.max(4, step.bytes));
    for (let word = step.address >>> 2; word * 4 < step.address + bytes; word++) {
      const access = accessOf(n, step);
      const list = byWord.get(word);
      if (list === undefined) byWord.set(word, [access]);
      else list.push(access);
    }
  }
  return byWord;
}

/** What threads have not met yet: of others, writes that their next read meets, and accesses that their next write meets. */
interface Unmet {
  byRead: boolean;
  byWrite: boolean;
}

function markMeeting(accesses: readonly Access[], forward: boolean, marked: Set<number>): void {
  const unmet = new Map<number, Unmet>(accesses.map(({ thread }) => [thread, { byRead: false, byWrite: false }]));
  for (const { step, thread, read, write } of accesses) {
    const own = unmet.get(thread)!;
    if ((read && own.byRead) || (write && own.byWrite)) marked.add(step);
    // Who has written reads its own value from then on; who will write may have read before.
    if (read || (write && forward)) own.byRead = false;
    if (write) own.byWrite = false;
    for (const [other, notes] of unmet) {
      if (other === thread) continue;
      notes.byRead ||= write;
      notes.byWrite = true;
    }
  }
}

/** Indices of the steps that exchange something with another thread, and of the last one. */
export function exchangingSteps(steps: readonly RecordedStep[]): Set<number> {
  const marked = new Set<number>(steps.length === 0 ? [] : [steps.length - 1]);
  for (const accesses of accessesByWord(steps).values()) {
    if (!accesses.some(({ write }) => write) || accesses.every(({ thread }) => thread === accesses[0]!.thread))
      continue;
    markMeeting(accesses, true, marked);
    markMeeting(accesses.toReversed(), false, marked);
  }
  for (const [n, { kind }] of steps.entries()) if (kind === 0 || kind === points.POINT_FUTEX_WAIT) marked.add(n);
  return marked;
}
