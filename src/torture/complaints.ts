// What is wrong with a profile beyond its schema: names and numbers that must fit the program and the machine it runs on.
import { cpus } from 'node:os';
import type { Complaint } from './document.js';
import { parseDuration } from '../host/units.js';
import type { Perturb, Profile } from './schema.js';
import { thresholdComplaints } from './thresholds.js';
import { hasTrouble } from './trouble.js';

/** Everything that is wrong with a profile that its schema accepts, each with its place. */
export function profileComplaints(profile: Profile): Complaint[] {
  return [...thresholdComplaints(profile), ...actorComplaints(profile), ...perturbComplaints(profile)];
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
