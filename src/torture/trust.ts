// Whether a run measured the protocol or the machine: threads that waited for a CPU, open loops that could not keep their rate. What is beyond the
// limits of the profile makes a run inconclusive; what is much, without limits, is only said.
import type { ActorReply } from '../host/pool.js';
import type { ActorResult } from './results.js';
import type { Profile } from './schema.js';

/** From here on a run without limits says so. */
const MUCH: Record<keyof Limits, number> = { runDelay: 0.1, missed: 0.01 };

type Limits = NonNullable<Profile['trust']>;

/** Whether a run measured the engine or the machine. */
export interface Trust {
  /** The largest share of its time that a thread was ready and waited for a CPU; absent where the system does not tell. */
  runDelayShare?: number;
  /** The largest share of its steps that the thread of an open loop had no time for. */
  missedShare?: number;
  /** What speaks against the latencies and rates of this run. */
  doubts: string[];
  /** A limit of the profile is passed: the run is inconclusive. */
  untrustworthy: boolean;
}

function percent(share: number): string {
  return `${(share * 100).toFixed(share < 0.1 ? 1 : 0)} %`;
}

/** Judges a run by the profile's limits: its actors, and the threads that ran them. */
export function judgeTrust(actors: readonly ActorResult[], replies: readonly ActorReply[], limits: Limits = {}): Trust {
  const trust: Trust = { doubts: [], untrustworthy: false };
  const worst = (values: readonly (number | undefined)[]): number | undefined => {
    const known = values.filter((value): value is number => value !== undefined);
    return known.length === 0 ? undefined : Math.max(...known);
  };
  const doubt = (share: number | undefined, limit: keyof Limits, tell: (share: string) => string): void => {
    const most = limits[limit];
    if (share === undefined || share <= (most ?? MUCH[limit])) return;
    trust.doubts.push(tell(percent(share)) + (most === undefined ? '' : `; trust.${limit} allows ${percent(most)}`));
    if (most !== undefined) trust.untrustworthy = true;
  };
  const runDelay = worst(replies.map(({ runDelayShare }) => runDelayShare));
  const missed = worst(actors.map(({ pacing }) => pacing?.missedShare));
  if (runDelay !== undefined) trust.runDelayShare = runDelay;
  if (missed !== undefined) trust.missedShare = missed;
  doubt(runDelay, 'runDelay', (share) => `a thread waited ${share} of its time for a CPU`);
  doubt(missed, 'missed', (share) => `an open loop had no time for ${share} of its steps`);
  if (runDelay === undefined && limits.runDelay !== undefined) {
    trust.doubts.push('this system does not tell how long threads wait for a CPU; trust.runDelay cannot be kept');
    trust.untrustworthy = true;
  }
  for (const { name, unbound } of replies) {
    if (unbound !== undefined) trust.doubts.push(`${name} was not bound to its CPU: ${unbound}`);
  }
  return trust;
}
