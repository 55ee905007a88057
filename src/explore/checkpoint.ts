// Where an exploration that was stopped can go on: a folder with what was explored and how, and of a search over states the states it has seen, what it has
// learned of who touches what, and the parts that are left; of a search through schedules the parts that are left.
import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { z } from 'zod';
import { UsageError } from '../host/errors.js';
import { PROTOCOLS } from '../host/protocols.js';
import * as control from '../kernel/abi/control.js';
import type { Frontier } from './search/search-pool.js';
import type { ShortestStart } from './search/shortest.js';
import { areWays } from './search/ways-back.js';
import type { Target } from './target.js';
import type { VisitedSet } from './visited.js';

const FILE = 'checkpoint.json';
const VISITED = 'visited.bin';
const LOCALITY = 'locality.bin';
const WAYS = 'ways.bin';

const counts = z.object({
  executions: z.number(),
  steps: z.number(),
  longest: z.number(),
  stepLimitHits: z.number(),
  wallMs: z.number(),
});

const wayTuple = z.object({
  ways: z.number(),
  todo: z.number(),
  chosen: z.number(),
  steps: z.number(),
  answers: z.array(z.number()),
  again: z.array(z.number()).optional(),
});

export const checkpointSchema = z.object({
  schema: z.literal('rmptorture/checkpoint/1'),
  what: z.string(),
  strategy: z.string(),
  seed: z.number(),
  target: z.object({
    stepLimit: z.number(),
    spuriousWakeups: z.number(),
    earlyTimeouts: z.number(),
    frozenClock: z.boolean(),
    points: z.enum(['sync', 'racy', 'all']).optional(),
    races: z.boolean().optional(),
    locks: z.enum(['abstract', 'concrete']).optional(),
  }),
  overrides: z.object({ variants: z.array(z.string()).optional(), protocol: z.enum(PROTOCOLS).optional() }),
  /** Hash of the state that all executions start from. */
  start: z.string(),
  /** What was done before. */
  done: counts,
  /** Of a search over states. */
  search: z
    .object({ spinners: z.number(), parts: z.array(z.object({ weight: z.number(), ways: z.array(wayTuple) })) })
    .optional(),
  /** Of a search for the shortest way to a violation: how many states wait, those of them that are `depth` steps from the start, answers by entry. */
  shortest: z
    .object({
      waiting: z.number(),
      present: z.number(),
      depth: z.number(),
      answers: z.array(z.tuple([z.number(), z.array(z.number())])),
    })
    .optional(),
  /** Of a search through schedules; what a part says beside its weight is its strategy's. */
  schedules: z
    .object({
      parts: z.array(z.looseObject({ weight: z.number() })),
      next: z.looseObject({ weight: z.number() }).optional(),
      isExhaustive: z.boolean(),
    })
    .optional(),
});

export type Checkpoint = z.infer<typeof checkpointSchema>;

/** A checkpoint and the folder that it was read from. */
export interface Stopped {
  checkpoint: Checkpoint;
  folder: string;
}

/** Of an exploration that goes on elsewhere. */
export type Progress = Omit<Checkpoint, 'schema' | 'search' | 'shortest' | 'start'>;

/** Hash of the state that the executions of a target start from: another one is not the same target. */
function startHash({ machine }: Target): string {
  const { bytes, words, stateStart, stateEnd } = machine.memory;
  const saved = words[control.CONTROL_SAVED / 4]!;
  // A copy: what is hashed may not be shared memory.
  return createHash('sha256')
    .update(bytes.slice(saved, saved + stateEnd - stateStart))
    .digest('hex');
}

/** What is left of a search over states that was stopped. */
export interface Searched {
  search?: { rest: Frontier; visited: VisitedSet };
  shortest?: ShortestStart;
}

/** Writes a checkpoint into a folder of its own. */
export async function writeCheckpoint(
  folder: string,
  target: Target,
  progress: Progress,
  { search, shortest }: Searched = {},
): Promise<void> {
  await mkdir(folder, { recursive: true });
  const start = startHash(target);
  const document: Checkpoint = { schema: 'rmptorture/checkpoint/1', ...progress, start };
  if (search !== undefined) {
    const { locality, parts } = search.rest;
    document.search = {
      spinners: locality.spinners,
      parts: parts.map(({ weight, ways }) => ({
        weight,
        ways: ways.map(({ answers, again, ...way }) => ({
          ...way,
          answers: [...answers],
          ...(again === undefined ? {} : { again: [...again] }),
        })),
      })),
    };
    await writeFile(path.join(folder, LOCALITY), locality.words);
    await writeFile(path.join(folder, VISITED), search.visited.hashes());
  }
  if (shortest !== undefined) {
    const { words, answers, waiting, present, depth } = shortest.waits;
    document.shortest = {
      waiting,
      present,
      depth,
      answers: Array.from(answers, ([entry, given]) => [entry, [...given]]),
    };
    await writeFile(path.join(folder, WAYS), words);
    await writeFile(path.join(folder, VISITED), shortest.hashes);
  }
  // Last: without it the folder is no checkpoint.
  await writeFile(path.join(folder, FILE), `${JSON.stringify(document)}\n`);
}

/** Reads the checkpoint of a results folder, or of the folder itself. Throws UsageError in one line when there is none. */
export function readCheckpoint(folder: string): Stopped {
  const found = [path.join(folder, 'checkpoint'), folder].find((each) => existsSync(path.join(each, FILE)));
  if (found === undefined)
    throw new UsageError(
      '--resume',
      `--resume ${folder}: no ${FILE} there: only an exploration that was stopped has one`,
    );
  const fail = (message: string): never => {
    throw new UsageError(
      '--resume',
      `--resume ${path.join(found, FILE)}: not a checkpoint of this version: ${message}`,
    );
  };
  let value: unknown;
  try {
    value = JSON.parse(readFileSync(path.join(found, FILE), 'utf8'));
  } catch (error) {
    return fail((error as Error).message);
  }
  const parsed = checkpointSchema.safeParse(value);
  if (parsed.success) return { checkpoint: parsed.data, folder: found };
  const issue = parsed.error.issues[0]!;
  return fail(`${issue.path.join('.')}: ${issue.message}`);
}

/** What a search over states goes on from. Throws UsageError when the target is another one by now, or the files are damaged. */
export function frontierOf({ checkpoint, folder }: Stopped, target: Target): Frontier {
  checkSameStart(checkpoint, target);
  const { done, search } = checkpoint;
  if (search === undefined) return damaged(folder, FILE);
  const words = bytesOf(folder, LOCALITY);
  const visited = hashesOf(folder);
  if (words.length !== target.machine.memory.stateEnd >>> 2) damaged(folder, LOCALITY);
  const parts = search.parts.map(({ weight, ways }) => ({
    weight,
    ways: ways.map(({ again, ...way }) => ({ ...way, again })),
  }));
  return {
    locality: { words, spinners: search.spinners },
    parts,
    transitions: done.steps,
    executions: done.executions,
    deepest: done.longest,
    fill: (set) => set.insertAll(visited),
  };
}

/** What a search for the shortest way goes on from. Throws UsageError as `frontierOf` does. */
export function shortestStartOf({ checkpoint, folder }: Stopped, target: Target): ShortestStart {
  checkSameStart(checkpoint, target);
  const { done, shortest } = checkpoint;
  if (shortest === undefined) return damaged(folder, FILE);
  const { waiting, present, depth, answers } = shortest;
  const bytes = bytesOf(folder, WAYS);
  if (bytes.length % 8 !== 0) damaged(folder, WAYS);
  const words = new Float64Array(bytes.buffer);
  if (words.length < waiting || present > waiting || !areWays(words)) damaged(folder, WAYS);
  const { steps: transitions, executions } = done;
  const waits = { words, answers: new Map(answers), waiting, present, depth, transitions, executions };
  return { waits, hashes: hashesOf(folder) };
}

/** A file of a checkpoint, as a copy that lies at a multiple of eight. */
function bytesOf(folder: string, file: string): Uint8Array<ArrayBuffer> {
  try {
    return new Uint8Array(readFileSync(path.join(folder, file)));
  } catch (error) {
    throw new UsageError('--resume', `--resume ${folder}: ${(error as Error).message}`);
  }
}

function hashesOf(folder: string): Uint32Array {
  const bytes = bytesOf(folder, VISITED);
  if (bytes.length % 8 !== 0) damaged(folder, VISITED);
  return new Uint32Array(bytes.buffer);
}

function damaged(folder: string, file: string): never {
  throw new UsageError('--resume', `--resume ${folder}: ${file} is damaged`);
}

/** Throws UsageError when the executions of the target start from another state than those of the checkpoint did. */
export function checkSameStart({ what, start }: Checkpoint, target: Target): void {
  if (startHash(target) !== start)
    throw new UsageError('--resume', `--resume: ${what} is no longer what it was when the exploration was stopped`);
}
