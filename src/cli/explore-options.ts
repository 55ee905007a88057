// The options of `explore`, read and checked.
import { randomBytes } from 'node:crypto';
import { UsageError } from '../host/errors.js';
import { PROTOCOLS } from '../host/protocols.js';
import { parseDuration, parseSize } from '../host/units.js';
import type { Checkpoint } from '../explore/checkpoint.js';
import type { PointSet } from '../explore/target.js';
import { wholeNumber } from './whole-number.js';

/** As the command line has them. */
export interface Options {
  strategy: string;
  executions: string;
  duration?: string;
  seed?: string;
  points?: string;
  steps: string;
  spurious: string;
  timeouts: string;
  memory: string;
  workers?: string;
  variant: string[];
  protocol?: string;
  json?: boolean;
  out?: string;
  quiet?: boolean;
  races?: string;
  locks?: string;
  list?: boolean;
  from?: string;
  resume?: string;
}

/** The strategies that are none: every state once, depth first, or breadth first for the shortest counterexample. */
export const STATES = 'states';
export const SHORTEST = 'shortest';
export const STATEFUL: ReadonlySet<string> = new Set([STATES, SHORTEST]);
/** Strategies that go from one execution to the next. */
export const SCHEDULES: ReadonlySet<string> = new Set(['dpor', 'preemptions', 'delays']);
/** Strategies that draw nothing. */
export const SEARCHES: ReadonlySet<string> = new Set([...STATEFUL, ...SCHEDULES]);
const LEAST_VISITED_BYTES = 1 << 16;
const MOST_VISITED_BYTES = 2 ** 33;

/** What options are when they are not given. */
export const DEFAULTS = {
  strategy: 'portfolio',
  steps: '20000',
  spurious: '0',
  timeouts: '0',
} as const;
/** What an exploration that goes on keeps. */
const FIXED = [
  'strategy',
  'seed',
  'points',
  'races',
  'locks',
  'steps',
  'spurious',
  'timeouts',
  'variant',
  'protocol',
  'from',
] as const;

function oneOf<T extends string>(option: string, text: string, known: readonly T[]): T {
  const found = known.find((each) => each === text);
  if (found === undefined) throw new UsageError(option, `${option} ${text}: expected one of ${known.join(', ')}`);
  return found;
}

/** Options as they are used. Throws UsageError for what makes no sense. */
export function readOptions(options: Options) {
  const points: PointSet | undefined =
    options.points === undefined ? undefined : oneOf('--points', options.points, ['sync', 'racy', 'all'] as const);
  return {
    executions: wholeNumber('--executions', options.executions, 1, 2 ** 40),
    durationMs: options.duration === undefined ? Infinity : parseDuration(options.duration) / 1e6,
    seed:
      options.seed === undefined ? randomBytes(4).readUInt32LE() : wholeNumber('--seed', options.seed, 0, 2 ** 32 - 1),
    memory: visitedBytes(options.memory),
    workers: workersOf(options),
    target: {
      stepLimit: wholeNumber('--steps', options.steps, 1, 10_000_000),
      spuriousWakeups: wholeNumber('--spurious', options.spurious, 0, 1000),
      earlyTimeouts: wholeNumber('--timeouts', options.timeouts, 0, 1000),
      ...(points === undefined ? {} : { points }),
      ...(options.locks === undefined ? {} : { locks: oneOf('--locks', options.locks, ['abstract', 'concrete']) }),
      ...(options.races === undefined ? {} : { races: oneOf('--races', options.races, ['on', 'off']) === 'on' }),
    },
    overrides: {
      ...(options.variant.length === 0 ? {} : { variants: options.variant }),
      ...(options.protocol === undefined ? {} : { protocol: oneOf('--protocol', options.protocol, PROTOCOLS) }),
    },
  };
}

/** All but one are shared out. */
function workersOf({ workers, strategy }: Options): number | undefined {
  if (workers === undefined) return undefined;
  if (strategy === SHORTEST)
    throw new UsageError('--workers', `--workers ${workers}: strategy ${strategy} runs on one thread`);
  return wholeNumber('--workers', workers, 1, 256);
}

/** Bytes for the set of visited states. */
function visitedBytes(text: string): number {
  const bytes = parseSize(text);
  if (bytes >= LEAST_VISITED_BYTES && bytes <= MOST_VISITED_BYTES) return bytes;
  throw new UsageError('--memory', `--memory ${text}: expected a size from 64KiB to 8GiB`);
}

/** The options of an exploration that goes on: what was explored and how is the checkpoint's. Throws UsageError where they are given again. */
export function resumedOptions(options: Options, { strategy, seed, target, overrides }: Checkpoint): Options {
  const defaults: Partial<Record<keyof Options, unknown>> = DEFAULTS;
  for (const name of FIXED) {
    if (options[name] === undefined || options[name] === defaults[name] || String(options[name]) === '') continue;
    throw new UsageError('--resume', `--resume ${options.resume}: leave out --${name}, which the checkpoint has`);
  }
  return {
    ...options,
    strategy,
    seed: String(seed),
    steps: String(target.stepLimit),
    spurious: String(target.spuriousWakeups),
    timeouts: String(target.earlyTimeouts),
    variant: [...(overrides.variants ?? [])],
    ...(target.points === undefined ? {} : { points: target.points }),
    ...(target.locks === undefined ? {} : { locks: target.locks }),
    ...(target.races === undefined ? {} : { races: target.races ? 'on' : 'off' }),
    ...(overrides.protocol === undefined ? {} : { protocol: overrides.protocol }),
  };
}
