// lockdep's chains: each sequence of held locks (class and mode of each, from the outermost in) that has been checked once has a number, and
// a table says which number follows when one more lock is taken: in a known situation that costs one load. kernel: lookup_chain_cache_add()
// in kernel/locking/lockdep.c, which hashes the sequence to 64 bits; here a chain is (number of the chain below, class, mode), so that two
// chains are never mistaken for one.
//
// The word that describes a held lock carries its chain: class | mode << 16 | chain << 20. Chain 0 is the empty stack's. CHAIN_NONE, and what is
// taken inside it, is checked each time: trylocks (rare, and not checked themselves), locks without a class (told apart by address), and all
// that comes when the table is full. Table at SH_LOCKDEP: CHAIN_MAX rows of 1 KiB, one per chain, of 16-bit cells, one per class and mode; row
// CHAIN_NONE stays empty. Behind it u32 chains numbered so far.
import { LC_NONE } from '../abi/classes';
import { SH_LOCKDEP } from '../abi/layout';
import { CHAIN_MAX, CHAIN_NONE, CHAIN_SHIFT, HELD_CLASS_MASK, HELD_MODE_MASK, HELD_MODE_SHIFT, HELD_TRY } from '../abi/sync';
import { atomicAdd32, atomicCas32, load16, load32 } from '../point';

const ROW_SHIFT: u32 = 10;
const COUNT: usize = <usize>CHAIN_MAX << ROW_SHIFT;
/** Bytes of the table and its count. */
export const CHAINS_SIZE: usize = CONTROLLED ? 64 : COUNT + 64;

/** Cell for a lock of this class and mode, which is no trylock's, inside the held lock `below` (0: inside none). */
// @ts-ignore: decorator
@inline
function cellOf(below: u32, cls: u32, mode: u32): usize {
  const row = (below >>> (CHAIN_SHIFT - ROW_SHIFT)) & (CHAIN_NONE << ROW_SHIFT);
  return <usize>load32(SH_LOCKDEP) + <usize>(row + (cls << 4) + (((mode & 3) | ((mode & 8) >> 1)) << 1));
}

/** Number of the chain when all about it has been checked, or 0. `mode`: a constant. */
// @ts-ignore: decorator
@inline
export function chainKnown(below: u32, cls: u32, mode: u32): u32 {
  return CONTROLLED || (mode & HELD_TRY) != 0 ? 0 : load16(cellOf(below, cls, mode));
}

/**
 * Number of the chain of a lock that has been checked, which is given one if need be. The controlled build has no chains: its scheduler would
 * take the table's words for conflicts.
 */
export function chainEnter(below: u32, cls: u32, mode: u32): u32 {
  const table = <usize>load32(SH_LOCKDEP);
  if (CONTROLLED || table == 0 || cls == LC_NONE || (mode & HELD_TRY) != 0 || below >>> CHAIN_SHIFT == CHAIN_NONE) return CHAIN_NONE;
  const cell = cellOf(below, cls, mode);
  const known = load16(cell);
  if (known != 0) return known;
  if (load32(table + COUNT) >= <u32>(CHAIN_NONE - 1)) return CHAIN_NONE;
  const fresh = atomicAdd32(table + COUNT, 1) + 1;
  if (fresh >= <u32>CHAIN_NONE) return CHAIN_NONE;
  // Tasks that meet here agree on one number: the first one's. The loser's is lost.
  const shift = <u32>(cell & 2) << 3;
  while (true) {
    const word = load32(cell & ~2);
    const there = (word >>> shift) & 0xffff;
    if (there != 0) return there;
    if (atomicCas32(cell & ~2, word, word | (fresh << shift)) == word) return fresh;
  }
}

/** A held word without its chain: what is taken inside it is checked each time. */
export function chainForget(held: u32): u32 {
  return (held & (HELD_CLASS_MASK | (HELD_MODE_MASK << HELD_MODE_SHIFT))) | (CHAIN_NONE << CHAIN_SHIFT);
}
