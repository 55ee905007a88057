// Cost per page and per look-up over the size of what is worked on: it must not grow.
import { bootShard, closeShard, createGuest } from '../machine.js';
import { WrongResult, type Benchmark, type Runner } from '../runner.js';
import { estimate, type Estimate } from '../../src/host/samples.js';
import { timed } from '../timing.js';

const SMALLEST = 6; // 2^6 pages
const LEAST_SAMPLE = 15; // a sample clears at least 2^15 pages
const HOT_BINDINGS = 64; // few enough to stay in the cache
const BINDING_PAGES = 512;
const NOTIFIER_SIZE = 16;

/** Worst over best of the medians; the interval is that of the worst one over the best median. */
function spread(groups: readonly { samples: number[] }[]): Estimate {
  const all = groups.map(({ samples }) => estimate(samples)).toSorted((a, b) => a.median - b.median);
  const best = all[0]!.median;
  const worst = all.at(-1)!;
  return { median: worst.median / best, low: worst.low / best, high: worst.high / best };
}

/** Invalidation of ranges of 2^6 to 2^24 pages, the pages mapped beforehand; small ranges many times, one behind the other. */
async function pagesOf(runner: Runner): Promise<void> {
  const largest = { full: 24, quick: 21, smoke: 9 }[runner.effort];
  const atLeast = { full: LEAST_SAMPLE, quick: LEAST_SAMPLE, smoke: SMALLEST }[runner.effort];
  const shard = bootShard(2 ** Math.max(largest, atLeast) + 1024);
  const { x } = shard;
  const { vcpu, file } = createGuest(shard, 2 ** Math.max(largest, atLeast));
  const clearing = (exponent: number): Benchmark => {
    const pages = 2 ** Math.max(exponent, atLeast);
    return {
      name: `flatness/clear 2^${exponent} pages`,
      operations: pages,
      expected: 0,
      prepare: () => {
        const mapped = x.benchFaults(vcpu, 0, pages);
        if (mapped !== pages) throw new WrongResult(`flatness: ${mapped} of ${pages} pages could be mapped`);
      },
      run: () => {
        const timing = timed(() => x.benchPunches(file, 2 ** exponent, pages / 2 ** exponent));
        return { ...timing, value: timing.value === 0 ? x.sysFilePages(file) : timing.value };
      },
    };
  };
  const small: Benchmark[] = [];
  const large: Benchmark[] = [];
  for (let exponent = SMALLEST; exponent <= largest; exponent += 3)
    (exponent <= 18 ? small : large).push(clearing(exponent));
  const measured = await runner.group(small, 0.5);
  if (large.length > 0) measured.push(...(await runner.group(large, 0.1)));
  runner.atMost(`clearing per page, 2^${SMALLEST} to 2^${largest} pages: worst over best`, 1.5, spread(measured));
  closeShard(shard);
}

/**
 * Look-up of the binding of a page offset in files with 1 to 100,000 bindings: page after page; round some bindings far apart, which costs the depth
 * of the tree; and all over the file, which costs what the machine's memory does.
 */
async function bindingsOf(runner: Runner): Promise<void> {
  const most = runner.count(100_000, 100_000, 100);
  const { x } = bootShard(1024);
  const lookups = runner.count(100_000, 50_000, 100);
  const benchmarks: Benchmark[] = [];
  for (let bindings = 1; bindings <= most; bindings *= 10) {
    const file = x.sysCreateFile(0, 0, 0) >>> 0;
    const pages = bindings * BINDING_PAGES;
    const notifiers = x.vmalloc(BigInt(bindings * NOTIFIER_SIZE)) >>> 0;
    for (let n = 0; n < bindings; n++) {
      const start = BigInt(n * BINDING_PAGES);
      const error = x.restrictedmemBind(file, start, start + BigInt(BINDING_PAGES), notifiers + n * NOTIFIER_SIZE, 1);
      if (error !== 0) throw new WrongResult(`binding ${n} of ${bindings}: ${error}`);
    }
    const lookup = (name: string, step: number): Benchmark => ({
      name: `flatness/binding look-up, ${name}, ${bindings} binding${bindings === 1 ? '' : 's'}`,
      operations: lookups,
      expected: lookups,
      run: () => timed(() => x.benchBindingLookups(file, pages, step, lookups)),
    });
    benchmarks.push(
      lookup('in order', 1),
      lookup('some', Math.max(1, Math.floor(pages / HOT_BINDINGS))),
      lookup('scattered', Math.floor(pages * 0.618034) | 1),
    );
  }
  const measured = await runner.group(benchmarks);
  const named = (name: string): typeof measured => measured.filter((row) => row.name.includes(`, ${name},`));
  runner.atMost(`binding look-up in order, 1 to ${most} bindings: worst over best`, 2, spread(named('in order')));
  runner.atMost(`binding look-up of some, 1 to ${most} bindings: worst over best`, 2, spread(named('some')));
}

export async function flatness(runner: Runner): Promise<void> {
  await pagesOf(runner);
  await bindingsOf(runner);
}
