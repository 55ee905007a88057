// Clearing a 1 GiB private range (262,144 pages of 4K) with the SNP hook: by one thread, and with the hook and the freeing spread over the home
// workers of two partitions.
import { SH_STOP, STOP_REQUESTED } from '../../src/kernel/abi/layout.js';
import { bootShard, closeShard, createGuest, punch } from '../machine.js';
import { WrongResult, type Benchmark, type Runner } from '../runner.js';
import { estimate, pairedRatio } from '../../src/host/samples.js';
import { BenchThread } from '../threads.js';
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
  const [alone, spread] = await runner.group([clearing('one thread', false), clearing('two home workers', true)], 0.5);
  runner.atMost('clearing 1 GiB with the SNP hook, one thread, per page', 25, estimate(alone!.samples), 'ns');
  runner.atLeast('clearing 1 GiB over two home workers: speed-up', 1.8, pairedRatio(alone!.samples, spread!.samples));
  closeShard(shard);
  Atomics.store(shard.words, SH_STOP / 4, STOP_REQUESTED);
  await Promise.all(served);
  await Promise.all(homes.map((home) => home.end()));
}
