// `torture --dry-run`: the profile as a run would use it, and where each value came from; nothing is run.
import type { OpenedDocument } from '../torture/document.js';
import { memslotSequence } from '../torture/guests.js';
import { scaled } from '../torture/run.js';
import { profileSources, resolvedYaml, withAbsolutePaths } from '../torture/resolved.js';
import type { Profile } from '../torture/schema.js';
import { drawSwarm } from '../torture/swarm.js';

/** What the command line says besides `--set`. */
export interface CommandLine {
  profilePath: string;
  seed: bigint;
  seedOption: string | undefined;
  workers: number | undefined;
}

/** Where a value came from, the options of the command line included. */
function originOf({ data, origin }: OpenedDocument<Profile>, { seedOption, workers }: CommandLine): typeof origin {
  return (path) => {
    if (path[0] === 'seed' && seedOption !== undefined) return `--seed ${seedOption}`;
    if (path[0] === 'seed' && data.seed === undefined) return 'drawn at random';
    if (path.at(-1) === 'threads' && workers !== undefined) return `--workers ${workers}`;
    if (isDrawn(data, path)) return `drawn from the seed (${origin(['perturb'])})`;
    return origin(path);
  };
}

/** Whether the value is the swarm's: all of `perturb`, and what it adds to the profile. */
function isDrawn({ perturb, stutter, actors }: Profile, [key, n]: readonly (string | number)[]): boolean {
  if (perturb !== 'swarm') return false;
  return (
    key === 'perturb' ||
    (key === 'stutter' && stutter === undefined) ||
    (key === 'actors' && Number(n) >= actors.length)
  );
}

function complete(profile: Profile, { profilePath, seed }: CommandLine): Profile {
  return { ...withAbsolutePaths(profile, profilePath), seed: `0x${seed.toString(16)}` };
}

/** The profile that a run has used, as it is stored with its results: running it again gives the same load. */
export function storedProfile(used: Profile, opened: OpenedDocument<Profile>, line: CommandLine): string {
  return resolvedYaml(complete(used, line), originOf(opened, line));
}

/** What `--dry-run` prints: YAML with comments, or with `json` a document. Throws UsageError for what only a run would find out about its files. */
export function dryRun(opened: OpenedDocument<Profile>, line: CommandLine, json: boolean): string {
  const { data } = opened;
  const sequences = data.vms.map((vm) => memslotSequence(vm, line.profilePath));
  const drawn = drawSwarm(data, line.seed);
  const used = line.workers === undefined ? drawn : scaled(drawn, line.profilePath, line.workers, sequences);
  if (!json) return storedProfile(used, opened, line);
  const profile = complete(used, line);
  const sources = profileSources(profile, originOf(opened, line));
  return `${JSON.stringify({ schema: 'rmptorture/profile/1', command: 'torture', profile, sources })}\n`;
}
