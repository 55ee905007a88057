// The result document of a benchmark run (schema rmptorture/bench/1): made, saved by name, read again, compared with another.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { environmentFingerprint, type Environment } from '../src/host/environment.js';
import { UsageError } from '../src/host/errors.js';
import type { Goal, Runner } from './runner.js';
import { mannWhitney } from '../src/host/mann-whitney.js';
import { estimate, quantile, unpairedRatio } from '../src/host/samples.js';

export interface BenchmarkResult {
  name: string;
  unit: 'ns/op';
  samples: number[];
  median: number;
  p95: number;
  confidence: [number, number];
  opsPerSecond: number;
  hash: string;
  /** Median of the ratios to the first benchmark of its group, in the same run. */
  reference?: { name: string; ratio: number; interval: [number, number] };
}

export interface Comparison {
  name: string;
  ratio: number;
  interval: [number, number];
  pValue: number;
  verdict: 'faster' | 'slower' | 'same';
}

export interface BenchDocument {
  schema: 'rmptorture/bench/1';
  command: string;
  environment: Environment;
  effort: string;
  benchmarks: BenchmarkResult[];
  goals: (Omit<Goal, 'measured'> & { measured: number; interval: [number, number] })[];
  comparison?: Comparison[];
}

const FOLDER = path.join('results', 'bench');
/** Differences smaller than this are noise of code layout and machine, whatever a test says. */
const TOLERANCE = 0.05;
const SIGNIFICANT = 0.01;

export function makeDocument(command: string, { effort, results, goals }: Runner): BenchDocument {
  const benchmarks = results.map(({ name, samples, hash, reference }): BenchmarkResult => {
    const { median, low, high } = estimate(samples);
    const result: BenchmarkResult = {
      name,
      unit: 'ns/op',
      samples,
      median,
      p95: quantile(samples, 0.95),
      confidence: [low, high],
      opsPerSecond: 1e9 / median,
      hash,
    };
    if (reference !== undefined) {
      const { ratio } = reference;
      result.reference = { name: reference.name, ratio: ratio.median, interval: [ratio.low, ratio.high] };
    }
    return result;
  });
  return {
    schema: 'rmptorture/bench/1',
    command,
    environment: environmentFingerprint(),
    effort,
    benchmarks,
    goals: goals.map(({ measured, ...goal }) => ({
      ...goal,
      measured: measured.median,
      interval: [measured.low, measured.high],
    })),
  };
}

/** Throws UsageError for what cannot be the name of a saved run. */
export function checkName(name: string): void {
  if (!/^[\w.-]+$/.test(name))
    throw new UsageError('bench', `"${name}" is not a name; use letters, digits, "-", "_" and "."`);
}

function fileOf(name: string): string {
  checkName(name);
  return path.join(FOLDER, `${name}.json`);
}

/** Writes results/bench/NAME.json; returns the path. */
export function saveDocument(name: string, document: BenchDocument): string {
  const file = fileOf(name);
  mkdirSync(FOLDER, { recursive: true });
  writeFileSync(file, `${JSON.stringify(document)}\n`);
  return file;
}

/** Reads results/bench/NAME.json. Throws UsageError when it is missing or no benchmark document. */
export function loadDocument(name: string): BenchDocument {
  const file = fileOf(name);
  let document: BenchDocument;
  try {
    document = JSON.parse(readFileSync(file, 'utf8')) as BenchDocument;
  } catch (error) {
    throw new UsageError('bench', `${file}: ${(error as Error).message}; write one with --save ${name}`, { file });
  }
  if (document.schema !== 'rmptorture/bench/1')
    throw new UsageError('bench', `${file} is not a benchmark document`, { file });
  return document;
}

function verdict(ratio: number, pValue: number): Comparison['verdict'] {
  if (pValue >= SIGNIFICANT || Math.abs(ratio - 1) < TOLERANCE) return 'same';
  return ratio > 1 ? 'slower' : 'faster';
}

/** Each benchmark that both have: `now` over `before`, above 1 is slower. A different hash is a difference in what was computed: an error. */
export function compareDocuments(now: BenchDocument, before: BenchDocument): Comparison[] {
  return now.benchmarks.flatMap((result): Comparison[] => {
    const old = before.benchmarks.find(({ name }) => name === result.name);
    if (old === undefined) return [];
    if (old.hash !== result.hash) {
      throw new UsageError(
        'bench',
        `${result.name}: the runs did different work (${old.hash}, ${result.hash}); use the same effort`,
      );
    }
    const { median, low, high } = unpairedRatio(result.samples, old.samples);
    const pValue = mannWhitney(result.samples, old.samples);
    return [{ name: result.name, ratio: median, interval: [low, high], pValue, verdict: verdict(median, pValue) }];
  });
}
