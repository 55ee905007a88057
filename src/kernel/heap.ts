// Kernel heap. Small objects: size classes with a magazine per task (no lock, no atomic in the common case) over shared free lists;
// after Linux's SLUB per-CPU lists and Bonwick's magazines. Large arrays: vmalloc, first fit over freed extents, else fresh memory,
// which is zero and which the operating system commits when it is touched.
import {
  FREED_WORD, HEAP_CLASSES, LOCK_HEAP, LOCK_VMALLOC, SH_HEAP_END, SH_HEAP_NEXT, SUBSYS_HEAP, TASK_MAGAZINES,
} from './abi/layout';
import { OOPS_HEAP_CORRUPT, ORACLE_KERNEL_BUG } from './abi/oops';
import { oops } from './oops';
import { allocationFails } from './perturb';
import { atomicCas32, atomicLoad32, current, fillBytes, load32, oraclesOn, peek32, poke64, store32 } from './point';
import { spinLock, spinUnlock } from './sync/spinlock';

// SUBSYS_HEAP: HEAP_CLASSES x u32 heads of the shared free lists (under LOCK_HEAP); at +64 the head of the freed extents (LOCK_VMALLOC).
// A free object: +4 FREE_MAGIC (a double free meets it), +28 next address; with the oracles on all the rest of it holds the same pattern (freed.ts). The
// link lies at the end of the smallest object: fields at the beginning are what a late reader looks at.
const FREE_MAGIC: u32 = FREED_WORD;
const LINK: usize = 28;
/** What an object that nobody has initialised holds with the oracles on. SLUB's POISON_INUSE. */
const FRESH: u32 = 0x5a;
const EXTENTS: usize = SUBSYS_HEAP + 64;
// A freed extent starts with {next u32, bytes u32}, extents in address order.
const MAGAZINE_BATCH: u32 = 16;
/** Objects that a magazine may hold: of small ones more than RCU frees at once, or two tasks that free and allocate would give one another theirs. */
const MAGAZINE_LIMIT: u32 = 48;
const MAGAZINE_LIMIT_SMALL: u32 = 192;
/** The largest class of small objects, 512 bytes: XArray nodes. */
const SMALL_CLASS: u32 = 5;
const SLAB_BYTES: u32 = 65536;

/** Size class of an object: 32, 64, 128, 256, 384, 512, 1024, ... 65536 bytes. */
// @ts-ignore: decorator
@inline
function classOf(size: usize): u32 {
  if (size <= 32) return 0;
  const log2 = 32 - <u32>clz<u32>(<u32>size - 1);
  if (log2 <= 8) return log2 - 5;
  if (log2 == 9) return size <= 384 ? 4 : 5;
  return log2 - 4;
}

// @ts-ignore: decorator
@inline
function classBytes(cls: u32): u32 {
  if (cls <= 3) return <u32>32 << cls;
  return cls == 4 ? 384 : <u32>512 << (cls - 5);
}

/**
 * Allocates `size` bytes (at most 64 KiB), 16-byte aligned (64-byte when size >= 64). Contents undefined. 0 when out of memory.
 * @context any; takes the heap lock only to refill the task's magazine. kernel: mm/slub.c kmalloc.
 */
export function kmalloc(size: usize): usize {
  return allocationFails() ? 0 : kmallocSure(size);
}

/** The same, but no failure is injected: for the model's own notes where the kernel needs no memory (an rcu_head or a list_head inside the object). */
export function kmallocSure(size: usize): usize {
  const object = take(size);
  if (object != 0 && oraclesOn()) fillBytes(object, FRESH, size);
  return object;
}

function take(size: usize): usize {
  const cls = classOf(size);
  const magazine = current + TASK_MAGAZINES + <usize>cls * 16;
  let object: usize = load32(magazine);
  if (object == 0) {
    if (!refill(magazine, cls)) return 0;
    object = load32(magazine);
  }
  store32(magazine, load32(object + LINK));
  store32(magazine + 4, load32(magazine + 4) - 1);
  store32(magazine + 8, load32(magazine + 8) + 1);
  if (ORACLES && peek32(object + 4) != FREE_MAGIC) oops(ORACLE_KERNEL_BUG, OOPS_HEAP_CORRUPT, <f64>object, <f64>cls);
  poke64(object, 0); // unseen: the pattern there would be taken for a late write
  store32(object + LINK, 0);
  return object;
}

/** A zeroed object of `size` bytes; 0 when out of memory. @context as kmalloc. */
export function kzalloc(size: usize): usize {
  const object: usize = allocationFails() ? 0 : take(size);
  if (object != 0) fillBytes(object, 0, size);
  return object;
}

/** Frees an object of `size` bytes. With the oracles on its memory is poisoned: whoever uses it later is found out. */
export function kfree(object: usize, size: usize): void {
  if (object == 0) return;
  const cls = classOf(size);
  if (oraclesOn()) {
    if (peek32(object + 4) == FREE_MAGIC) oops(ORACLE_KERNEL_BUG, OOPS_HEAP_CORRUPT, <f64>object, <f64>cls);
    fillBytes(object, FREE_MAGIC & 0xff, LINK);
    if (size > LINK + 4) fillBytes(object + LINK + 4, FREE_MAGIC & 0xff, size - LINK - 4);
  } else {
    store32(object + 4, FREE_MAGIC);
  }
  const magazine = current + TASK_MAGAZINES + <usize>cls * 16;
  store32(object + LINK, load32(magazine));
  store32(magazine, <u32>object);
  const count = load32(magazine + 4) + 1;
  store32(magazine + 4, count);
  store32(magazine + 8, load32(magazine + 8) - 1);
  const limit = cls <= SMALL_CLASS ? MAGAZINE_LIMIT_SMALL : MAGAZINE_LIMIT;
  if (count > limit) flush(magazine, cls, count - (limit >> 1));
}

/** Moves up to a batch of objects from the shared list, or from a fresh slab, into the empty magazine. */
function refill(magazine: usize, cls: u32): bool {
  const head: usize = <usize>cls * 4 + SUBSYS_HEAP;
  spinLock(LOCK_HEAP);
  const first: usize = load32(head);
  let moved: u32 = 0;
  let last = first;
  for (let next = first; next != 0 && moved < MAGAZINE_BATCH; next = load32(last + LINK)) {
    last = next;
    moved++;
  }
  if (moved != 0) store32(head, load32(last + LINK));
  spinUnlock(LOCK_HEAP);
  if (moved == 0) return carve(magazine, cls);
  store32(last + LINK, 0);
  store32(magazine, <u32>first);
  store32(magazine + 4, load32(magazine + 4) + moved);
  return true;
}

/** Cuts a fresh slab into objects for the magazine. Small shards get small slabs, so that a tiny host stays tiny. */
function carve(magazine: usize, cls: u32): bool {
  const bytes = classBytes(cls);
  let slab = max<u32>(bytes, min<u32>(SLAB_BYTES, bytes * MAGAZINE_BATCH));
  const address = freshMemory(slab);
  if (address == 0) return false;
  const count = slab / bytes;
  for (let n = count; n != 0; n--) {
    const object = address + <usize>(n - 1) * bytes;
    store32(object + LINK, load32(magazine));
    store32(object + 4, FREE_MAGIC);
    store32(magazine, <u32>object);
  }
  store32(magazine + 4, load32(magazine + 4) + count);
  return true;
}

/** Moves the first `count` objects to the shared list: one chain, so that the lock is held for two stores however many there are. */
function flush(magazine: usize, cls: u32, count: u32): void {
  const head: usize = <usize>cls * 4 + SUBSYS_HEAP;
  const first = load32(magazine);
  let last: usize = first;
  for (let n = count - 1; n != 0; n--) last = load32(last + LINK);
  store32(magazine, load32(last + LINK));
  store32(magazine + 4, load32(magazine + 4) - count);
  spinLock(LOCK_HEAP);
  store32(last + LINK, load32(head));
  store32(head, first);
  spinUnlock(LOCK_HEAP);
}

/** Never used, zero memory from the end of the heap, 64-byte aligned; 0 when there is none left. */
function freshMemory(bytes: u32): usize {
  let next = atomicLoad32(SH_HEAP_NEXT);
  while (true) {
    const wanted = (<u64>next + <u64>bytes + 63) & ~(<u64>63);
    if (wanted > <u64>load32(SH_HEAP_END)) return 0;
    const seen = atomicCas32(SH_HEAP_NEXT, next, <u32>wanted);
    if (seen == next) return next;
    next = seen;
  }
  return 0;
}

/** Rounds a vmalloc size: extents are multiples of 64 bytes. */
// @ts-ignore: decorator
@inline
function extentBytes(bytes: u64): u64 {
  return (max<u64>(bytes, 64) + 63) & ~(<u64>63);
}

/**
 * Allocates a zeroed array of any size, 64-byte aligned; 0 when out of memory. Untouched pages stay uncommitted.
 * @context takes LOCK_VMALLOC (spinning). kernel: mm/vmalloc.c vzalloc.
 */
export function vmalloc(bytes: u64): usize {
  const wanted = extentBytes(bytes);
  if (wanted > 0xffff0000 || allocationFails()) return 0;
  let found: usize = 0;
  spinLock(LOCK_VMALLOC);
  let link: usize = EXTENTS;
  for (let extent: usize = load32(link); extent != 0; extent = load32(link)) {
    const available = load32(extent + 4);
    if (available >= <u32>wanted) {
      const rest = available - <u32>wanted;
      if (rest == 0) store32(link, load32(extent));
      else store32(extent + 4, rest);
      found = extent + rest;
      break;
    }
    link = extent;
  }
  spinUnlock(LOCK_VMALLOC);
  if (found == 0) return freshMemory(<u32>wanted);
  fillBytes(found, 0, <usize>wanted);
  return found;
}

/** Frees a vmalloc array; neighbouring extents are joined. */
export function vfree(address: usize, bytes: u64): void {
  if (address == 0) return;
  const size = <u32>extentBytes(bytes);
  spinLock(LOCK_VMALLOC);
  let link: usize = EXTENTS;
  let next: usize = load32(link);
  while (next != 0 && next < address) {
    link = next;
    next = load32(next);
  }
  store32(address, <u32>next);
  store32(address + 4, size);
  store32(link, <u32>address);
  if (next != 0 && address + size == next) {
    store32(address, load32(next));
    store32(address + 4, size + load32(next + 4));
  }
  if (link != EXTENTS && link + load32(link + 4) == address) {
    store32(link, load32(address));
    store32(link + 4, load32(link + 4) + load32(address + 4));
  }
  spinUnlock(LOCK_VMALLOC);
}

/** Live objects of a size class (allocated minus freed), of one task's counter: sum over all tasks for the truth. */
export function heapLive(task: usize, cls: u32): i32 {
  return <i32>load32(task + TASK_MAGAZINES + <usize>cls * 16 + 8);
}

/** Size classes there are: heapLive takes 0 to one less. */
export function heapClassCount(): u32 { return HEAP_CLASSES; }
