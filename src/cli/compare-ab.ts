// Two settings of one profile, run in turn (A B, B A, A B, ...), so that what the machine does meanwhile meets both alike.
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { UsageError, type Violation } from '../host/errors.js';
import { compareSamples, samplesOfRound, type Bounds, type Samples } from '../torture/compare.js';
import { placed, type OpenedDocument, type Override } from '../torture/document.js';
import { runTorture, type TortureResult } from '../torture/run.js';
import type { Profile } from '../torture/schema.js';
import { oraclesOf, type Compared } from './compare.js';
import { openProfile } from './profile.js';

const QUICKSTART = fileURLToPath(new URL('../../../config/quickstart.yaml', import.meta.url));

export interface Settings {
  /** Path; the main job's profile without it. */
  profile: string | undefined;
  /** Each: `key=value` pairs with blanks between; empty: the profile as it is. */
  settings: [a: string, b: string];
  /** Pairs for both. */
  set: readonly Override[];
  rounds: number;
  seed: bigint;
  /** Command line that repeats the comparison. */
  again: string;
  bounds: Bounds;
  signal: AbortSignal;
  /** Told before each run: how many have been made, of how many. */
  onRun: (made: number, of: number) => void;
}

/** Runs both settings `rounds` times. Throws UsageError when they are the same or one is no profile. */
export async function compareSettings({
  profile,
  settings,
  set,
  rounds,
  seed,
  again,
  bounds,
  signal,
  onRun,
}: Settings): Promise<Compared> {
  const profilePath = resolve(profile ?? QUICKSTART);
  if (settings[0].trim() === settings[1].trim())
    throw new UsageError('--ab', `--ab: both settings are '${settings[0]}'`);
  const profiles: OpenedDocument<Profile>[] = [];
  for (const setting of settings) {
    const pairs = setting.split(/\s+/).filter((pair) => pair !== '');
    profiles.push(await openProfile(profilePath, [...set, ...pairs]));
  }
  const samples: [Samples, Samples] = [{}, {}];
  const runs: TortureResult[] = [];
  const violations: [Violation[], Violation[]] = [[], []];
  for (let round = 0; round < rounds && !signal.aborted; round++) {
    for (const side of round % 2 === 0 ? ([0, 1] as const) : ([1, 0] as const)) {
      onRun(runs.length, 2 * rounds);
      const result = await runTorture({
        profile: profiles[side]!.data,
        profilePath,
        seed: BigInt.asUintN(64, seed + BigInt(round)),
        again: '',
        signal,
      }).catch((error: unknown) => {
        throw placed(error, profiles[side]!);
      });
      // What was cut short is no sample.
      if (!result.partial) samplesOfRound(samples[side], result);
      runs.push(result);
      violations[side].push(...result.violations);
    }
  }
  const doubts = new Set(runs.flatMap(({ trust }) => trust.doubts.map((doubt) => doubt.replace(/[\d.]+ %/, 'much'))));
  return {
    a: settings[0] === '' ? profilePath : settings[0],
    b: settings[1] === '' ? profilePath : settings[1],
    seed: `0x${seed.toString(16)}`,
    again,
    metrics: compareSamples(samples[0], samples[1], bounds, true),
    notes: [`${runs.length / 2} rounds, each setting once a round with the same seed`, ...doubts],
    violated: [oraclesOf(violations[0]), oraclesOf(violations[1])],
    doubtful: signal.aborted || runs.some(({ trust }) => trust.untrustworthy),
  };
}
