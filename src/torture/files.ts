// The files that a profile names beside itself, and what is wrong with them: told before anything is run, at the place where the profile names them.
import { dirname, resolve } from 'node:path';
import { planShards } from '../host/boot.js';
import { UsageError } from '../host/errors.js';
import type { HostOptions } from '../host/host-options.js';
import type { Complaint } from './document.js';
import { memslotSequence } from './guests.js';
import type { Profile } from './schema.js';
import { costsOf } from './trouble.js';

type Path = Complaint['path'];

/** How much memory the host has, as it takes it. */
export function memoryOf(
  { host: { memory, layout, shardMemory } }: Profile,
  profilePath: string,
): Pick<HostOptions, 'memory' | 'layout' | 'shardMemory'> {
  return {
    memory,
    ...(shardMemory === undefined ? {} : { shardMemory }),
    ...(layout === undefined ? {} : { layout: resolve(dirname(profilePath), layout) }),
  };
}

/** The hook as the host takes it: a name, or the path of a module. */
export function hookOf({ hook }: Profile, profilePath: string): string {
  return /^(none|snp)$/.test(hook) ? hook : resolve(dirname(profilePath), hook);
}

/** What is wrong with the files of a profile, and with the memory of its host and guests. */
export function fileComplaints(profile: Profile, profilePath: string): Complaint[] {
  const { layout } = profile.host;
  return [
    ...complaintsOf(['host', layout === undefined ? 'memory' : 'layout'], () => asidComplaints(profile, profilePath)),
    ...complaintsOf(['costs'], () => void costsOf(profile, profilePath)),
    ...profile.vms.flatMap((vm, n) =>
      complaintsOf(['vms', n, vm.memslots === undefined ? 'memory' : 'memslots'], () => {
        memslotSequence(vm, profilePath);
      }),
    ),
  ];
}

/** What `work` complains about, told of the value at `path`; or what it returns. */
function complaintsOf(path: Path, work: () => Complaint[] | void): Complaint[] {
  try {
    return work() ?? [];
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    const name = path.join('.');
    // Some of the messages begin with the key, as an option of the library has no other place.
    return error.message
      .split('\n')
      .map((line) => ({ path, inKey: false, message: `${name}: ${line.replace(`${path.at(-1)}: `, '')}` }));
  }
}

/** Guests of one shard that are to have the same ASID. Throws UsageError when the host cannot be made. */
function asidComplaints(profile: Profile, profilePath: string): Complaint[] {
  const shards = planShards(memoryOf(profile, profilePath)).length;
  const taken = new Map<string, number>();
  let guest = 0;
  return profile.vms.flatMap(({ asid, count }, n): Complaint[] => {
    const path = ['vms', n, 'asid'];
    const others = Array.from({ length: count }, () => `${guest++ % shards} ${asid}`).flatMap((key) => {
      const other = taken.get(key);
      taken.set(key, n);
      return other ?? [];
    });
    if (asid === 'auto' || others.length === 0) return [];
    const whose = others.includes(n) ? `there are ${count} guests of this kind` : `vms.${others[0]} has it already`;
    return [{ path, inKey: false, message: `vms.${n}.asid: an ASID is one guest's, and ${whose}; write auto` }];
  });
}
