// Reading ahead: the cache lines of several nodes side by side, before somebody goes through the nodes one by one and waits for each. kernel: none; there are
// instructions for it, which WebAssembly lacks.
import { atomicLoadStatic32, loadStatic32, store32 } from '../point';
import { NODE_OFFSET, NODE_PARENT, NODE_SIZE, slotLoad, XA_CHUNK_SIZE, xaIsNode, xaToNode } from './xarray-node';

// @ts-ignore: decorator
@inline
function warmNode(node: usize): void {
  for (let line: usize = 0; line < NODE_SIZE; line += 64) atomicLoadStatic32(node + line);
}

/** The `count` nodes in `nodes` (u32 each; 0: none). @context their owner. */
export function xaWarmNodes(nodes: usize, count: u32): void {
  for (let n: u32 = 0; n < count; n++) {
    const node: usize = loadStatic32(nodes + (<usize>n << 2));
    if (node != 0) warmNode(node);
  }
}

/**
 * A lowest node and those of its siblings in the `count` - 1 slots behind it. Their addresses to `nodes` (u32 each); returns how many there are.
 * @context rcu_read_lock.
 */
export function xaWarmSiblings(leaf: usize, count: u32, nodes: usize): u32 {
  const parent: usize = atomicLoadStatic32(leaf + NODE_PARENT);
  store32(nodes, <u32>leaf);
  if (parent == 0) return 1;
  let found: u32 = 0;
  const first = loadStatic32(leaf + NODE_OFFSET);
  for (let offset = first, end = min<u32>(first + count, XA_CHUNK_SIZE); offset < end; offset++) {
    const entry = slotLoad(parent, offset);
    if (!xaIsNode(entry)) continue;
    warmNode(xaToNode(entry));
    store32(nodes + (<usize>found << 2), <u32>xaToNode(entry));
    found++;
  }
  return found;
}
