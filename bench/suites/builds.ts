// What the builds cost: the cycle of 16 pages in `fast`, in `perturbed` without delays, and there with the oracles on.
import type { ShardOptions } from '../../src/host/shard.js';
import { bootShard, closeShard, createGuest } from '../machine.js';
import type { Benchmark, Runner } from '../runner.js';
import { pairedRatio } from '../../src/host/samples.js';
import { timed } from '../timing.js';

const SLOT_PAGES = 2048;
const PAGES = 16;
/** Many short samples: a neighbour on the same core comes and goes within milliseconds, and ratios of samples taken apart would show him. */
const SHARE = 6;

export async function builds(runner: Runner): Promise<void> {
  const rounds = runner.count(60, 60, 2);
  const measure = (name: string, options: Partial<ShardOptions>): [Benchmark, () => void] => {
    const shard = bootShard(2 * SLOT_PAGES, options);
    const { vcpu, file } = createGuest(shard, SLOT_PAGES);
    const run: Benchmark['run'] = () => timed(() => shard.x.benchCycles(vcpu, file, 0, PAGES, rounds));
    return [{ name: `builds/${name}`, operations: rounds, expected: PAGES * rounds, run }, () => closeShard(shard)];
  };
  const machines = [
    measure('fast', { build: 'fast' }),
    measure('fast-stat', { build: 'fast-stat' }),
    measure('perturbed', { build: 'perturbed' }),
    measure('perturbed, oracles', { build: 'perturbed', oracles: true }),
  ];
  const [fast, , perturbed, oracles] = await runner.group(
    machines.map(([benchmark]) => benchmark),
    SHARE,
  );
  runner.atMost('perturbed without delays, times fast', 1.5, pairedRatio(perturbed!.samples, fast!.samples));
  runner.atMost('oracles, times perturbed', 1.3, pairedRatio(oracles!.samples, perturbed!.samples));
  for (const [, close] of machines) close();
}
