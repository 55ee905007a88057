// What an execution ended with, in words: the oracle and its message, or who waits for what for ever.
import * as control from '../kernel/abi/control.js';
import { blocked } from './blocked.js';
import type { Ending } from './machine.js';
import { raceText } from './race-watch.js';
import type { Target } from './target.js';

/** Why an execution failed. `kind`: an oracle's name, 'deadlock', 'lost-wakeup', 'livelock', 'starvation', 'data-race', 'crash' or 'step-limit'. */
export interface Finding {
  kind: string;
  message: string;
  thread: string;
  /** Of a data race: the word. */
  address?: number;
}

/** What is wrong with the execution that has just ended; undefined when it passed. Looks at the state at rest when all threads have finished. */
export function findingOf(target: Target, ending: Ending): Finding | undefined {
  switch (ending) {
    case 'given-up':
      return undefined;
    case 'endless':
      return raceOf(target);
    case 'finished':
      return target.atRest() ? raceOf(target) : oopsOf(target, 'at rest');
    case 'oops':
      return oopsOf(target, threadName(target, target.machine.current));
    case 'crash': {
      const thread = threadName(target, target.machine.current);
      return { kind: 'crash', message: `${thread}: ${target.machine.crash?.message ?? 'trap'}`, thread };
    }
    case 'blocked':
      return blocked(target);
    case 'livelock':
      return livelock(target);
    default: {
      const message = `no end within ${target.machine.step} steps; ${unfinished(target).join(', ')} still run`;
      return { kind: 'step-limit', message, thread: '' };
    }
  }
}

/** A data race of an execution that has not failed otherwise: what it broke says more. */
function raceOf({ races, threadNames, nameOf }: Target): Finding | undefined {
  const race = races?.race;
  if (race === undefined) return undefined;
  const thread = threadNames[race.second.thread - 1] ?? '';
  return { kind: 'data-race', message: raceText(race, threadNames, nameOf), thread, address: race.address };
}

function threadName(target: Target, thread: number): string {
  return target.threadNames[thread] ?? `thread${thread}`;
}

function oopsOf(target: Target, thread: string): Finding {
  const [first] = target.violations();
  if (first === undefined) return { kind: 'kernel-bug', message: 'the kernel stopped without a record', thread };
  return { kind: first.oracle, message: first.message, thread };
}

function unfinished(target: Target): string[] {
  return target.threadNames.filter((_, thread) => target.machine.status(thread) !== control.STATUS_FINISHED);
}

/** Nobody gets on, or some do and others never. */
function livelock(target: Target): Finding {
  const { repeatsFrom, step, progressed } = target.machine;
  if (repeatsFrom < 0)
    return { kind: 'livelock', message: `${spinners(target)}: each turns its loop, and nobody writes`, thread: '' };
  const round = `after step ${step} everything is as after step ${repeatsFrom}`;
  const getsOn = (name: string): boolean => ((progressed >>> target.threadNames.indexOf(name)) & 1) !== 0;
  const starving = unfinished(target).filter((name) => !getsOn(name));
  const others = unfinished(target).filter(getsOn);
  if (others.length === 0)
    return {
      kind: 'livelock',
      message: `${starving.join(', ')}: ${round}, and a fair scheduler does not end it`,
      thread: '',
    };
  const message = `${starving.join(', ')}: never gets on while ${others.join(', ')} always does: ${round}`;
  return { kind: 'starvation', message, thread: starving[0]! };
}

function spinners(target: Target): string {
  return target.threadNames
    .filter((_, thread) => {
      const status = target.machine.status(thread);
      return status === control.STATUS_SPINNING || target.machine.isEnabled(thread);
    })
    .join(', ');
}
