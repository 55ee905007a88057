// Clearing a 1 GiB private range (262,144 pages of 4K) with the SNP hook: by one thread, and with the hook and the freeing spread over the home
// workers of two partitions. Beside them what the machine has to give: two threads that clear half of it each, in shards of their own, and how long a cache line takes
// from one CPU to the other.
import { SH_STOP, STOP_REQUESTED } from '../../src/kernel/abi/layout.js';
import type { Shard } from '../../src/host/shard.js';
import { bootShard, closeShard, createGuest, type Guest, punch } from '../machine.js';
import { WrongResult, type Benchmark, type Runner } from '../runner.js';
import { estimate, pairedRatio } from '../../src/host/samples.js';
import { BenchThread, together } from '../threads.js';
import { timed, timedWithHelpers } from '../timing.js';

export async function clear(runner: Runner): Promise<void> {
  const pages = runner.count(262_144, 262_144, 16_384);
  const shard = bootShard(pages * 2, { partitions: 2 });
  // On CPUs of their own, as Host.startHomeWorkers has them.
  const homes = [await BenchThread.start(shard.handle, 0), await BenchThread.start(shard.handle, 1)];
  const served = homes.map((home, partition) => home.call(['homeWorkerLoop', partition]));
  const guest = createGuest(shard, pages, 0, true);
  const fill = (): void => {
    const mapped = shard.x.benchFaults(guest.vcpu, 0, pages);
    if (mapped !== pages) throw new WrongResult(`clear: ${mapped} of ${pages} pages could be mapped`);
  };
  const clearing = (name: string, fanout: boolean): Benchmark => ({
    name: `clear/${name}`,
    operations: pages,
    expected: 0,
    prepare: fill,
    run: () => (fanout ? timedWithHelpers : timed)(() => punch(shard, guest, pages, fanout)),
  });
  const pair = [await BenchThread.start(shard.handle, 0), await BenchThread.start(shard.handle, 1)];
  await runner.group([handOver(shard, pair, runner.count(20_000, 20_000, 1000))], 0.1);
  await Promise.all(pair.map((thread) => thread.end()));
  const halves = await Promise.all([0, 1].map((cpu) => halfOf(pages, cpu)));
  const [alone, spread] = await runner.group(
    [clearing('one thread', false), clearing('two home workers', true), apart(halves, pages)],
    0.5,
  );
  runner.atMost('clearing 1 GiB with the SNP hook, one thread, per page', 25, estimate(alone!.samples), 'ns');
  runner.atLeast('clearing 1 GiB over two home workers: speed-up', 1.8, pairedRatio(alone!.samples, spread!.samples));
  await Promise.all(halves.map(({ thread }) => thread.end()));
  for (const half of halves) closeShard(half.shard);
  closeShard(shard);
  Atomics.store(shard.words, SH_STOP / 4, STOP_REQUESTED);
  await Promise.all(served);
  await Promise.all(homes.map((home) => home.end()));
}

/** What the two CPUs are to one another: how soon one sees what the other has written. Hosts place the CPUs of their guests now here, now there. */
function handOver(shard: Shard, pair: readonly BenchThread[], rounds: number): Benchmark {
  const word = shard.x.vmalloc(64n) >>> 0;
  return {
    name: 'clear/a cache line, from one CPU to the other',
    operations: 2 * rounds,
    expected: 4 * rounds,
    prepare: () => Atomics.store(shard.words, word / 4, 0),
    run: async () => {
      const timings = await together(pair.map((thread, turn) => [thread, ['benchHandOver', word, turn, rounds]]));
      return {
        ns: Math.max(...timings.map(({ ns }) => ns)),
        waitedNs: Math.max(...timings.map(({ waitedNs }) => waitedNs)),
        value: timings.reduce((sum, { value }) => sum + value, 0),
      };
    },
  };
}

/** A guest of half the size in a shard of its own, and a thread that clears it. */
interface Half {
  shard: Shard;
  guest: Guest;
  thread: BenchThread;
}

async function halfOf(pages: number, cpu: number): Promise<Half> {
  const shard = bootShard(pages, { partitions: 2 });
  const guest = createGuest(shard, pages / 2, 0, true);
  return { shard, guest, thread: await BenchThread.start(shard.handle, cpu) };
}

/** Two threads that share nothing but the machine. */
function apart(halves: readonly Half[], pages: number): Benchmark {
  return {
    name: 'clear/two threads, nothing shared',
    operations: pages,
    expected: 0,
    prepare: () => {
      for (const { shard, guest } of halves) shard.x.benchFaults(guest.vcpu, 0, guest.pages);
    },
    run: async () => {
      const timings = await together(
        halves.map(({ thread, guest }) => [thread, ['benchPunches', guest.file, guest.pages, 1]]),
      );
      return {
        ns: Math.max(...timings.map(({ ns }) => ns)),
        waitedNs: Math.max(...timings.map(({ waitedNs }) => waitedNs)),
        value: halves.reduce((sum, { shard, guest }) => sum + shard.x.sysFilePages(guest.file), 0),
      };
    },
  };
}
