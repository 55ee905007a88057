// Single atomic operations in the engine (Wasm) and by JavaScript's Atomics on the same memory: why the kernel is compiled.
import { bootShard } from '../machine.js';
import type { Benchmark, Runner } from '../runner.js';
import { timed } from '../timing.js';

type Words = Int32Array<SharedArrayBuffer>;

// One function an operation, so that each call site stays monomorphic.
const JAVASCRIPT: Record<string, (words: Words, at: number, n: number) => number> = {
  load: (words, at, n) => {
    let sum = 0;
    for (; n > 0; n--) sum += Atomics.load(words, at);
    return sum;
  },
  store: (words, at, n) => {
    for (; n > 0; n--) Atomics.store(words, at, n);
    return Atomics.load(words, at);
  },
  'compare-exchange': (words, at, n) => {
    Atomics.store(words, at, 0);
    for (let value = 0; value < n; value++) Atomics.compareExchange(words, at, value, value + 1);
    return Atomics.load(words, at);
  },
  addition: (words, at, n) => {
    Atomics.store(words, at, 0);
    for (; n > 0; n--) Atomics.add(words, at, 1);
    return Atomics.load(words, at);
  },
};

export async function javascript(runner: Runner): Promise<void> {
  const { x, words } = bootShard(1024, { memoryPages: 1024 });
  const address = x.vmalloc(4096n) >>> 0;
  const n = runner.count(100_000, 50_000, 100);
  const engine: Record<string, () => number> = {
    load: () => x.benchAtomicLoads(address, n),
    store: () => x.benchAtomicStores(address, n),
    'compare-exchange': () => x.benchAtomicExchanges(address, n),
    addition: () => x.benchAtomicAdds(address, n),
  };
  for (const [operation, body] of Object.entries(engine)) {
    const expected = operation === 'load' ? n : operation === 'store' ? 1 : n;
    const prepare = (): void => void Atomics.store(words, address / 4, 1);
    const measure = (name: string, run: () => number): Benchmark => ({
      name: `javascript/atomic ${operation}, ${name}`,
      operations: n,
      expected,
      prepare,
      run: () => timed(run),
    });
    await runner.group([
      measure('engine', body),
      measure('JavaScript', () => JAVASCRIPT[operation]!(words, address / 4, n)),
    ]);
  }
}
