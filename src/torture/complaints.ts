// What is wrong with a profile beyond its schema: names and numbers that must fit the program and the machine it runs on.
import { cpus } from 'node:os';
import type { Complaint } from './document.js';
import { parseDuration } from '../host/units.js';
import { variantNames } from '../host/variants.js';
import { nearestWords } from '../host/issues.js';
import type { Perturb, Profile } from './schema.js';
import { thresholdComplaints } from './thresholds.js';
import { hasTrouble } from './trouble.js';

/** Everything that is wrong with a profile that its schema accepts, each with its place. */
export function profileComplaints(profile: Profile): Complaint[] {
  return [
    ...thresholdComplaints(profile),
    ...actorComplaints(profile),
    ...perturbComplaints(profile),
    ...variantComplaints(profile),
    ...timeComplaints(profile),
  ];
}

function variantComplaints({ variants, build }: Profile): Complaint[] {
  if (variants.length > 0 && build !== 'perturbed') {
    const message = `variants: the ${build} build has none; use build: perturbed`;
    return [{ path: ['variants'], inKey: false, message }];
  }
  const known = variantNames();
  return variants.flatMap((name, n) => {
    if (known.includes(name) || known.includes(name.toUpperCase())) return [];
    const near = nearestWords(name, known);
    const advice = near.length > 0 ? `did you mean ${near.join(' or ')}?` : `known are ${known.join(', ')}`;
    return [{ path: ['variants', n], inKey: false, message: `variants.${n}: '${name}' is unknown; ${advice}` }];
  });
}

/** Ends of time that a double of nanoseconds no longer counts up to. */
const MOST_NS = 9e17;
const LEAST_STUCK_NS = 1e6;

function timeComplaints({ warmup, duration, stuckAfter }: Profile): Complaint[] {
  const complain = (key: string, given: string | number, text: string): Complaint[] => [
    { path: [key], inKey: false, message: `${key}: ${given} ${text}` },
  ];
  return [
    ...(parseDuration(warmup) > MOST_NS ? complain('warmup', warmup, 'is too long; at most 250000h') : []),
    ...(parseDuration(duration) > MOST_NS ? complain('duration', duration, 'is too long; at most 250000h') : []),
    ...(parseDuration(stuckAfter) < LEAST_STUCK_NS
      ? complain('stuckAfter', stuckAfter, 'is too short; at least 1ms')
      : []),
  ];
}

/** The same of its actors alone. */
export function actorComplaints(profile: Pick<Profile, 'actors'>): Complaint[] {
  return [...cpuComplaints(profile, cpus().length), ...holdComplaints(profile)];
}

function cpuComplaints({ actors }: Pick<Profile, 'actors'>, count: number): Complaint[] {
  return actors.flatMap((actor, n) =>
    (actor.cpus ?? []).flatMap((cpu, at) => {
      if (cpu < count) return [];
      const path = ['actors', n, 'cpus', at];
      return [{ path, inKey: false, message: `${path.join('.')}: no CPU ${cpu}; this machine has 0 to ${count - 1}` }];
    }),
  );
}

/** Longer than RMPUPDATE goes on trying (some 200 ms), an entry that is locked is an entry that fails. */
const MOST_HOLD_NS = 50_000_000;

function holdComplaints({ actors }: Pick<Profile, 'actors'>): Complaint[] {
  return actors.flatMap(({ hold }, n) => {
    if (hold === undefined || parseDuration(hold) <= MOST_HOLD_NS) return [];
    const path = ['actors', n, 'hold'];
    return [{ path, inKey: false, message: `${path.join('.')}: ${hold} is too long for an instruction; at most 50ms` }];
  });
}

function perturbComplaints({ perturb, build, stuckAfter }: Profile): Complaint[] {
  const complain = (path: (string | number)[], text: string): Complaint => ({
    path: ['perturb', ...path],
    inKey: false,
    message: `${['perturb', ...path].join('.')}: ${text}`,
  });
  if (perturb === 'swarm' || hasTrouble(perturb)) {
    if (build !== 'perturbed') return [complain([], `the ${build} build injects nothing; use build: perturbed`)];
  }
  if (perturb === 'swarm') return [];
  const { meanPoints, longHold, victim } = perturb;
  const found: Complaint[] = [];
  if (meanPoints === 0 && (longHold ?? victim) !== undefined) {
    found.push(complain(['meanPoints'], 'long holds and pauses happen at perturbations; 0 means that there are none'));
  }
  if (victim !== undefined && parseDuration(victim.pause[0]) > parseDuration(victim.pause[1])) {
    found.push(complain(['victim', 'pause'], 'the first duration must not be longer than the second'));
  }
  // One that is too short at all is told of by itself.
  if (parseDuration(stuckAfter) < LEAST_STUCK_NS) return found;
  for (const { path, time } of lengths(perturb)) {
    if (parseDuration(time) * 2 <= parseDuration(stuckAfter)) continue;
    found.push(
      complain(
        path,
        `${time} is more than half of stuckAfter, ${stuckAfter}: who waits for it would be taken for stuck`,
      ),
    );
  }
  return found;
}

/** The times for which a thread may be held up at one place. */
function lengths({
  delay,
  longHold,
  victim,
  slowHook,
  slowIpi,
}: Perturb): { path: (string | number)[]; time: string | number }[] {
  return [
    { path: ['delay'], time: delay },
    ...(longHold === undefined ? [] : [{ path: ['longHold', 'length'], time: longHold.length }]),
    ...(victim === undefined ? [] : [{ path: ['victim', 'pause', 1], time: victim.pause[1] }]),
    ...(slowHook === undefined ? [] : [{ path: ['slowHook', 'length'], time: slowHook.length }]),
    ...(slowIpi === undefined ? [] : [{ path: ['slowIpi', 'length'], time: slowIpi.length }]),
  ];
}
