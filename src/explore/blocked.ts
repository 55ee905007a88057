// Everybody sleeps for ever: who waits for whom, and whether that is a deadlock (each waits for one that waits in turn, or for one that is gone) or a lost
// wake-up (somebody sleeps whom nobody holds up). What a task waits for and what it holds, its own notes say: wait word and lockdep's held stack.
import * as control from '../kernel/abi/control.js';
import * as layout from '../kernel/abi/layout.js';
import type { Finding } from './finding.js';
import type { HeldLock, LockStacks } from './lock-stacks.js';
import type { Recorder } from './recorder.js';
import type { SourceLine } from './source-lines.js';
import type { Target } from './target.js';

/** One sleeper: the lock it waits for (0: only a word) and the threads that hold it. */
interface Sleeper {
  thread: number;
  lock: number;
  holders: number[];
}

function heldBy(target: Target, thread: number): number[] {
  const { words } = target.machine.memory;
  const task = target.machine.task(thread);
  const count = Math.min(words[(task + layout.TASK_HELD_COUNT) / 4]!, layout.HELD_MAX);
  const awaited = words[(task + layout.TASK_WAIT_LOCK) / 4]!;
  // Lockdep notes a lock before the wait for it: the one that is waited for is not held.
  return Array.from({ length: count }, (_, n) => words[(task + layout.TASK_HELD + n * 8) / 4]!)
    .filter((lock) => lock !== awaited)
    .map((lock) => lock >>> 0);
}

function sleeperOf(target: Target, thread: number): Sleeper {
  const { machine } = target;
  const { words } = machine.memory;
  const task = machine.task(thread);
  const lock = words[(task + layout.TASK_WAIT_LOCK) / 4]! >>> 0;
  const rcu = words[(task + layout.TASK_WAIT_KIND) / 4] === layout.WAIT_RCU;
  const holders = target.threadNames.flatMap((_, other) => {
    if (other === thread) return [];
    const holds = rcu
      ? words[(machine.task(other) + layout.TASK_RCU_NESTING) / 4]! > 0
      : lock !== 0 && heldBy(target, other).includes(lock);
    return holds ? [other] : [];
  });
  return { thread, lock, holders };
}

/** Threads of a cycle of waits, if there is one. */
function cycleOf(sleepers: readonly Sleeper[]): number[] | undefined {
  const byThread = new Map(sleepers.map((sleeper) => [sleeper.thread, sleeper]));
  const search = (thread: number, path: number[]): number[] | undefined => {
    if (path.includes(thread)) return path.slice(path.indexOf(thread));
    for (const holder of byThread.get(thread)?.holders ?? []) {
      const found = search(holder, [...path, thread]);
      if (found !== undefined) return found;
    }
    return undefined;
  };
  for (const { thread } of sleepers) {
    const found = search(thread, []);
    if (found !== undefined) return found;
  }
  return undefined;
}

/** The finding of an execution in which nobody can go on. */
export function blocked(target: Target): Finding {
  const { machine, threadNames } = target;
  const sleepers = threadNames.flatMap((_, thread) =>
    machine.status(thread) === control.STATUS_BLOCKED ? [sleeperOf(target, thread)] : [],
  );
  const cycle = cycleOf(sleepers);
  const root = cycle === undefined ? sleepers.find(({ holders }) => holders.length === 0) : undefined;
  const text = sleepers.map((sleeper) => describe(target, sleeper)).join('; ');
  if (root !== undefined) return { kind: 'lost-wakeup', message: text, thread: threadNames[root.thread]! };
  const around = cycle?.map((thread) => threadNames[thread]).join(' -> ');
  const message = around === undefined ? text : `${text} (cycle: ${around} -> ${threadNames[cycle![0]!]})`;
  return { kind: 'deadlock', message, thread: threadNames[cycle?.[0] ?? sleepers[0]!.thread]! };
}

/** What a sleeping thread waits for, who has it, and what it holds itself. */
export function waitText(target: Target, thread: number): string {
  return describe(target, sleeperOf(target, thread));
}

/** Whether a thread has noted what it waits for. */
export function waitsForLock({ machine }: Target, thread: number): boolean {
  return machine.memory.words[(machine.task(thread) + layout.TASK_WAIT_LOCK) / 4] !== 0;
}

/** Waits that are not for a lock. */
const WAITS: Record<number, string> = {
  [layout.WAIT_SRCU]: 'is in synchronize_srcu() of',
  [layout.WAIT_RCU]: 'is in synchronize_rcu() of',
  [layout.WAIT_RCUWAIT]: 'is in rcuwait of',
  [layout.WAIT_IPI]: 'waits for the IPI of',
  [layout.WAIT_BARRIER]: 'waits at the barrier',
};

/** Of these a lock of nobody's is no wonder: what they wait for is not held. */
const UNHELD = new Set([layout.WAIT_RCUWAIT, layout.WAIT_IPI, layout.WAIT_BARRIER]);

function describe(target: Target, sleeper: Sleeper): string {
  const { machine, threadNames } = target;
  const { thread, lock } = sleeper;
  const name = threadNames[thread]!;
  const holds = heldBy(target, thread).map((address) => target.nameOf(address));
  const holding = holds.length === 0 ? '' : `holds ${holds.join(', ')} and `;
  if (lock === 0) {
    const word = machine.address(thread);
    const changed = machine.memory.words[word >>> 2] !== machine.low(thread);
    return `${name} ${holding}sleeps on ${target.nameOf(word)}${changed ? ', whose value has changed since' : ''}`;
  }
  return `${name} ${holding}${awaitedText(target, sleeper)}`;
}

/** `waits for spare, held by two`. */
function awaitedText(target: Target, { thread, lock, holders }: Sleeper): string {
  const { machine, threadNames } = target;
  const by = holders.map((holder) => {
    const gone = machine.status(holder) === control.STATUS_FINISHED ? ' (which has ended)' : '';
    return `${threadNames[holder]}${gone}`;
  });
  const kind = machine.memory.words[(machine.task(thread) + layout.TASK_WAIT_KIND) / 4]!;
  const unheld = UNHELD.has(kind) ? '' : ', which nobody holds';
  const state = by.length === 0 ? unheld : `, held by ${by.join(', ')}`;
  return `${WAITS[kind] ?? 'waits for'} ${target.nameOf(lock)}${state}`;
}

/** A lock as a report speaks of it: name, where and in which step it was taken. */
export interface LockNote {
  lock: string;
  isRead: boolean;
  step: number;
  place: SourceLine | undefined;
}

/** The locks of one thread where an execution ended. */
export interface ThreadLocks {
  thread: number;
  held: readonly LockNote[];
  /** `waits for spare, held by two`, with the place where it does. */
  waits?: { text: string; place: SourceLine | undefined };
}

/** One lock taken under another, by whom. */
export interface NestedLocks {
  thread: number;
  under: LockNote;
  taken: LockNote;
}

/** Of a broken rule of lockdep's: which locks were taken under others in this execution, as far as a lock is among them that the thread holds. */
export function nestedLocks({ threadNames, nameOf }: Target, thread: string, locks: LockStacks): NestedLocks[] {
  const held = new Set(locks.of(threadNames.indexOf(thread)).map(({ lock }) => lock));
  const note = ({ lock, ...rest }: HeldLock): LockNote => ({ lock: nameOf(lock), ...rest });
  return locks.edges
    .filter(({ taken }) => held.has(taken.lock))
    .map(({ thread: by, under, taken }) => ({ thread: by, under: note(under), taken: note(taken) }));
}

/** The lock stacks of all threads that hold a lock or wait for one. @context the execution that was recorded has just ended. */
export function lockNotes(target: Target, { locks, places }: Pick<Recorder, 'locks' | 'places'>): ThreadLocks[] {
  const { machine, threadNames } = target;
  return threadNames.flatMap((_, thread) => {
    const sleeper = sleeperOf(target, thread);
    const waits = machine.status(thread) !== control.STATUS_FINISHED && sleeper.lock !== 0;
    const stack = (locks?.of(thread) ?? [])
      .filter(({ lock }) => !waits || lock !== sleeper.lock)
      .map(({ lock, ...rest }): LockNote => ({ lock: target.nameOf(lock), ...rest }));
    if (stack.length === 0 && !waits) return [];
    const awaited = waits ? { waits: { text: awaitedText(target, sleeper), place: places[thread] } } : {};
    return [{ thread, held: stack, ...awaited }];
  });
}
