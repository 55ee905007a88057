// The TLB of one vCPU, in shared memory so that an audit can read it: two direct-mapped arrays, 4K and 2M. Entries are keyed by gfn, by the kind
// of access (the C-bit takes part in the translation) and by a generation: a flush is one increment. Models the guest's ASID-tagged TLB.
import { PTRS_PER_2M } from '../abi/layout';
import {
  LEAF_GFN, LEAF_LEVEL, LEAF_PFN, LEAF_PRIVATE, LEAF_SPTE, LEAF_WRITABLE, TLB_2M_BIT, TLB_2M_ENTRIES, TLB_4K_ENTRIES, TLB_CIPHER_BIT,
  TLB_ENTRY_SIZE, TLB_GENERATION_MAX, TLB_GENERATION_SHIFT, TLB_PRIVATE_SHIFT, TLB_VALID_BIT, TLB_WRITABLE_BIT, VCPU_COUNT_FLUSHES, VCPU_FLUSH_RANGE, VCPU_TLB_2M,
  VCPU_TLB_4K, VCPU_TLB_TAG,
} from '../abi/vcpu';
import { PG_LEVEL_2M, PG_LEVEL_4K } from '../abi/snp';
import { atomicXchg64, fillBytes, load64, store32, store64 } from '../point';

export const TLB_WRITABLE: u64 = (<u64>1) << TLB_WRITABLE_BIT;
export const TLB_LARGE: u64 = (<u64>1) << TLB_2M_BIT;
export const TLB_VALID: u64 = (<u64>1) << TLB_VALID_BIT;
export const TLB_CIPHER: u64 = (<u64>1) << TLB_CIPHER_BIT;
const GENERATION_ONE: u64 = (<u64>1) << TLB_GENERATION_SHIFT;
const GFN_MASK: u64 = ((<u64>1) << TLB_PRIVATE_SHIFT) - 1;

// @ts-ignore: decorator
@inline
function tlbKey(vcpu: usize, frame: u64, isPrivate: bool): u64 {
  return load64(vcpu + VCPU_TLB_TAG) | (<u64>isPrivate << TLB_PRIVATE_SHIFT) | frame;
}
// @ts-ignore: decorator
@inline
function entry4k(vcpu: usize, gfn: u64): usize {
  return vcpu + VCPU_TLB_4K + (<usize>gfn & (TLB_4K_ENTRIES - 1)) * TLB_ENTRY_SIZE;
}
// @ts-ignore: decorator
@inline
function entry2m(vcpu: usize, frame: u64): usize {
  return vcpu + VCPU_TLB_2M + (<usize>frame & (TLB_2M_ENTRIES - 1)) * TLB_ENTRY_SIZE;
}

/** Value of the entry that translates `gfn`, 0 on a miss. Of a 2M entry the pfn is that of the 2M page. @context the vCPU itself. */
// @ts-ignore: decorator
@inline
export function tlbLookup(vcpu: usize, gfn: u64, isPrivate: bool): u64 {
  const small = entry4k(vcpu, gfn);
  if (load64(small) == tlbKey(vcpu, gfn, isPrivate)) return load64(small + 8);
  const large = entry2m(vcpu, gfn >> 9);
  if (load64(large) == tlbKey(vcpu, gfn >> 9, isPrivate)) return load64(large + 8);
  return 0;
}

/** The pfn that a value translates `gfn` to. */
// @ts-ignore: decorator
@inline
export function tlbPfn(value: u64, gfn: u64): u32 {
  return <u32>value + ((value & TLB_LARGE) != 0 ? <u32>gfn & (PTRS_PER_2M - 1) : 0);
}

/** Puts a translation in; of a 2M one `pfn` is that of the 2M page. Returns the value. @context the vCPU itself. */
export function tlbFill(vcpu: usize, gfn: u64, isPrivate: bool, pfn: u32, level: i32, flags: u64): u64 {
  const large = level == PG_LEVEL_2M;
  const frame = large ? gfn >> 9 : gfn;
  const entry = large ? entry2m(vcpu, frame) : entry4k(vcpu, frame);
  const value = TLB_VALID | <u64>pfn | flags | (large ? TLB_LARGE : <u64>0);
  store64(entry + 8, value);
  store64(entry, tlbKey(vcpu, frame, isPrivate));
  return value;
}

/** Forgets every translation. @context the vCPU itself, outside guest mode (or before it first runs). */
export function tlbFlush(vcpu: usize): void {
  const tag = load64(vcpu + VCPU_TLB_TAG);
  store64(vcpu + VCPU_COUNT_FLUSHES, load64(vcpu + VCPU_COUNT_FLUSHES) + 1);
  if ((tag >> TLB_GENERATION_SHIFT) < <u64>TLB_GENERATION_MAX) {
    store64(vcpu + VCPU_TLB_TAG, tag + GENERATION_ONE);
    return;
  }
  fillBytes(vcpu + VCPU_TLB_4K, 0, (TLB_4K_ENTRIES + TLB_2M_ENTRIES) * TLB_ENTRY_SIZE);
  store64(vcpu + VCPU_TLB_TAG, GENERATION_ONE);
}

/** Forgets the translations that KVM_REQ_TLB_FLUSH_RANGE speaks of. @context as tlbFlush. */
export function tlbFlushRange(vcpu: usize): void {
  const range = atomicXchg64(vcpu + VCPU_FLUSH_RANGE, 0);
  const first = range & 0xffffffff;
  const end = range >> 32;
  for (let n = 0; n < TLB_4K_ENTRIES + TLB_2M_ENTRIES; n++) {
    const entry = vcpu + VCPU_TLB_4K + <usize>n * TLB_ENTRY_SIZE;
    const frame = (load64(entry) & GFN_MASK) >> (n < TLB_4K_ENTRIES ? 9 : 0);
    if (frame >= first && frame < end) store64(entry, 0);
  }
}

/**
 * For audits: writes the first valid entry at slot `from` or behind it to `outp` (LEAF_*) and returns its slot, -1 when there is none. Slots: the
 * 4K entries, then the 2M entries. @context the vCPU does not run and has no flush pending.
 */
export function tlbNext(vcpu: usize, from: i32, outp: usize): i32 {
  const generation = load64(vcpu + VCPU_TLB_TAG) >> TLB_GENERATION_SHIFT;
  for (let n = from; n < TLB_4K_ENTRIES + TLB_2M_ENTRIES; n++) {
    const entry = vcpu + VCPU_TLB_4K + <usize>n * TLB_ENTRY_SIZE;
    const key = load64(entry);
    if (key >> TLB_GENERATION_SHIFT != generation) continue;
    const value = load64(entry + 8);
    const large = (value & TLB_LARGE) != 0;
    store64(outp + LEAF_GFN, (key & GFN_MASK) << (large ? <u64>9 : <u64>0));
    store32(outp + LEAF_PFN, <u32>value);
    store32(outp + LEAF_LEVEL, large ? PG_LEVEL_2M : PG_LEVEL_4K);
    store64(outp + LEAF_SPTE, value);
    store32(outp + LEAF_PRIVATE, <u32>(key >> TLB_PRIVATE_SHIFT) & 1);
    store32(outp + LEAF_WRITABLE, <u32>(value >> TLB_WRITABLE_BIT) & 1);
    return n;
  }
  return -1;
}

/** Whether the vCPU would translate `gfn` without a walk. For tests. */
export function tlbHolds(vcpu: usize, gfn: u64, isPrivate: bool): bool { return tlbLookup(vcpu, gfn, isPrivate) != 0; }
