// Runs groups of benchmarks whose samples are taken in turn (A B C, A B C, ...), so that a disturbance of the machine meets all of a group
// alike and ratios within a run hold. Each sample's result is checked: a fast wrong answer is a failure, not a number.
import { createHash } from 'node:crypto';
import { Bench } from 'tinybench';
import { nowNs } from '../src/host/clock.js';
import { pairedRatio, type Estimate } from '../src/host/samples.js';
import type { Timing } from './timing.js';

export interface Benchmark {
  name: string;
  /** Operations of one sample: what the time is divided by. */
  operations: number;
  /** Before each sample, untimed. */
  prepare?: () => unknown;
  run: () => Timing | Promise<Timing>;
  /** The value that `run` must report each time. */
  expected: number;
}

export interface Measured {
  name: string;
  /** Nanoseconds per operation, one a sample, in the order taken. */
  samples: number[];
  /** Digest of the checked result. */
  hash: string;
  /** Name of the group's first benchmark and the ratio to it, for the others. */
  reference?: { name: string; ratio: Estimate };
}

export interface Goal {
  name: string;
  atLeast?: number;
  atMost?: number;
  unit: string;
  measured: Estimate;
  met: boolean;
}

/** How much to do: `smoke` only shows that everything still runs. */
export type Effort = 'full' | 'quick' | 'smoke';

export class WrongResult extends Error {
  override readonly name = 'WrongResult';
}

const ROUNDS: Record<Effort, number> = { full: 41, quick: 11, smoke: 2 };
const WARM_UP_NS: Record<Effort, number> = { full: 400e6, quick: 200e6, smoke: 0 };
const RETRIES: Record<Effort, number> = { full: 8, quick: 4, smoke: 0 };
/** A sample is taken again when its thread waited for a CPU for more than this share of it. */
const DISTURBED = 0.01;

export class Runner {
  readonly effort: Effort;
  readonly results: Measured[] = [];
  readonly goals: Goal[] = [];
  readonly #report: (measured: Measured) => void;

  constructor(effort: Effort, report: (measured: Measured) => void) {
    this.effort = effort;
    this.#report = report;
  }

  /** `full` normally, less when asked to hurry. */
  count(full: number, quick = Math.ceil(full / 4), smoke = Math.min(full, 2)): number {
    return { full, quick, smoke }[this.effort];
  }

  /** Measures a group; the first benchmark is the reference of the others. `share` of the usual rounds, for long samples. */
  async group(benchmarks: readonly Benchmark[], share = 1): Promise<Measured[]> {
    const bench = new Bench({ iterations: 1, time: 0, warmup: false, retainSamples: true, throws: true });
    for (const benchmark of benchmarks) {
      bench.add(benchmark.name, () => this.#sample(benchmark), { async: true });
    }
    const warmUpEnd = nowNs() + WARM_UP_NS[this.effort];
    do for (const benchmark of benchmarks) await this.#once(benchmark);
    while (nowNs() < warmUpEnd);
    const samples = benchmarks.map((): number[] => []);
    const rounds = Math.max(2, Math.round(ROUNDS[this.effort] * share));
    for (let round = 0; round < rounds; round++) {
      for (const [n, task] of bench.tasks.entries()) {
        task.reset();
        await task.run();
        const { result } = task;
        if (!('latency' in result)) throw new Error(`${task.name}: no sample (${result.state})`);
        samples[n]!.push(...result.latency.samples!.map((milliseconds) => milliseconds * 1e6));
      }
    }
    return benchmarks.map((benchmark, n) =>
      this.#add(benchmark, samples[n]!, n === 0 ? undefined : benchmarks[0], samples[0]!),
    );
  }

  #add(
    benchmark: Benchmark,
    samples: number[],
    reference: Benchmark | undefined,
    referenceSamples: number[],
  ): Measured {
    const hash = createHash('sha256').update(`${benchmark.name} ${benchmark.expected}`).digest('hex').slice(0, 16);
    const measured: Measured = { name: benchmark.name, samples, hash };
    if (reference !== undefined)
      measured.reference = { name: reference.name, ratio: pairedRatio(samples, referenceSamples) };
    this.results.push(measured);
    this.#report(measured);
    return measured;
  }

  async #once({ name, prepare, run, expected }: Benchmark): Promise<Timing> {
    await prepare?.();
    const timing = await run();
    if (timing.value !== expected) throw new WrongResult(`${name}: the result is ${timing.value}, not ${expected}`);
    return timing;
  }

  async #sample(benchmark: Benchmark): Promise<{ overriddenDuration: number; overriddenIterationCost: number }> {
    let timing = await this.#once(benchmark);
    for (let tries = RETRIES[this.effort]; tries > 0 && timing.waitedNs > timing.ns * DISTURBED; tries--) {
      const again = await this.#once(benchmark);
      if (again.waitedNs / again.ns < timing.waitedNs / timing.ns) timing = again;
    }
    return { overriddenDuration: timing.ns / benchmark.operations / 1e6, overriddenIterationCost: timing.ns / 1e6 };
  }

  atLeast(name: string, limit: number, measured: Estimate, unit = 'x'): void {
    this.goals.push({ name, atLeast: limit, unit, measured, met: measured.median >= limit });
  }

  atMost(name: string, limit: number, measured: Estimate, unit = 'x'): void {
    this.goals.push({ name, atMost: limit, unit, measured, met: measured.median <= limit });
  }
}
