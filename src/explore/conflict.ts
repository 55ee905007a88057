// Whether the announced operations of two threads may not be swapped: they touch a common byte and one of them writes it.
import { POINT_COPY, POINT_RELAX } from '../kernel/abi/point.js';
import type { View } from './strategy.js';

/** A wake-up counts as a write of its word, a wait as a read; a copy reads its source, too. */
export function mayConflict(view: View, a: number, b: number): boolean {
  const kindA = view.kind(a);
  const kindB = view.kind(b);
  if (kindA === 0 || kindB === 0 || kindA === POINT_RELAX || kindB === POINT_RELAX) return false;
  const writesA = view.writes(a);
  const writesB = view.writes(b);
  if (!writesA && !writesB) return false;
  const touch = overlap(view.address(a), view.bytes(a), view.address(b), view.bytes(b));
  if (touch) return true;
  if (kindA === POINT_COPY && writesB && overlap(view.low(a) >>> 0, view.bytes(a), view.address(b), view.bytes(b)))
    return true;
  return kindB === POINT_COPY && writesA && overlap(view.low(b) >>> 0, view.bytes(b), view.address(a), view.bytes(a));
}

function overlap(a: number, bytesA: number, b: number, bytesB: number): boolean {
  return a < b + bytesB && b < a + bytesA;
}
