// Reads of freed memory. kfree fills an object with a pattern; who meets the pattern in memory of the heap has come too late: a use after free, reported where it happens and
// not where its damage shows. What KASAN does with shadow memory, after SLUB's POISON_FREE. An object that has been given out again is somebody else's: not seen.
// The controlled build looks at its points, at writes too (control/freed.ts).
import { FREED_WORD, HEAP_FIRST, SH_END, SH_HEAP_NEXT } from './abi/layout';
import { OOPS_FREED_ACCESS, ORACLE_KERNEL_BUG } from './abi/oops';
import { oops } from './oops';
import { oraclesOn, peek32 } from './point';

const FREED_PAIR: u64 = (<u64>FREED_WORD << 32) | <u64>FREED_WORD;

/** What a load of `p` found, handed on. @context any; does not return when `p` is freed memory. */
// @ts-ignore: decorator
@inline
export function found32(p: usize, value: u32): u32 {
  if (ORACLES && !CONTROLLED && value == FREED_WORD && p >= <usize>SH_END) freedRead(p);
  return value;
}
/** The same for 64 bits: freed memory shows by two words of the pattern. */
// @ts-ignore: decorator
@inline
export function found64(p: usize, value: u64): u64 {
  if (ORACLES && !CONTROLLED && value == FREED_PAIR) freedRead(p);
  return value;
}

function freedRead(p: usize): void {
  if (oraclesOn() && p >= <usize>peek32(HEAP_FIRST) && p < <usize>peek32(SH_HEAP_NEXT)) oops(ORACLE_KERNEL_BUG, OOPS_FREED_ACCESS, <f64>p);
}
