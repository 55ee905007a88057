// A scenario on real threads: the build `perturbed`, its delays drawn anew for each attempt, again and again until something fails. One memory and one
// instance a thread serve all attempts: each begins with the prepared state copied back.
import { setImmediate } from 'node:timers/promises';
import { Piscina } from 'piscina';
import { unmetExpectation } from '../explore/expectations.js';
import { Random, seedOf } from '../explore/random.js';
import type { ObjectTable } from '../explore/calls.js';
import type { Scenario } from '../explore/scenario.js';
import { bootScenario, setUpScenario } from '../explore/scenario-host.js';
import { KernelOops } from '../host/errors.js';
import { Gate, type GateTask } from '../host/gate.js';
import { kernelModule } from '../host/kernel-module.js';
import { readViolations } from '../host/oops.js';
import { kernelInstance, type Shard } from '../host/shard.js';
import { stopShards } from '../host/shards.js';
import * as layout from '../kernel/abi/layout.js';

export interface StressOptions {
  seed: number;
  /** The most attempts. */
  executions: number;
  milliseconds: number;
  /** When an attempt counts as stuck. One takes about a millisecond, and its sleeps have bounds of 100 ms. */
  stuckMs: number;
  nowMs: () => number;
  stop: () => boolean;
}

export interface StressResult {
  attempts: number;
  tookMs: number;
  /** `stuck`: threads that did not come to an end. */
  failure?: { kind: string; message: string };
}

const MEMORY_PAGES = 96;
/** On a busy machine a thread takes seconds to start; one that is not there by then is met as stuck. */
const COME_UP_MS = 60_000;
/** A signal has its turn after so many attempts. */
const SLICE = 50;

/** Runs the scenario on real threads until it fails or the time is over. Throws UsageError when its set-up does not succeed. */
export async function stress(scenario: Scenario, options: StressOptions): Promise<StressResult> {
  const rig = new Rig(scenario);
  try {
    rig.comeUp();
    const startMs = options.nowMs();
    for (let attempts = 1; ; attempts++) {
      const failure = rig.attempt(options, attempts);
      const tookMs = options.nowMs() - startMs;
      if (failure !== undefined) return { attempts, tookMs, failure };
      if (attempts % SLICE === 0) await setImmediate();
      if (attempts >= options.executions || tookMs > options.milliseconds || options.stop())
        return { attempts, tookMs };
    }
  } finally {
    await rig.end();
  }
}

/** Delays of one attempt, on a logarithmic scale: 4 to 512 points apart, of up to 0.25 to 64 us each. */
function drawDelays(random: Random): { meanPoints: number; delayNs: number } {
  return { meanPoints: 2 ** (2 + random.below(8)), delayNs: 256 * 2 ** random.below(9) };
}

class Rig {
  readonly #scenario: Scenario;
  readonly #shard: Omit<Shard, 'taskId'>;
  readonly #objects: ObjectTable;
  /** The state before the threads start. */
  readonly #prepared: Int32Array;
  readonly #gate: Gate;
  readonly #pool: Piscina;

  constructor(scenario: Scenario) {
    this.#scenario = scenario;
    const threads = Object.keys(scenario.threads).length;
    this.#gate = new Gate(threads);
    const memory = new WebAssembly.Memory({ initial: MEMORY_PAGES, maximum: MEMORY_PAGES, shared: true });
    this.#shard = kernelInstance({ id: 'stress', build: 'perturbed', memory, module: kernelModule('perturbed') });
    const { x, words } = this.#shard;
    const host = { x, words, quietly: (call: () => void) => this.#quietly(call) };
    bootScenario(host, scenario, MEMORY_PAGES);
    this.#objects = setUpScenario(host, scenario);
    this.#prepared = words.slice();
    this.#pool = new Piscina({
      filename: new URL('../../workers/stresser.js', import.meta.url).href,
      minThreads: threads,
      maxThreads: threads,
      concurrentTasksPerWorker: 1,
      recordTiming: false,
    });
    this.#pool.on('error', () => {
      // A thread that dies is seen as stuck.
    });
    const { handle } = this.#shard;
    for (let task = 1; task <= threads; task++) {
      const work: GateTask = { handle, task, threads, gate: this.#gate.buffer };
      this.#pool.run(work).catch(() => {});
    }
  }

  #quietly(call: () => void): boolean {
    try {
      call();
      return true;
    } catch (error) {
      if (error instanceof KernelOops) return false;
      throw error;
    }
  }

  /** Waits for the threads: that they start is none of an attempt's time. */
  comeUp(): void {
    this.#gate.comeUp(COME_UP_MS);
  }

  /** One attempt; what failed. */
  attempt({ seed, stuckMs }: StressOptions, index: number): StressResult['failure'] {
    const { words } = this.#shard;
    words.set(this.#prepared);
    const random = new Random(seedOf(seed, index));
    const { meanPoints, delayNs } = drawDelays(random);
    words[layout.SH_SEED / 4] = random.next();
    words[layout.SH_PERTURB_MEAN / 4] = meanPoints;
    words[layout.SH_PERTURB_NS / 4] = delayNs;
    if (!this.#gate.run(stuckMs)) return this.#stuck(stuckMs);
    return this.#judge();
  }

  /** @context the threads are through. */
  #judge(): StressResult['failure'] {
    const { x, words, buffer } = this.#shard;
    x.setCurrent(x.taskAddress(0));
    const sound = this.#quietly(() => void x.sysAudit()) && words[layout.SH_OOPS_COUNT / 4] === 0;
    const violation = sound ? unmetExpectation({ x, words }, this.#scenario, this.#objects) : readViolations(buffer)[0];
    return violation === undefined ? undefined : { kind: violation.oracle, message: violation.message };
  }

  #stuck(stuckMs: number): { kind: string; message: string } {
    const [violation] = readViolations(this.#shard.buffer);
    stopShards([this.#shard], layout.STOP_OOPS);
    if (violation !== undefined) return { kind: violation.oracle, message: violation.message };
    return { kind: 'stuck', message: `the threads have not come to an end within ${stuckMs} ms` };
  }

  async end(): Promise<void> {
    this.#gate.close();
    await this.#pool.destroy();
  }
}
