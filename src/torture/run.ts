// One torture run: host, guests, actors, the time window, the audit, the verdict.
import { planShards } from '../host/boot.js';
import type { Costs } from '../host/costs.js';
import { Host } from '../host/host.js';
import { environmentFingerprint, type Environment } from '../host/environment.js';
import { KernelOops, type Violation } from '../host/errors.js';
import { parseDuration } from '../host/units.js';
import type { LockStatistics, PageStatistics } from '../host/statistics.js';
import { writeActors, writeBudget, type ActorProgram } from './actors.js';
import { createGuest, memslotSequence, type Guest, type ReplayDifference } from './guests.js';
import {
  collectActors,
  collectOperations,
  progressOf,
  type ActorResult,
  type OperationResult,
  type Progress,
} from './results.js';
import { Series } from './series.js';
import type { MemslotSequence, Perturb, Profile } from './schema.js';
import { about } from './document.js';
import { hookOf, memoryOf } from './files.js';
import { invariantsOf, type InvariantResult } from './invariants.js';
import { failingPlaces, type FailingPlace } from './failing-place.js';
import { recentWindow, type RecentWindow } from './recent.js';
import { drawSwarm } from './swarm.js';
import { costsOf, hasTrouble, markVictims, troubleOf, type Perturbation } from './trouble.js';
import { scaleWorkers } from './workers.js';
import { missedThresholds, parseThresholds } from './thresholds.js';
import { checkedTorture, type TortureOptions } from './torture-options.js';
import { readTrace, startTrace } from './trace.js';
import { judgeTrust, type Trust } from './trust.js';
import { runWindow, type WindowEnd } from './window.js';

export type Verdict = 'passed' | 'violated' | 'threshold' | 'inconclusive';

/** The result document of `torture`. */
export interface TortureResult {
  schema: 'rmptorture/torture/1';
  command: 'torture';
  seed: string;
  again: string;
  profile: Profile;
  profilePath: string;
  build: string;
  protocol: string;
  hook: string;
  guests: number;
  workers: number;
  durationMs: number;
  partial: boolean;
  verdict: Verdict;
  violations: Violation[];
  /** What was looked at, and whether it held. */
  invariants: InvariantResult[];
  /** Of a run with violations: the last operations of each actor. */
  recent?: RecentWindow;
  /** Guest pages that violations speak of, in their order. */
  places?: FailingPlace[];
  operations: Record<string, OperationResult>;
  /** What each thread did; of open loops also how well it kept its rate. */
  actors: ActorResult[];
  /** Of a run with more trouble than delays: who was its victim, and how much there was. */
  perturbation?: Perturbation;
  /** Of a run with a cost model: nanoseconds of each operation. */
  costs?: Costs;
  /** By kind of actor. */
  progress: Record<string, Progress>;
  locks: Record<string, LockStatistics>;
  pagesBefore: PageStatistics;
  pages: PageStatistics;
  /** RMP operations of the whole run: done, refused (`inUse`, `overlap`, before the retries), pages leaked. */
  rmp: Record<string, number>;
  replayDifferences: ReplayDifference[];
  missedThresholds: string[];
  /** Whether rates and latencies are the protocol's or the machine's. */
  trust: Trust;
  notes: string[];
  /** Taken before the run, but for the share of its time that a thread waited for a CPU. */
  environment: Environment & { runDelayShare?: number };
}

/** A run whose perturbations are drawn. */
interface Drawn extends TortureOptions {
  profile: Profile & { perturb: Perturb };
}

/** A host with its guests and actors, ready to start. */
interface Prepared {
  host: Host;
  guests: Guest[];
  programs: ActorProgram[];
  victims: string[];
  differences: ReplayDifference[];
  pagesBefore: PageStatistics;
  environment: Environment;
}

/** Runs a profile on real threads. Rejects with UsageError on bad input; a violation is a result, not an error. */
export async function runTorture(asked: TortureOptions): Promise<TortureResult> {
  const given = checkedTorture(asked);
  const thresholds = parseThresholds(given.profile.thresholds);
  const sequences = given.profile.vms.map((vm, n) =>
    about(['vms', n, vm.memslots === undefined ? 'memory' : 'memslots'], () => memslotSequence(vm, given.profilePath)),
  );
  const { workers, seed } = given;
  const drawn = drawSwarm(given.profile, seed);
  const profile =
    workers === undefined ? drawn : { ...drawn, actors: scaled(drawn, given.profilePath, workers, sequences).actors };
  const options = { ...given, profile };
  const environment = environmentFingerprint();
  const host = await createHost(options);
  try {
    const prepared = prepare(host, options, sequences, environment);
    if (options.traceEvents !== undefined) startTrace(host.shards, options.traceEvents);
    const { onSeries } = options;
    const series = onSeries === undefined ? undefined : new Series(host.shards, prepared.programs, onSeries);
    const window = await runWindow(host, prepared.programs, {
      warmupNs: parseDuration(profile.warmup),
      durationNs: parseDuration(profile.duration),
      threads: workers,
      signal: options.signal,
      series,
      onProgress: options.onProgress,
    });
    const audited = host.violations().length === 0;
    if (audited) host.auditAll();
    const operations = collectOperations(host.shards, prepared.programs, window.durationMs);
    if (options.traceEvents !== undefined) options.onTrace?.(readTrace(host.shards, prepared.programs));
    const progress = progressOf(collectActors(host.shards, prepared.programs, window.durationMs));
    const missed = missedThresholds(thresholds, operations, host.violations().length, progress);
    const end = result(options, prepared, { ...window, operations, missed, audited });
    host.log.info({ verdict: end.verdict, durationMs: end.durationMs, partial: end.partial }, 'run ended');
    return end;
  } finally {
    await host.close();
  }
}

/** The profile for so many threads. Throws UsageError when they are too few or too many. */
export function scaled(
  profile: Profile,
  profilePath: string,
  workers: number,
  sequences: readonly MemslotSequence[],
): Profile {
  const guests = profile.vms.reduce((sum, { count }) => sum + count, 0);
  const shards = planShards(memoryOf(profile, profilePath)).length;
  return scaleWorkers(profile, workers, sequences, Math.min(guests, shards));
}

async function createHost(options: Drawn): Promise<Host> {
  const { profile, profilePath } = options;
  const costs = costsOf(profile, profilePath);
  return Host.create({
    ...memoryOf(profile, profilePath),
    partitions: profile.host.partitions,
    ...(options.debug === undefined ? {} : { debug: options.debug }),
    ...(options.logLevel === undefined ? {} : { logLevel: options.logLevel }),
    ...(options.onLog === undefined ? {} : { onLog: options.onLog }),
    workers: options.workers ?? profile.actors.reduce((sum, actor) => sum + actor.threads, 0),
    protocol: profile.protocol,
    inUseWritable: profile.host.inUseWritable,
    hook: hookOf(profile, profilePath),
    build: profile.build,
    stuckAfter: profile.stuckAfter,
    seed: options.seed,
    variants: profile.variants,
    perturb: troubleOf(profile.perturb),
    ...(costs === undefined ? {} : { costs }),
  });
}

/** Creates guests and actors. A mistake brought back by name may oops as early as here: then there are no actors to run. */
function prepare(
  host: Host,
  { profile, seed }: Drawn,
  sequences: readonly MemslotSequence[],
  environment: Environment,
): Prepared {
  const has = (...kinds: string[]): boolean => profile.actors.some(({ kind }) => kinds.includes(kind));
  const guestOptions = {
    window: has('rebinder', 'cache-writer'),
    process: has('reclaimer'),
    irqchip: has('interrupter'),
    log: host.log,
  };
  const pagesBefore = host.stats().pages;
  const prepared: Prepared = { host, guests: [], programs: [], victims: [], differences: [], pagesBefore, environment };
  try {
    profile.vms.forEach((vm, kind) => {
      for (let n = 0; n < vm.count; n++) {
        const name = vm.count === 1 ? vm.name : `${vm.name}-${n}`;
        const home = prepared.guests.length % profile.host.partitions;
        const shard = prepared.guests.length % host.shards.length;
        const create = (): Guest =>
          createGuest(host.shards, shard, name, vm, sequences[kind]!, home, prepared.differences, guestOptions);
        prepared.guests.push(about(['vms', kind], create));
      }
    });
    const write = (): ActorProgram[] => writeActors(host.shards, profile.actors, prepared.guests, profile.stutter);
    prepared.programs = about(['actors'], write);
    if (profile.operations !== undefined) writeBudget(host.shards, prepared.programs, profile.operations);
    prepared.victims = markVictims(host.shards, prepared.programs, profile.perturb, seed);
  } catch (error) {
    if (!(error instanceof KernelOops)) throw error;
  }
  return prepared;
}

interface Outcome extends WindowEnd {
  operations: Record<string, OperationResult>;
  missed: string[];
  /** The state at rest was looked at. */
  audited: boolean;
}

function result(options: Drawn, prepared: Prepared, outcome: Outcome): TortureResult {
  const { profile, profilePath, seed, again } = options;
  const { host, guests, programs, victims, differences, pagesBefore } = prepared;
  const { durationMs, died, operations, missed, audited, replies } = outcome;
  const violations = host.violations();
  const { pages, locks, rmp } = host.stats();
  const actors = collectActors(host.shards, programs, durationMs);
  const trust = judgeTrust(actors, replies, profile.trust);
  const costs = costsOf(profile, profilePath);
  const recent = violations.length > 0 ? recentWindow(host.shards, programs, guests) : undefined;
  return {
    schema: 'rmptorture/torture/1',
    command: 'torture',
    seed: `0x${seed.toString(16)}`,
    again,
    profile,
    profilePath,
    build: profile.build,
    protocol: profile.protocol,
    hook: profile.hook,
    guests: guests.length,
    workers: replies.length,
    durationMs,
    partial: options.signal?.aborted === true || died,
    verdict: judge({ operations, violations, differences, missed, trust }),
    violations,
    invariants: invariantsOf(profile.build, audited, violations),
    ...(recent === undefined ? {} : { recent, places: failingPlaces(violations, recent) }),
    operations,
    actors,
    ...(hasTrouble(profile.perturb) ? { perturbation: { victims, injected: host.injected() } } : {}),
    ...(costs === undefined ? {} : { costs }),
    progress: progressOf(actors),
    locks,
    pagesBefore,
    pages,
    rmp,
    replayDifferences: differences,
    missedThresholds: missed,
    trust,
    notes: [...differences.map(describeDifference), ...missed],
    environment: {
      ...prepared.environment,
      ...(trust.runDelayShare === undefined ? {} : { runDelayShare: trust.runDelayShare }),
    },
  };
}

interface Evidence {
  operations: Readonly<Record<string, OperationResult>>;
  violations: readonly Violation[];
  differences: readonly ReplayDifference[];
  missed: readonly string[];
  trust: Trust;
}

function judge({ operations, violations, differences, missed, trust }: Evidence): Verdict {
  if (violations.length > 0 || differences.length > 0) return 'violated';
  if (Object.values(operations).every((operation) => operation.count === 0)) return 'inconclusive';
  // Also a missed threshold says nothing when the machine was too busy to measure.
  if (trust.untrustworthy) return 'inconclusive';
  return missed.length > 0 ? 'threshold' : 'passed';
}

function describeDifference({ guest, step, expected, actual }: ReplayDifference): string {
  return `${guest}: memslot step ${step} returned ${actual}, the real machine's log says ${expected}`;
}
