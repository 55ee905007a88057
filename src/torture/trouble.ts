// What a profile's `perturb` and `costs` mean for the host, who is the victim, and what came of it.
import { dirname, resolve } from 'node:path';
import { parseCosts, readCosts, type Costs } from '../host/costs.js';
import type { Injected, Occasional, Perturbing } from '../host/trouble.js';
import type { Shard } from '../host/shard.js';
import { parseDuration } from '../host/units.js';
import * as program from '../kernel/abi/program.js';
import type { ActorProgram } from './actors.js';
import { unitStream } from './random.js';
import type { Perturb, Profile } from './schema.js';

/** The trouble of a run, as its result tells of it. */
export interface Perturbation {
  /** Actors whose threads are paused now and then. */
  victims: string[];
  /** How often each kind came about. */
  injected: Injected;
}

/** `perturb` as the host takes it. */
export function troubleOf(perturb: Perturb): Perturbing {
  const { meanPoints, delay, longHold, victim, allocationFailure, leave, slowHook, slowIpi } = perturb;
  const occasional = (given: { chance: number; length: number | string }): Occasional => ({
    chance: given.chance,
    lengthNs: parseDuration(given.length),
  });
  return {
    meanPoints,
    delayNs: parseDuration(delay),
    yieldShare: perturb.yield,
    ...(longHold === undefined ? {} : { longHold: occasional(longHold) }),
    ...(victim === undefined
      ? {}
      : {
          victim: {
            everyNs: parseDuration(victim.every),
            leastNs: parseDuration(victim.pause[0]),
            mostNs: parseDuration(victim.pause[1]),
          },
        }),
    ...(allocationFailure === undefined ? {} : { allocationFailure }),
    ...(leave === undefined
      ? {}
      : { leave: { everyNs: parseDuration(leave.every), awayNs: parseDuration(leave.away) } }),
    ...(slowHook === undefined ? {} : { slowHook: occasional(slowHook) }),
    ...(slowIpi === undefined ? {} : { slowIpi: occasional(slowIpi) }),
  };
}

/** The cost model of a profile in nanoseconds; undefined without one. Throws UsageError for a file that is wrong. */
export function costsOf({ costs }: Profile, profilePath: string): Costs | undefined {
  if (typeof costs !== 'string') return costs === undefined ? undefined : parseCosts(costs);
  return readCosts(resolve(dirname(profilePath), costs));
}

/** Whether the profile asks for more than delays. */
export function hasTrouble({ longHold, victim, allocationFailure, leave, slowHook, slowIpi }: Perturb): boolean {
  return [longHold, victim, allocationFailure, leave, slowHook, slowIpi].some((each) => each !== undefined);
}

/** Draws the victims from the seed and marks their programs. Returns their names. @context before the actors start. */
export function markVictims(
  shards: readonly Shard[],
  programs: readonly ActorProgram[],
  { victim }: Perturb,
  seed: bigint,
): string[] {
  const next = unitStream(seed, 0x76696374696dn);
  const left = [...programs];
  const victims: ActorProgram[] = [];
  while (victims.length < (victim?.threads ?? 0) && left.length > 0) {
    victims.push(...left.splice(Math.floor(next() * left.length), 1));
  }
  for (const { shard, address } of victims) {
    new DataView(shards[shard]!.buffer).setUint32(address + program.PR_VICTIM, 1, true);
  }
  return victims.map(({ name }) => name);
}
