// One torture run: host, guests, actors, the time window, the audit, the verdict.
import { dirname, resolve } from 'node:path';
import { Host } from '../host/host.js';
import { nowNs } from '../host/clock.js';
import { environmentFingerprint, type Environment } from '../host/environment.js';
import type { Violation } from '../host/errors.js';
import { parseDuration } from '../host/units.js';
import type { LockStatistics, PageStatistics } from '../host/statistics.js';
import { schedule, writeActors } from './actors.js';
import { createGuest, memslotSequence, type Guest, type ReplayDifference } from './guests.js';
import { collectOperations, type OperationResult } from './results.js';
import type { Profile } from './schema.js';
import { missedThresholds, parseThresholds } from './thresholds.js';

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
  operations: Record<string, OperationResult>;
  locks: Record<string, LockStatistics>;
  pagesBefore: PageStatistics;
  pages: PageStatistics;
  replayDifferences: ReplayDifference[];
  missedThresholds: string[];
  notes: string[];
  environment: Environment;
}

/** What the caller sees while the run goes on, a few times a second. */
export interface TortureProgress {
  elapsedMs: number;
  totalMs: number;
  operations: Record<string, OperationResult>;
  pages: PageStatistics;
  violations: number;
}

export interface TortureOptions {
  profile: Profile;
  profilePath: string;
  seed: bigint;
  /** Command line that repeats the run. */
  again: string;
  /** Aborting it ends the run in an orderly way; the result is partial. */
  signal?: AbortSignal;
  onProgress?: (progress: TortureProgress) => void;
  /** Globs of pr_debug functions to print. */
  debug?: string;
}

/** Runs a profile on real threads. Rejects with UsageError on bad input; a violation is a result, not an error. */
export async function runTorture(options: TortureOptions): Promise<TortureResult> {
  const { profile, profilePath } = options;
  const thresholds = parseThresholds(profile.thresholds);
  const sequences = profile.vms.map((vm) => memslotSequence(vm, profilePath));
  const host = await Host.create({
    memory: profile.host.memory,
    partitions: profile.host.partitions,
    ...(profile.host.layout === undefined ? {} : { layout: resolve(dirname(profilePath), profile.host.layout) }),
    ...(options.debug === undefined ? {} : { debug: options.debug }),
    workers: profile.actors.reduce((sum, actor) => sum + actor.threads, 0),
    protocol: profile.protocol,
    hook: profile.hook,
    build: profile.build,
    seed: options.seed,
    variants: profile.variants,
    perturb: { meanPoints: profile.perturb.meanPoints, delayNs: parseDuration(profile.perturb.delay) },
  });
  try {
    const shard = host.shard;
    const differences: ReplayDifference[] = [];
    const guests: Guest[] = [];
    const pagesBefore = host.stats().pages;
    profile.vms.forEach((vm, kind) => {
      for (let n = 0; n < vm.count; n++) {
        const name = vm.count === 1 ? vm.name : `${vm.name}-${n}`;
        guests.push(createGuest(shard, name, vm, sequences[kind]!, guests.length % profile.host.partitions, differences));
      }
    });
    const programs = writeActors(shard, profile.actors, guests);
    const warmupNs = parseDuration(profile.warmup);
    const durationNs = parseDuration(profile.duration);
    const startNs = nowNs() + 20e6;
    schedule(shard, programs, { startNs, warmupNs, durationNs });
    const recordedMs = (): number => Math.max(1, Math.min(nowNs() - startNs - warmupNs, durationNs) / 1e6);
    const stop = (): void => host.stop();
    options.signal?.addEventListener('abort', stop);
    if (options.signal?.aborted === true) stop();
    const report = (): void =>
      options.onProgress?.({
        elapsedMs: recordedMs(),
        totalMs: durationNs / 1e6,
        operations: collectOperations(shard, programs, recordedMs()),
        pages: host.stats().pages,
        violations: host.violations().length,
      });
    const ticker = setInterval(report, 250);
    ticker.unref();
    const ended = await host.runActors(programs.map(({ name, address }) => ({ name, program: address })));
    clearInterval(ticker);
    options.signal?.removeEventListener('abort', stop);
    const durationMs = recordedMs();
    if (host.violations().length === 0) host.auditAll();
    const operations = collectOperations(shard, programs, durationMs);
    const violations = host.violations();
    const missed = missedThresholds(thresholds, operations, violations.length);
    const partial = options.signal?.aborted === true || ended.died.length > 0;
    return {
      schema: 'rmptorture/torture/1',
      command: 'torture',
      seed: `0x${options.seed.toString(16)}`,
      again: options.again,
      profile,
      profilePath,
      build: profile.build,
      protocol: profile.protocol,
      hook: profile.hook,
      guests: guests.length,
      workers: programs.length,
      durationMs,
      partial,
      verdict: judge(operations, violations, differences, missed),
      violations,
      operations,
      locks: host.stats().locks,
      pagesBefore,
      pages: host.stats().pages,
      replayDifferences: differences,
      missedThresholds: missed,
      notes: [...differences.map(describeDifference), ...missed],
      environment: environmentFingerprint(),
    };
  } finally {
    await host.close();
  }
}

function judge(
  operations: Readonly<Record<string, OperationResult>>,
  violations: readonly Violation[],
  differences: readonly ReplayDifference[],
  missed: readonly string[],
): Verdict {
  if (violations.length > 0 || differences.length > 0) return 'violated';
  if (Object.values(operations).every((operation) => operation.count === 0)) return 'inconclusive';
  return missed.length > 0 ? 'threshold' : 'passed';
}

function describeDifference({ guest, step, expected, actual }: ReplayDifference): string {
  return `${guest}: memslot step ${step} returned ${actual}, the real machine's log says ${expected}`;
}
