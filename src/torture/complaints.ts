// What is wrong with a profile beyond its schema: names and numbers that must fit the program and the machine it runs on.
import { cpus } from 'node:os';
import type { Complaint } from './document.js';
import type { Profile } from './schema.js';
import { thresholdComplaints } from './thresholds.js';

/** Everything that is wrong with a profile that its schema accepts, each with its place. */
export function profileComplaints(profile: Profile): Complaint[] {
  return [...thresholdComplaints(profile), ...cpuComplaints(profile, cpus().length)];
}

function cpuComplaints({ actors }: Profile, count: number): Complaint[] {
  return actors.flatMap((actor, n) =>
    (actor.cpus ?? []).flatMap((cpu, at) => {
      if (cpu < count) return [];
      const path = ['actors', n, 'cpus', at];
      return [{ path, inKey: false, message: `${path.join('.')}: no CPU ${cpu}; this machine has 0 to ${count - 1}` }];
    }),
  );
}
