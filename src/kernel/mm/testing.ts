// Notifiers for tests: they write every callback into a log in memory, and can hold a callback at a gate until the test opens it.
import { NOTIFIER_OPS, NOTIFIER_OPS_ERROR, NOTIFIER_OPS_INVALIDATE_END, NOTIFIER_OPS_INVALIDATE_OPEN, NOTIFIER_OPS_INVALIDATE_PIECE, NOTIFIER_OPS_INVALIDATE_START, NOTIFIER_OPS_SIZE, FILE_INODE, INODE_I_MAPPING } from '../abi/mm';
import { kmalloc } from '../heap';
import { atomicAdd32, atomicLoad32, atomicStore32, checkStop, futexWait, load32, store32, store64 } from '../point';
import { SB_INODES } from './restrictedmem-file';
import { SUBSYS_FILE } from '../abi/layout';

// struct of the test's: a notifier (16 bytes) with the address of its log at +4 and of its gate word at +8 (0: none).
const TEST_LOG: usize = 4;
const TEST_GATE: usize = 8;
// log: +0 u32 count, +4 u32 capacity, from +8 entries {kind u32, notifier u32, start u64, end u64}
const ENTRY: usize = 24;
const TEST_OPS: usize = SUBSYS_FILE + 16; // u32: address of the shared ops table

export const TEST_START: i32 = 1;
export const TEST_END: i32 = 2;
export const TEST_ERROR: i32 = 3;
export const TEST_PIECE: i32 = 4;

/** Makes `notifier` log into `log`; with a gate, start callbacks count up at gate + 4 and then wait until gate is not 0. */
export function testNotifierInit(notifier: usize, log: usize, gate: usize): void {
  let ops: usize = load32(TEST_OPS);
  if (ops == 0) {
    ops = kmalloc(NOTIFIER_OPS_SIZE);
    store32(ops + NOTIFIER_OPS_INVALIDATE_START, <u32>onStart.index);
    store32(ops + NOTIFIER_OPS_INVALIDATE_END, <u32>onEnd.index);
    store32(ops + NOTIFIER_OPS_ERROR, <u32>onError.index);
    store32(ops + NOTIFIER_OPS_INVALIDATE_OPEN, <u32>onStart.index);
    store32(ops + NOTIFIER_OPS_INVALIDATE_PIECE, <u32>onPiece.index);
    store32(TEST_OPS, <u32>ops);
  }
  store32(notifier + NOTIFIER_OPS, <u32>ops);
  store32(notifier + TEST_LOG, <u32>log);
  store32(notifier + TEST_GATE, <u32>gate);
}

function onStart(notifier: usize, start: u64, end: u64): void {
  note(TEST_START, notifier, start, end);
  const gate: usize = load32(notifier + TEST_GATE);
  if (gate == 0) return;
  atomicAdd32(gate + 4, 1);
  while (atomicLoad32(gate) == 0) {
    checkStop();
    futexWait(gate, 0, 10_000_000);
  }
}

function onEnd(notifier: usize, start: u64, end: u64): void { note(TEST_END, notifier, start, end); }
function onPiece(notifier: usize, start: u64, end: u64, pages: usize, base: u64): void { note(TEST_PIECE, notifier, start, end); }
function onError(notifier: usize, start: u64, end: u64): void { note(TEST_ERROR, notifier, start, end); }

function note(kind: i32, notifier: usize, start: u64, end: u64): void {
  const log: usize = load32(notifier + TEST_LOG);
  const n = atomicAdd32(log, 1);
  if (n >= load32(log + 4)) return;
  const entry = log + 8 + <usize>n * ENTRY;
  store32(entry + 4, <u32>notifier);
  store64(entry + 8, start);
  store64(entry + 16, end);
  atomicStore32(entry, <u32>kind);
}

/** Points the inode of `file` at another address_space (B02), as a stacked file system does. */
export function testSetInodeMapping(file: usize, mapping: usize): void {
  store32(<usize>load32(file + FILE_INODE) + INODE_I_MAPPING, <u32>mapping);
}

/** Puts the inode of `file` on the superblock's s_inodes, where an anonymous inode is not (B11). */
export function testChainInode(file: usize): void { store32(SB_INODES, load32(file + FILE_INODE)); }
