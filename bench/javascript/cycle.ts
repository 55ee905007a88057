// The JavaScript cycle itself: private faults, then a hole punch over them. As src/kernel/program/bench.ts drives the engine.
import {
  allocate,
  rcuReadLock,
  rcuReadUnlock,
  readLock,
  readUnlock,
  srcuReadLock,
  srcuReadUnlock,
  writeLock,
  writeUnlock,
} from './memory.js';
import { bindings, getPage, putPage, truncate } from './pages.js';
import { invalidatePrivateRange, makePrivate } from './rmp.js';
import * as vm from './vm.js';
import { xaBehind, xaFillRange, xaFindIndex } from './xarray.js';

const ASID = 7n;
const rmLock = allocate(16);
// One binding of 2048 pages: 32 slots of 64 pages.
xaFillRange(bindings, 32, 6, 1);

/** One private fault inside KVM_RUN. True when it mapped the page. */
function fault(gfn: number): boolean {
  const seq = vm.snapshotSeq();
  const slot = vm.gfnToMemslot(gfn);
  if (vm.retryEarly(seq, gfn) || !vm.isPrivateWritable(vm.slotFlags(slot)) || !vm.isPrivate(gfn)) return false;
  const pfn = getPage(vm.offsetOf(slot, gfn));
  if (pfn < 0) return false;
  if (vm.retryEarly(seq, gfn)) {
    putPage(pfn);
    return false;
  }
  readLock(vm.mmuLock);
  let mapped = false;
  if (!vm.isStale(seq, gfn)) {
    makePrivate(pfn, gfn, ASID);
    mapped = vm.map(gfn, pfn);
  }
  readUnlock(vm.mmuLock);
  putPage(pfn);
  return mapped;
}

/** Faults on gfns [0, pages); how many were mapped. */
function faults(pages: number): number {
  let mapped = 0;
  vm.runVcpu(() => {
    for (let gfn = 0; gfn < pages; gfn++) {
      const bank = srcuReadLock(vm.srcu);
      if (fault(gfn)) mapped++;
      srcuReadUnlock(vm.srcu, bank);
    }
  });
  return mapped;
}

/** Calls `each` once for every binding that meets [start, end). */
function forEachBinding(start: number, end: number, each: (start: number, end: number) => void): void {
  rcuReadLock();
  let index = xaFindIndex(bindings, start, end - 1);
  rcuReadUnlock();
  while (index >= 0) {
    each(start, end);
    rcuReadLock();
    const behind = xaBehind(bindings, index);
    index = behind < end ? xaFindIndex(bindings, behind, end - 1) : -1;
    rcuReadUnlock();
  }
}

function notifyStart(start: number, end: number): void {
  const slot = vm.theSlot;
  vm.countCallback(slot, true);
  if (!vm.gfnRange(slot, start, end)) return;
  const { start: startGfn, end: endGfn } = vm.range;
  const bank = srcuReadLock(vm.srcu);
  writeLock(vm.mmuLock);
  vm.invalidateBegin(startGfn, endGfn);
  if (vm.zap(startGfn, endGfn)) vm.flushRemoteTlbs();
  writeUnlock(vm.mmuLock);
  srcuReadUnlock(vm.srcu, bank);
  const delta = startGfn - vm.offsetOf(slot, startGfn);
  invalidatePrivateRange(startGfn - delta, endGfn - delta, delta, ASID);
}

function notifyEnd(start: number, end: number): void {
  const slot = vm.theSlot;
  vm.countCallback(slot, false);
  if (!vm.gfnRange(slot, start, end)) return;
  writeLock(vm.mmuLock);
  vm.invalidateEnd();
  writeUnlock(vm.mmuLock);
}

/** A hole punch over file pages [start, end). */
function punch(start: number, end: number): void {
  readLock(rmLock);
  forEachBinding(start, end, notifyStart);
  truncate(start, end);
  forEachBinding(start, end, notifyEnd);
  readUnlock(rmLock);
}

/** As the kernel's benchCycles: pages mapped. */
export function cycles(pages: number, rounds: number): number {
  let mapped = 0;
  for (let round = 0; round < rounds; round++) {
    mapped += faults(pages);
    punch(0, pages);
  }
  return mapped;
}
