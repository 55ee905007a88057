// Uncontended pairs of lock and unlock, beside one atomic addition, which is what a lock cannot go below.
import { LC_NONE } from '../../src/kernel/abi/classes.js';
import { bootShard } from '../machine.js';
import type { Benchmark, Runner } from '../runner.js';
import { estimate } from '../../src/host/samples.js';
import { timed } from '../timing.js';

const LIMITS_NS: Record<string, number> = {
  'locks/rwsem write pair': 15,
  'locks/rwsem read pair': 15,
  'locks/srcu read pair': 10,
  'locks/mmu_lock write pair': 15,
};

export async function locks(runner: Runner): Promise<void> {
  const { x, words } = bootShard(1024, { memoryPages: 1024 });
  const lock = (init: (address: number) => unknown): number => {
    const address = x.vmalloc(4096n) >>> 0;
    init(address);
    return address;
  };
  const rwsem = lock((l) => x.rwsemInit(l, LC_NONE));
  const mmuLock = lock((l) => x.rwlockInit(l, LC_NONE));
  const srcu = lock((l) => x.srcuInit(l, LC_NONE));
  const mutex = lock((l) => x.mutexInit(l, LC_NONE));
  const spinlock = lock((l) => x.spinLockInit(l, LC_NONE));
  const counter = lock(() => 0);
  const nothing = lock(() => 0);
  const n = runner.count(200_000, 100_000, 100);
  /** A pair leaves the lock word as it was. */
  const pair = (name: string, address: number, body: () => void): Benchmark => ({
    name: `locks/${name} pair`,
    operations: n,
    expected: words[address / 4]!,
    run: () =>
      timed(() => {
        body();
        return words[address / 4]!;
      }),
  });
  const addition: Benchmark = {
    name: 'locks/atomic addition',
    operations: n,
    expected: n,
    run: () => timed(() => x.benchAtomicAdds(counter, n)),
  };
  const measured = await runner.group([
    addition,
    pair('rwsem write', rwsem, () => x.benchRwsemWritePairs(rwsem, n)),
    pair('rwsem read', rwsem, () => x.benchRwsemReadPairs(rwsem, n)),
    pair('mmu_lock write', mmuLock, () => x.benchRwlockWritePairs(mmuLock, n)),
    pair('mmu_lock read', mmuLock, () => x.benchRwlockReadPairs(mmuLock, n)),
    pair('srcu read', srcu, () => x.benchSrcuReadPairs(srcu, n)),
    pair('mutex', mutex, () => x.benchMutexPairs(mutex, n)),
    pair('spinlock', spinlock, () => x.benchSpinlockPairs(spinlock, n)),
    pair('rcu read', nothing, () => x.benchRcuReadPairs(n)),
  ]);
  for (const { name, samples } of measured) {
    const limit = LIMITS_NS[name];
    if (limit !== undefined) runner.atMost(name.slice('locks/'.length), limit, estimate(samples), 'ns');
  }
}
