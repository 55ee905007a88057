// What the load harness itself costs, and whether it keeps its rate: recording a latency, reading the clock, a trace point that is off, a million recorded
// operations a second and 200,000 steps a second by the clock, each on one thread.
import { profileSchema } from '../../src/torture/schema.js';
import { runTorture } from '../../src/torture/run.js';
import { bucketStart } from '../../src/host/histogram.js';
import { OP_COUNT, OPSTAT_SIZE, PR_STATS, PROGRAM_SIZE } from '../../src/kernel/abi/program.js';
import { bootShard, closeShard } from '../machine.js';
import type { Runner } from '../runner.js';
import { estimate } from '../../src/host/samples.js';
import { timed, type Timing } from '../timing.js';

const RECORD_LIMIT_NS = 30;
const TRACE_LIMIT_NS = 1;
const RATE = 200_000;
const KEPT = 0.99;
const RECORDED_RATE = 1_000_000;
/** Of the thread's time, what recorded latencies cover at least; the rest is the harness's own: two looks at the clock, the histogram, the draw of a page. */
const COVERED = 0.5;

export async function load(runner: Runner): Promise<void> {
  await recording(runner);
  await tracing(runner);
  await everyOperation(runner);
  await pacing(runner);
}

async function recording(runner: Runner): Promise<void> {
  const rounds = runner.count(200_000, 50_000, 100);
  const shard = bootShard(64);
  const program = shard.x.vmalloc(BigInt(PROGRAM_SIZE)) >>> 0;
  const stats = shard.x.vmalloc(BigInt(OP_COUNT * OPSTAT_SIZE)) >>> 0;
  new DataView(shard.buffer).setUint32(program + PR_STATS, stats, true);
  const [record] = await runner.group([
    {
      name: 'load/record a latency',
      operations: rounds,
      expected: rounds,
      run: () => timed(() => shard.x.benchLatencies(program, rounds)),
    },
    {
      name: 'load/read the clock',
      operations: rounds,
      expected: 0,
      run: () => timed(() => shard.x.benchClock(rounds)),
    },
  ]);
  runner.atMost('recording a latency, without the clock', RECORD_LIMIT_NS, estimate(record!.samples), 'ns');
  closeShard(shard);
}

/** A trace point of a task that is not traced: a load and a branch. */
async function tracing(runner: Runner): Promise<void> {
  const rounds = runner.count(2_000_000, 500_000, 1000);
  const shard = bootShard(64);
  const word = shard.x.vmalloc(64n) >>> 0;
  const run = (traced: boolean) => (): Timing => timed(() => shard.x.benchTracePoints(word, rounds, traced ? 1 : 0));
  const [off, none] = await runner.group([
    { name: 'load/a store and a trace point that is off', operations: rounds, expected: rounds, run: run(true) },
    { name: 'load/a store', operations: rounds, expected: rounds, run: run(false) },
  ]);
  const points = off!.samples.map((ns, n) => ns - none!.samples[n]!);
  runner.atMost('a trace point that is off', TRACE_LIMIT_NS, estimate(points), 'ns');
  closeShard(shard);
}

/** One thread as fast as it can, each operation with its latency: none may be lost, and latencies must add up to the time that went by. */
async function everyOperation(runner: Runner): Promise<void> {
  const seconds = runner.count(2, 1, 1) / (runner.effort === 'smoke' ? 10 : 2);
  const profile = profileSchema.parse({
    host: { memory: '64MiB' },
    build: 'fast',
    vms: [{ name: 'guest', memory: '2MiB' }],
    actors: [{ kind: 'vcpu', touch: { batch: 1 } }],
    warmup: '50ms',
    duration: seconds,
  });
  const [rates, recorded, covered]: number[][] = [[], [], []];
  const run = async (): Promise<Timing> => {
    const { actors, operations, durationMs, trust } = await runTorture({
      profile,
      profilePath: '.',
      seed: 1n,
      again: '',
    });
    const { histogram } = operations['touch']!;
    const latencies = histogram.reduce((sum, [, count]) => sum + count, 0);
    const sumNs = histogram.reduce(
      (sum, [n, count]) => sum + (count * (bucketStart(n) + bucketStart(n + 1) - 1)) / 2,
      0,
    );
    // Of the time that the thread had a CPU: what others take on a busy machine is not the harness's.
    rates!.push(latencies / ((durationMs / 1000) * (1 - (trust.runDelayShare ?? 0))));
    recorded!.push(latencies / actors[0]!.operations);
    covered!.push(sumNs / (durationMs * 1e6));
    return { ns: durationMs * 1e6, waitedNs: 0, value: latencies === actors[0]!.operations ? 1 : 0 };
  };
  const name = 'load/touches as fast as one thread can, each recorded';
  await runner.group([{ name, operations: RECORDED_RATE * seconds, expected: 1, run }], 0.25);
  runner.atLeast('operations a second of CPU time, each recorded', RECORDED_RATE, estimate(rates!), 'per second');
  runner.atLeast('latencies recorded, as a share of operations', 1, estimate(recorded!));
  runner.atLeast("recorded latencies, as a share of the thread's time", COVERED, estimate(covered!));
  runner.atMost("recorded latencies, as a share of the thread's time, at most", 1 + 1 / 16, estimate(covered!));
}

async function pacing(runner: Runner): Promise<void> {
  const seconds = runner.count(2, 1, 1) / (runner.effort === 'smoke' ? 10 : 2);
  const profile = profileSchema.parse({
    host: { memory: '64MiB' },
    build: 'fast',
    vms: [{ name: 'guest', memory: '4MiB' }],
    actors: [{ kind: 'vcpu', rate: RATE, touch: { batch: 1 } }],
    warmup: '50ms',
    duration: seconds,
  });
  const shares: number[] = [];
  const run = async (): Promise<Timing> => {
    const { actors, durationMs } = await runTorture({ profile, profilePath: '.', seed: 1n, again: '' });
    const { intendedPerSecond, achievedPerSecond } = actors[0]!.pacing!;
    shares.push(achievedPerSecond / RATE);
    return { ns: durationMs * 1e6, waitedNs: 0, value: Math.round(intendedPerSecond / 1000) };
  };
  const name = `load/${RATE} touches a second, one thread`;
  await runner.group([{ name, operations: RATE * seconds, expected: RATE / 1000, run }], 0.25);
  runner.atLeast(`open loop of ${RATE / 1000}k steps a second: share made`, KEPT, estimate(shares));
  runner.atMost(`open loop of ${RATE / 1000}k steps a second: share made, at most`, 2 - KEPT, estimate(shares));
}
