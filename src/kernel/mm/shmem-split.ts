// Splitting a 2M folio of the page cache in place. Readers without a lock must at every moment find either the folio or its page, never a hole:
// another hole punch may just be resetting RMP entries of the same folio. kernel: mm/huge_memory.c split_huge_page_to_list, lib/xarray.c xas_split.
import { PTRS_PER_FOLIO, SHMEM_I_PAGES } from '../abi/mm';
import { kfree } from '../heap';
import { load32, loadStatic32, store32 } from '../point';
import { stackPop, stackPush } from '../task';
import { freezeFolio, splitFolio, unfreezeFolio } from './page';
import { entryHead, entryIsFolio } from './shmem';
import { XAS_SIZE, xaIsValue, xaLock, xaMkValue, xasInit, xasLoad, xaUnlock } from './xarray';
import { XAS_NODE, XAS_OFFSET } from './xarray-cursor';
import { NODE_SIZE, nodeAdd, nodeAlloc, slotAddress, slotPublish, xaMkNode } from './xarray-node';

/** A 2M folio fills 8 slots of a node whose slots stand for 64 pages each. */
const CHILDREN: u32 = 8;
const SLOTS: u32 = 64;

/**
 * Replaces the folio at `index` by 512 pages. Fails (false) when somebody else holds a reference to it, when nodes cannot be allocated, or
 * when there is no folio any more.
 * @context takes xa_lock.
 */
export function shmemSplitFolio(f: usize, index: u64): bool {
  const xa = f + SHMEM_I_PAGES;
  const first = index & ~(<u64>PTRS_PER_FOLIO - 1);
  const xas = stackPush(XAS_SIZE);
  const children = stackPush(CHILDREN * 4);
  xasInit(xas, xa, first);
  xaLock(xa);
  const entry = xasLoad(xas);
  let split = false;
  if (xaIsValue(entry) && entryIsFolio(entry)) {
    const node: usize = loadStatic32(xas + XAS_NODE);
    const offset = loadStatic32(xas + XAS_OFFSET);
    const head = entryHead(entry);
    if (allocChildren(xa, node, offset, children)) {
      // Only the cache's own reference may be left: a user of the folio must not see it fall apart.
      split = freezeFolio(head, 1);
      if (split) replace(node, offset, head, children);
      else freeChildren(children, CHILDREN);
    }
  }
  xaUnlock(xa);
  stackPop(CHILDREN * 4);
  stackPop(XAS_SIZE);
  return split;
}

/** @context xa_lock; the folio is frozen. */
function replace(node: usize, offset: u32, head: u32, children: usize): void {
  splitFolio(head, 1);
  // The canonical slot last: until then its siblings still lead to it.
  for (let n: u32 = CHILDREN; n != 0; n--) {
    const child: usize = load32(children + (<usize>(n - 1) << 2));
    const base = head + (n - 1) * SLOTS;
    for (let slot: u32 = 0; slot < SLOTS; slot++) store32(slotAddress(child, slot), xaMkValue(base + slot));
    nodeAdd(child, SLOTS, SLOTS);
    slotPublish(node, offset + n - 1, xaMkNode(child));
  }
  nodeAdd(node, 0, -<i32>CHILDREN);
  unfreezeFolio(head, 1);
}

/** @context xa_lock. */
function allocChildren(xa: usize, node: usize, offset: u32, children: usize): bool {
  for (let n: u32 = 0; n < CHILDREN; n++) {
    const child = nodeAlloc(xa, node, offset + n, 0);
    if (child == 0) {
      freeChildren(children, n);
      return false;
    }
    store32(children + (<usize>n << 2), <u32>child);
  }
  return true;
}

function freeChildren(children: usize, count: u32): void {
  for (let n: u32 = 0; n < count; n++) kfree(load32(children + (<usize>n << 2)), NODE_SIZE);
}
