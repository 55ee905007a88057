// The fault-and-invalidate cycle once more, in plain TypeScript with `Atomics` over a SharedArrayBuffer: what the engine would cost without
// WebAssembly. Same steps, same data structures (64-way radix nodes, bitmap allocator, four-level page table, 16-byte RMP entries), one
// slot, one binding, no error paths. Used by bench/cycle.ts only; the engine's own code is src/kernel.

const WORDS = 1 << 22;
const w = new Int32Array(new SharedArrayBuffer(WORDS * 4));

// Word addresses. Lines of 16 words keep unrelated counters apart.
const SRCU_IDX = 16;
const SRCU_LOCK = 32;
const SRCU_UNLOCK = 34;
const MMU_LOCK = 48;
const IN_PROGRESS = 64;
const SEQ = 65;
const RANGE_START = 66;
const RANGE_END = 67;
const RM_LOCK = 80;
const ZONE_LOCK = 96;
const XA_LOCK = 112;
const VCPU_MODE = 128;
const VCPU_REQUESTS = 129;
const SLOTS = 144; // active slot: base gfn, pages, binding offset
const OWNER = 160;
const BITMAP = 256; // one bit a page, 16 words a 2M region
const REGION_FREE = 1024;
const PAGES = 4096; // refcount, content
const RMP = 16384; // 4 words an entry
const SPTE_ROOT = 65536; // 3 upper levels of one table each
const SPTE_LEAVES = SPTE_ROOT + 3 * 1024;
const XA_HEAD = 131072; // page cache: 3 levels of 64 slots
const XA_BINDING = 196608;
const PAGE_COUNT = 2048;
const ASID = 7;
const RMP_ASSIGNED = 1;

/** Prepares the tables: one slot of `PAGE_COUNT` pages at gfn 0, all memory free. */
export function setUp(): void {
  w.fill(0);
  for (let n = 0; n < PAGE_COUNT / 32; n++) w[BITMAP + n] = -1;
  for (let n = 0; n < PAGE_COUNT / 512; n++) w[REGION_FREE + n] = 512;
  w[SLOTS] = 0;
  w[SLOTS + 1] = PAGE_COUNT;
  w[XA_BINDING] = 1;
  for (let n = 0; n < 64; n++) w[XA_HEAD + n] = XA_HEAD + 64 + n * 64;
  for (let level = 0; level < 2; level++) w[SPTE_ROOT + level * 1024] = SPTE_ROOT + (level + 1) * 1024;
  for (let n = 0; n < 8; n++) w[SPTE_ROOT + 2 * 1024 + n] = SPTE_LEAVES + n * 1024;
}

function lock(word: number): void {
  while (Atomics.compareExchange(w, word, 0, 1) !== 0);
}

function unlock(word: number): void {
  Atomics.store(w, word, 0);
}

function srcuReadLock(): number {
  const idx = Atomics.load(w, SRCU_IDX) & 1;
  Atomics.add(w, SRCU_LOCK + idx, 1);
  return idx;
}

function allocPage(): number {
  lock(ZONE_LOCK);
  let pfn = -1;
  for (let region = 0; region < PAGE_COUNT / 512 && pfn < 0; region++) {
    if (w[REGION_FREE + region] === 0) continue;
    for (let n = region * 16; n < region * 16 + 16; n++) {
      const bits = w[BITMAP + n]!;
      if (bits === 0) continue;
      const bit = 31 - Math.clz32(bits & -bits);
      w[BITMAP + n] = bits & ~(1 << bit);
      w[REGION_FREE + region]!--;
      pfn = n * 32 + bit;
      break;
    }
  }
  unlock(ZONE_LOCK);
  Atomics.store(w, PAGES + pfn * 2, 1);
  w[PAGES + pfn * 2 + 1] = 0;
  return pfn;
}

function cacheSlot(index: number): number {
  const node = Atomics.load(w, XA_HEAD + ((index >> 6) & 63));
  return node + (index & 63);
}

/** Finds or allocates the page of `index`; returns its PFN with a reference. */
function getPage(index: number): number {
  if (Atomics.load(w, XA_BINDING) === 0) return -1;
  const slot = cacheSlot(index);
  const entry = Atomics.load(w, slot);
  if (entry !== 0) {
    Atomics.add(w, PAGES + (entry >> 1) * 2, 1);
    return entry >> 1;
  }
  const pfn = allocPage();
  lock(XA_LOCK);
  Atomics.store(w, slot, (pfn << 1) | 1);
  unlock(XA_LOCK);
  Atomics.add(w, PAGES + pfn * 2, 1);
  return pfn;
}

function rmpAssign(pfn: number, gfn: number): void {
  const head = RMP + (pfn & ~511) * 4;
  const entry = RMP + pfn * 4;
  if ((Atomics.load(w, head) & 2) !== 0) return;
  const old = Atomics.load(w, entry);
  if ((old & RMP_ASSIGNED) !== 0) return;
  Atomics.store(w, entry + 1, (ASID << 19) | (gfn >>> 20));
  Atomics.compareExchange(w, entry, old, (gfn << 12) | RMP_ASSIGNED | (old & 0xff8));
  if (entry !== head) Atomics.add(w, head, 8);
}

function rmpReset(pfn: number): void {
  const head = RMP + (pfn & ~511) * 4;
  const entry = RMP + pfn * 4;
  if ((Atomics.load(w, head) & 2) !== 0) return;
  const old = Atomics.load(w, entry);
  if ((old & RMP_ASSIGNED) === 0) return;
  Atomics.compareExchange(w, entry, old, old & 0xff8);
  Atomics.store(w, entry + 1, 0);
  if (entry !== head) Atomics.sub(w, head, 8);
}

/** One private fault: kvm->srcu, sequence, page, mmu_lock for read, stale check, RMPUPDATE, map. */
export function fault(gfn: number): boolean {
  const idx = srcuReadLock();
  const seq = Atomics.load(w, SEQ);
  const open = Atomics.load(w, IN_PROGRESS) !== 0 && gfn >= w[RANGE_START]! && gfn < w[RANGE_END]!;
  const base = Atomics.load(w, SLOTS);
  if (open || gfn < base || gfn >= base + w[SLOTS + 1]!) {
    Atomics.add(w, SRCU_UNLOCK + idx, 1);
    return false;
  }
  const pfn = getPage(gfn - base + w[SLOTS + 2]!);
  Atomics.add(w, MMU_LOCK, 0x200);
  const fresh = Atomics.load(w, IN_PROGRESS) === 0 && Atomics.load(w, SEQ) === seq;
  if (fresh) {
    rmpAssign(pfn, gfn);
    let table = SPTE_ROOT;
    table = Atomics.load(w, table);
    table = Atomics.load(w, table);
    table = Atomics.load(w, table + (gfn >> 9));
    Atomics.compareExchange(w, table + (gfn & 511) * 2, 0, (pfn << 12) | 7);
  }
  Atomics.sub(w, MMU_LOCK, 0x200);
  Atomics.sub(w, PAGES + pfn * 2, 1);
  Atomics.add(w, SRCU_UNLOCK + idx, 1);
  return fresh;
}

function zap(start: number, end: number): void {
  for (let gfn = start; gfn < end; gfn++) {
    const table = Atomics.load(w, SPTE_ROOT + 2 * 1024 + (gfn >> 9));
    Atomics.store(w, table + (gfn & 511) * 2, 0);
  }
}

function flushRemote(): void {
  Atomics.or(w, VCPU_REQUESTS, 1);
  while (Atomics.load(w, VCPU_MODE) === 1);
  Atomics.and(w, VCPU_REQUESTS, ~1);
}

function hook(start: number, end: number): void {
  for (let index = start; index < end; index++) {
    const entry = Atomics.load(w, cacheSlot(index));
    if (entry === 0) continue;
    const pfn = entry >> 1;
    Atomics.add(w, PAGES + pfn * 2, 1);
    rmpReset(pfn);
    Atomics.sub(w, PAGES + pfn * 2, 1);
  }
}

function freePage(pfn: number): void {
  lock(ZONE_LOCK);
  w[BITMAP + (pfn >> 5)]! |= 1 << (pfn & 31);
  w[REGION_FREE + (pfn >> 9)]!++;
  unlock(ZONE_LOCK);
}

function truncate(start: number, end: number): void {
  for (let index = start; index < end; index++) {
    const slot = cacheSlot(index);
    lock(XA_LOCK);
    const entry = Atomics.load(w, slot);
    Atomics.store(w, slot, 0);
    unlock(XA_LOCK);
    if (entry !== 0 && Atomics.sub(w, PAGES + (entry >> 1) * 2, 1) === 1) freePage(entry >> 1);
  }
}

/** A hole punch over [start, end): begin, zap, flush, hook, free, end. */
export function invalidate(start: number, end: number): void {
  Atomics.add(w, RM_LOCK, 256);
  const idx = srcuReadLock();
  while (Atomics.compareExchange(w, MMU_LOCK, 0, 0xff) !== 0);
  w[OWNER] = 1;
  Atomics.add(w, IN_PROGRESS, 1);
  w[RANGE_START] = start;
  w[RANGE_END] = end;
  zap(start, end);
  flushRemote();
  Atomics.store(w, MMU_LOCK, 0);
  Atomics.add(w, SRCU_UNLOCK + idx, 1);
  hook(start, end);
  truncate(start, end);
  while (Atomics.compareExchange(w, MMU_LOCK, 0, 0xff) !== 0);
  Atomics.add(w, SEQ, 1);
  Atomics.sub(w, IN_PROGRESS, 1);
  Atomics.store(w, MMU_LOCK, 0);
  Atomics.sub(w, RM_LOCK, 256);
}

/** Pages that are not free now: the result the benchmark checks. */
export function allocatedPages(): number {
  let free = 0;
  for (let region = 0; region < PAGE_COUNT / 512; region++) free += w[REGION_FREE + region]!;
  return PAGE_COUNT - free;
}
