// What the XArray tests share: short names over the exports, iteration as the kernel's macros do it, and a count of live nodes.
import { expect } from 'vitest';
import * as layout from '#src/kernel/abi/layout.js';
import { LC_USER } from '#src/kernel/abi/classes.js';
import { bootKernel, type TestKernel } from '../harness.js';

export const ULONG_MAX = 2n ** 64n - 1n;
export const PRESENT = 8;
export const ZERO_ENTRY = (257 << 2) | 2;
export const RETRY_ENTRY = (256 << 2) | 2;
/** Size class of a node in the heap. */
const NODE_CLASS = 4;

type Index = number | bigint;

export interface Found {
  index: bigint;
  entry: number;
}

export interface XArray {
  k: TestKernel;
  xa: number;
  /** A cursor (struct xa_state) in kernel memory. */
  xas: number;
  load(index: Index): number;
  store(index: Index, entry: number): number;
  storeOrder(index: Index, order: number, entry: number): number;
  storeRange(first: Index, last: Index, entry: number): number;
  erase(index: Index): number;
  find(index: Index, last?: Index, filter?: number): Found | undefined;
  findAfter(index: Index, last?: Index, filter?: number): Found | undefined;
  /** xa_for_each_range: each entry once, the callback outside RCU. */
  forEach(first?: Index, last?: Index, filter?: number): Generator<Found>;
  empty(): boolean;
  /** Index the cursor stands at. */
  at(): bigint;
  /** The node the head points to; 0 without one. */
  topNode(): number;
  /** Count and nr_values of a node. */
  counts(node: number): { count: number; values: number };
  /** Nodes alive in the whole shard, deferred frees done. */
  liveNodes(): number;
}

/** mk(i) of the kernel's tests: the value entry for an index. Wide indices are cut to the 31 bits of a value. */
export function mk(index: Index): number {
  return Number(((BigInt(index) & 0x7fffffffn) << 1n) | 1n);
}

export function newXArray(k: TestKernel = bootKernel()): XArray {
  const xa = k.alloc(64);
  const xas = k.alloc(64);
  const indexp = k.alloc(64);
  k.x.xaInit(xa, LC_USER);
  const search = (find: typeof k.x.xaFind, index: Index, last: Index, filter: number): Found | undefined => {
    k.setU64(indexp, BigInt(index));
    const entry = find(xa, indexp, BigInt(last), filter) >>> 0;
    return entry === 0 ? undefined : { index: k.u64(indexp), entry };
  };
  const self: XArray = {
    k,
    xa,
    xas,
    load: (index) => k.x.xaLoad(xa, BigInt(index)) >>> 0,
    store: (index, entry) => k.x.xaStore(xa, BigInt(index), entry) >>> 0,
    storeOrder: (index, order, entry) => k.x.xaStoreOrder(xa, BigInt(index), order, entry) >>> 0,
    storeRange: (first, last, entry) => k.x.xaStoreRange(xa, BigInt(first), BigInt(last), entry),
    erase: (index) => k.x.xaErase(xa, BigInt(index)) >>> 0,
    find: (index, last = ULONG_MAX, filter = PRESENT) => search(k.x.xaFind, index, last, filter),
    findAfter: (index, last = ULONG_MAX, filter = PRESENT) => search(k.x.xaFindAfter, index, last, filter),
    *forEach(first = 0, last = ULONG_MAX, filter = PRESENT) {
      for (let at = self.find(first, last, filter); at !== undefined; at = self.findAfter(at.index, last, filter))
        yield at;
    },
    at: () => BigInt.asUintN(64, k.x.xasIndex(xas)),
    empty: () => Boolean(k.x.xaEmpty(xa)),
    topNode: () => ((k.u32(xa + 16) & 3) === 2 ? k.u32(xa + 16) - 2 : 0),
    counts: (node) => ({ count: k.u32(node + 8) & 0xff, values: (k.u32(node + 8) >>> 16) & 0xff }),
    liveNodes: () => liveNodes(k),
  };
  return self;
}

export function liveNodes(k: TestKernel): number {
  k.x.rcuBarrier();
  let live = 0;
  for (let task = 0; task < k.words[layout.SH_MAX_TASKS / 4]!; task++)
    live += k.x.heapLive(k.x.taskAddress(task), NODE_CLASS);
  return live;
}

/** Ends a test: the array is empty by itself and every node is back. */
export function expectClean(a: XArray): void {
  expect(a.empty()).toBe(true);
  expect(a.liveNodes()).toBe(0);
}
