// The RMP of the JavaScript cycle: 16-byte entries in the hardware's layout, the lockless protocol of src/kernel/snp/rmp.ts (count reserved at the head
// first, then the own entry), RMPUPDATE and the hook's walk. 64-bit atomics throughout: an entry is read and changed as a whole.
import { allocate, never, q, task, w } from './memory.js';
import { cursor, xaGather } from './xarray.js';
import { pageCache } from './pages.js';

const PFNS = 8192;
/** 64-bit index of the table. */
const table = allocate(PFNS * 4 + 16) >> 1;
const directMap = allocate(16);
const coveredPfns = allocate(16);
w[coveredPfns] = PFNS;

const ASSIGNED = 1n;
const PAGESIZE_2M = 2n;
const IMMUTABLE = 4n;
const COUNT_ONE = 8n;
const COUNT_MASK = 0xff8n;
const MARK = 8n;
const VALIDATED_OR_VMSA = 3n << 61n;
const ASID_SHIFT = 51n;

const RMPUPDATES = 0;
const HOOK_PAGES = 1;

/** The lo word of a page assigned to a guest. */
function stateOf(gfn: number, asid: bigint): bigint {
  return ASSIGNED | (BigInt(gfn) << 12n) | (asid << ASID_SHIFT);
}

/** What the table says of a page, without bookkeeping bits. */
function pageLo(pfn: number): bigint {
  const head = Atomics.load(q, table + (pfn & ~511) * 2);
  if ((head & PAGESIZE_2M) !== 0n) never('a 2M entry');
  return ((pfn & 511) === 0 ? head : Atomics.load(q, table + pfn * 2)) & ~COUNT_MASK;
}

/** snp_make_page_private: assigns a 4K page unless it is assigned already. */
export function makePrivate(pfn: number, gfn: number, asid: bigint): void {
  if (pfn >= w[coveredPfns]!) never('a page without an entry');
  const wanted = stateOf(gfn, asid);
  const lo = pageLo(pfn);
  if ((lo & ASSIGNED) !== 0n) return;
  const bit = 1 << ((pfn >> 9) & 31);
  if ((Atomics.load(w, directMap) & bit) === 0) Atomics.or(w, directMap, bit);
  if ((pfn & 511) === 0) updateHead(pfn, wanted);
  else updateFollower(pfn, wanted);
  w[task.counters + RMPUPDATES]!++;
}

function updateHead(pfn: number, wanted: bigint): void {
  const entry = table + pfn * 2;
  if (Atomics.load(q, entry + 1) !== 0n) never('a page in use');
  const lo = Atomics.load(q, entry);
  if ((lo & (IMMUTABLE | PAGESIZE_2M)) !== 0n) never('a page that is not the host’s');
  if (Atomics.compareExchange(q, entry, lo, wanted | (lo & COUNT_MASK)) !== lo) never('another CPU');
  if (Atomics.load(q, entry + 1) !== 0n) never('a page in use');
}

function updateFollower(pfn: number, wanted: bigint): void {
  const entry = table + pfn * 2;
  const head = table + (pfn & ~511) * 2;
  if (Atomics.load(q, entry + 1) !== 0n) never('a page in use');
  const lo = Atomics.load(q, entry);
  if ((lo & (MARK | IMMUTABLE | ASSIGNED)) !== 0n) never('an assigned page');
  const old = Atomics.load(q, head);
  if ((old & PAGESIZE_2M) !== 0n || (old & COUNT_MASK) === COUNT_MASK) never('a full region');
  if (Atomics.compareExchange(q, head, old, old + COUNT_ONE) !== old) never('another CPU');
  if (Atomics.compareExchange(q, entry, lo, wanted) !== lo) never('another CPU');
  if (Atomics.load(q, entry + 1) !== 0n) never('a page in use');
}

const BATCH = 128;
const pfns = new Int32Array(BATCH);
const indices = new Int32Array(BATCH);

/** The SNP hook over file pages [start, end): every page that is there goes back to the hypervisor. */
export function invalidatePrivateRange(start: number, end: number, gfnDelta: number, asid: bigint): void {
  cursor.index = start;
  while (cursor.index < end) {
    const count = xaGather(pageCache, end, pfns, indices, BATCH);
    resetBatch(count, gfnDelta, asid);
  }
}

function resetBatch(count: number, gfnDelta: number, asid: bigint): void {
  let runHead = 0;
  let run = 0;
  for (let n = 0; n < count; n++) {
    const pfn = pfns[n]!;
    if ((pfn & 511) === 0) {
      resetHead(pfn);
      continue;
    }
    const head = table + (pfn & ~511) * 2;
    if (head !== runHead) {
      if (run !== 0) Atomics.sub(q, runHead, BigInt(run) << 3n);
      runHead = head;
      run = 0;
    }
    resetFollower(table + pfn * 2, stateOf(indices[n]! + gfnDelta, asid));
    run++;
  }
  if (run !== 0) Atomics.sub(q, runHead, BigInt(run) << 3n);
  w[task.counters + RMPUPDATES]! += count;
  w[task.counters + HOOK_PAGES]! += count;
}

function resetHead(pfn: number): void {
  const entry = table + pfn * 2;
  const lo = Atomics.load(q, entry);
  if ((lo & ASSIGNED) === 0n) return;
  if (Atomics.load(q, entry + 1) !== 0n) never('a page in use');
  if (Atomics.compareExchange(q, entry, lo, lo & COUNT_MASK) !== lo) never('another CPU');
  if (Atomics.load(q, entry + 1) !== 0n) never('a page in use');
}

function resetFollower(entry: number, wanted: bigint): void {
  const lo = Atomics.load(q, entry);
  if ((lo & ~VALIDATED_OR_VMSA) !== wanted || Atomics.load(q, entry + 1) !== 0n) never('an entry of somebody else');
  if (Atomics.compareExchange(q, entry, lo, 0n) !== lo) never('another CPU');
  if (Atomics.load(q, entry + 1) !== 0n) never('a page in use');
}

/** Entries that are assigned: the benchmark's check. */
export function assignedPages(): number {
  let count = 0;
  for (let pfn = 0; pfn < PFNS; pfn++) if ((q[table + pfn * 2]! & ASSIGNED) !== 0n) count++;
  return count;
}
