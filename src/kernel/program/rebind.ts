// The rebinder: what a VMM does when it re-arranges guest memory. Deletes a memslot (unbind with its invalidations), creates it again whole or as two
// pieces whose second one starts at an unaligned file offset, as QEMU does around the legacy windows. A shared slot it moves, as firmware does with a
// device's memory, or turns its dirty logging on and off, as a migration does; private slots can be neither moved nor logged (kvm_main.c).
import { KVM_MEM_LOG_DIRTY_PAGES } from '../abi/kvm';
import { PAGE_SHIFT } from '../abi/layout';
import {
  OP_SLOT_CREATE, OP_SLOT_DELETE, OP_SLOT_FLAGS, OP_SLOT_MOVE, TG_FILE, TG_FIRST_OFFSET, TG_HVA, TG_MOVED, TG_MOVE_GFN, TG_PAGE_COUNT, TG_SLOT_FLAGS, TG_SLOT_ID,
  TG_SPARE_ID, TG_SPLIT, TG_START_GFN, TG_VM,
} from '../abi/program';
import { load32, load64, nowNs, store32, store64 } from '../point';
import { setMemslot } from '../syscall';
import { ringBegin } from '../task';
import { drawTarget } from './keys';
import { drawBelow, drawU32 } from './random';
import { finishOp } from './finish';

/** Deletes the pieces of one private slot and creates it anew, half of the time split in two; moves a shared one, or one time in four changes its flags. Returns the operations done. */
export function rebindStep(program: usize, startNs: f64): u32 {
  const target = drawTarget(program);
  if (load32(target + TG_FILE) == 0) return (drawU32(program) & 3) == 0 ? flagsStep(program, target, startNs) : moveStep(program, target, startNs);
  const pages = load64(target + TG_PAGE_COUNT);
  const split = load64(target + TG_SPLIT);
  let operations: u32 = 2;
  deletePiece(program, target, false, 0, split == 0 ? pages : split, startNs);
  if (split != 0) {
    deletePiece(program, target, true, split, pages - split, nowNs());
    operations++;
  }
  const cut = pages > 1 && (drawU32(program) & 1) != 0 ? <u64>(1 + drawBelow(program, <u32>pages - 1)) : 0;
  createPiece(program, target, false, 0, cut == 0 ? pages : cut);
  if (cut != 0) {
    createPiece(program, target, true, cut, pages - cut);
    operations++;
  }
  store64(target + TG_SPLIT, cut);
  return operations;
}

/** Moves a shared slot to its other place, or back: KVM_MR_MOVE. */
function moveStep(program: usize, target: usize, startNs: f64): u32 {
  const moved = load32(target + TG_MOVED) != 0;
  const gfn = load64(target + (moved ? TG_START_GFN : TG_MOVE_GFN));
  const pages = load64(target + TG_PAGE_COUNT);
  ringBegin(OP_SLOT_MOVE, target, moved ? 0 : 1, 0, pages, startNs);
  const ret = setMemslot(
    load32(target + TG_VM), 0, load32(target + TG_SLOT_ID), load32(target + TG_SLOT_FLAGS),
    gfn << PAGE_SHIFT, pages << PAGE_SHIFT, load64(target + TG_HVA), 0, 0,
  );
  if (ret == 0) store32(target + TG_MOVED, moved ? 0 : 1);
  finishOp(program, OP_SLOT_MOVE, ret, pages, startNs);
  return 1;
}

/** Turns the dirty logging of a shared slot on or off: KVM_MR_FLAGS_ONLY. */
function flagsStep(program: usize, target: usize, startNs: f64): u32 {
  const flags = load32(target + TG_SLOT_FLAGS) ^ KVM_MEM_LOG_DIRTY_PAGES;
  const gfn = load64(target + (load32(target + TG_MOVED) != 0 ? TG_MOVE_GFN : TG_START_GFN));
  const pages = load64(target + TG_PAGE_COUNT);
  ringBegin(OP_SLOT_FLAGS, target, flags, 0, pages, startNs);
  const ret = setMemslot(
    load32(target + TG_VM), 0, load32(target + TG_SLOT_ID), flags, gfn << PAGE_SHIFT, pages << PAGE_SHIFT, load64(target + TG_HVA), 0, 0,
  );
  if (ret == 0) store32(target + TG_SLOT_FLAGS, flags);
  finishOp(program, OP_SLOT_FLAGS, ret, pages, startNs);
  return 1;
}

/** Deletes the first or the second piece of the slot, which has pages [first, first + count) of the area. */
function deletePiece(program: usize, target: usize, second: bool, first: u64, count: u64, startNs: f64): void {
  ringBegin(OP_SLOT_DELETE, target, second ? 1 : 0, first, count, startNs);
  finishOp(program, OP_SLOT_DELETE, setPiece(target, second, 0, 0), count, startNs);
}

/** Creates the first or the second piece of the slot, of pages [first, first + count) of the area. */
function createPiece(program: usize, target: usize, second: bool, first: u64, count: u64): void {
  const startNs = nowNs();
  ringBegin(OP_SLOT_CREATE, target, second ? 1 : 0, first, count, startNs);
  finishOp(program, OP_SLOT_CREATE, setPiece(target, second, first, count), count, startNs);
}

/** Sets the piece to pages [first, first + count) of the area; count 0 deletes it. */
function setPiece(target: usize, second: bool, first: u64, count: u64): i32 {
  const flags = count == 0 ? 0 : load32(target + TG_SLOT_FLAGS);
  return setMemslot(
    load32(target + TG_VM), 0, load32(target + (second ? TG_SPARE_ID : TG_SLOT_ID)), flags,
    (load64(target + TG_START_GFN) + first) << PAGE_SHIFT, count << PAGE_SHIFT, load64(target + TG_HVA) + (first << PAGE_SHIFT),
    load32(target + TG_FILE), (load64(target + TG_FIRST_OFFSET) + first) << PAGE_SHIFT,
  );
}
