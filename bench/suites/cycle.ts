// The whole cycle, uncontended: private faults of 1, 16 and 512 pages, then one hole punch over them (begin, zap, flush, SNP hook with RMPUPDATE, free,
// end); beside the same algorithm over JavaScript's Atomics.
import { cycles } from '../javascript/cycle.js';
import { allocatedPages } from '../javascript/pages.js';
import { bootShard, closeShard, createGuest } from '../machine.js';
import type { Runner } from '../runner.js';
import { pairedRatio } from '../../src/host/samples.js';
import { timed } from '../timing.js';

const SLOT_PAGES = 2048; // as many as the JavaScript version has
const SIZES = [1, 16, 512];

/** As the kernel's benchCycles: pages mapped, or -1 when pages are left over. */
function javascriptCycles(pages: number, rounds: number): number {
  const mapped = cycles(pages, rounds);
  return allocatedPages() === 0 ? mapped : -1;
}

export async function cycle(runner: Runner): Promise<void> {
  const shard = bootShard(2 * SLOT_PAGES);
  const { vcpu, file } = createGuest(shard, SLOT_PAGES);
  for (const pages of SIZES) {
    const rounds = runner.count(Math.max(4, Math.ceil(16_384 / pages)));
    const name = `cycle/${pages} page${pages === 1 ? '' : 's'}`;
    const cost = { operations: rounds, expected: pages * rounds };
    const [engine, javascript] = await runner.group([
      { name: `${name}, engine`, ...cost, run: () => timed(() => shard.x.benchCycles(vcpu, file, 0, pages, rounds)) },
      { name: `${name}, JavaScript`, ...cost, run: () => timed(() => javascriptCycles(pages, rounds)) },
    ]);
    runner.atLeast(
      `cycle of ${pages} pages: times as fast as JavaScript Atomics`,
      8,
      pairedRatio(javascript!.samples, engine!.samples),
    );
  }
  closeShard(shard);
}
