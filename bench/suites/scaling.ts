// Two threads against one: each runs cycles of 16 pages on a guest of its own. In different partitions nothing is shared; the other rows show what
// one partition, and one guest, cost.
import { bootShard, closeShard, createGuest, type Guest } from '../machine.js';
import type { Benchmark, Runner } from '../runner.js';
import { pairedRatio } from '../../src/host/samples.js';
import { BenchThread, together, type KernelCall } from '../threads.js';

const SLOT_PAGES = 2048;
const PAGES = 16;

export async function scaling(runner: Runner): Promise<void> {
  const shard = bootShard(8 * SLOT_PAGES, { partitions: 2 });
  const threads = [await BenchThread.start(shard.handle), await BenchThread.start(shard.handle)] as const;
  const rounds = runner.count(1600, 400, 2);
  const near = createGuest(shard, SLOT_PAGES, 0);
  const far = createGuest(shard, SLOT_PAGES, 1);
  const neighbour = createGuest(shard, SLOT_PAGES, 0);
  const cycles = ({ vcpu, file }: Guest): KernelCall => ['benchCycles', vcpu, file, 0, PAGES, rounds];
  /** Operations a second of several threads are the sum of each one's. */
  const measure = (name: string, calls: readonly (readonly [BenchThread, KernelCall])[]): Benchmark => ({
    name: `scaling/${name}`,
    operations: rounds,
    expected: PAGES * rounds * calls.length,
    run: async () => {
      const timings = await together(calls);
      return {
        ns: 1 / timings.reduce((rate, { ns }) => rate + 1 / ns, 0),
        waitedNs: Math.max(...timings.map(({ waitedNs }) => waitedNs)),
        value: timings.reduce((sum, { value }) => sum + value, 0),
      };
    },
  });
  const [one, two] = await runner.group([
    measure('one thread', [[threads[0], cycles(near)]]),
    measure('two threads, two partitions', [
      [threads[0], cycles(near)],
      [threads[1], cycles(far)],
    ]),
    measure('two threads, one partition', [
      [threads[0], cycles(near)],
      [threads[1], cycles(neighbour)],
    ]),
  ]);
  runner.atLeast(
    'two threads on two VMs of different partitions: speed-up',
    1.9,
    pairedRatio(one!.samples, two!.samples),
  );
  await Promise.all(threads.map((thread) => thread.end()));
  closeShard(shard);
}
