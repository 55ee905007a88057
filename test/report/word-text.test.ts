// What reports say of words: fields by name, and of a change only what changed.
import { describe, expect, it } from 'vitest';
import { readText, writeText } from '#src/report/word-text.js';
import type { StateWord } from '#src/explore/state-names.js';
import { PG_DIRTY, PG_UPTODATE } from '#src/kernel/abi/mm.js';
import * as snp from '#src/kernel/abi/snp.js';
import * as vcpu from '#src/kernel/abi/vcpu.js';

const bit = (n: number): bigint => 1n << BigInt(n);
const OWNED = bit(snp.RMP_LO_ASSIGNED) | (9n << BigInt(snp.RMP_LO_GFN)) | (3n << BigInt(snp.RMP_LO_ASID));
const rmp: StateWord = { name: 'rmp[0x11]', sort: 'rmp' };
const head: StateWord = { name: 'rmp[0x0]', sort: 'rmp-head' };
const use: StateWord = { name: 'rmp[0x11].hi', sort: 'rmp-use' };
const page: StateWord = { name: 'page[0x11].refcount', sort: 'page' };
const lock: StateWord = { name: 'vm0.mmu_lock', sort: 'rwlock' };
const mutex: StateWord = { name: 'vm0.slots_lock', sort: 'lock' };
const rwsem: StateWord = { name: 'file0.rm.lock', sort: 'rwsem' };
const spte: StateWord = { name: 'vm0.spte[0x9]', sort: 'spte' };
const slot: StateWord = { name: 'file0.memfd.i_pages[0x1]', sort: 'xarray' };

describe('an RMP entry', () => {
  it.each([
    [readText(rmp, 0n), 'rmp[0x11] = free'],
    [readText(rmp, OWNED | bit(snp.RMP_LO_VALIDATED)), 'rmp[0x11] = assigned, gfn 0x9, asid 3, validated'],
    [readText(head, 2n << BigInt(snp.RMP_LO_COUNT)), 'rmp[0x0] = count 2'],
    [writeText(rmp, 0n, OWNED), 'rmp[0x11].assigned 0 -> 1 (gfn 0x9, asid 3)'],
    [writeText(rmp, OWNED, 0n), 'rmp[0x11].assigned 1 -> 0 (gfn 0x9, asid 3)'],
    [writeText(rmp, OWNED, OWNED | bit(snp.RMP_LO_VALIDATED)), 'rmp[0x11] +validated'],
    [writeText(head, 0n, bit(snp.RMP_LO_COUNT)), 'rmp[0x0].count 0 -> 1'],
    [writeText(use, 0n, bit(snp.RMP_USE_LOCK)), 'rmp[0x11] +lock'],
    [writeText(rmp, OWNED, OWNED), 'rmp[0x11], as it is'],
  ])('is %s', (text, expected) => expect(text).toBe(expected));
});

describe('other words', () => {
  it.each([
    [readText(page, BigInt(2 | PG_UPTODATE)), 'page[0x11].refcount = 2 uptodate'],
    [readText(page, 0n), 'page[0x11].refcount = 0'],
    [writeText(page, 1n, BigInt(2 | PG_DIRTY)), 'page[0x11].refcount 1 -> 2 +dirty'],
    [writeText(lock, 0n, 0xffn), 'vm0.mmu_lock free -> writer'],
    [writeText(lock, 0x400n, 0xa00n), 'vm0.mmu_lock 1 reader -> 2 readers+queue'],
    [writeText(mutex, 1n, 257n), 'vm0.slots_lock locked -> locked+parked'],
    [writeText(mutex, 257n, 256n), 'vm0.slots_lock locked+parked -> parked'],
    [readText(mutex, 768n), 'vm0.slots_lock = parked+handoff'],
    [readText({ name: 'vm0.slots_lock waiters', sort: 'lock-waiters' }, 1n), 'vm0.slots_lock waiters = none'],
    [readText({ name: 'vm0.slots_lock waiters', sort: 'lock-waiters' }, 257n), 'vm0.slots_lock waiters = parked'],
    [
      readText({ name: 'vm0.mmu_lock waiters', sort: 'rwlock-waiters' }, 0x300n),
      'vm0.mmu_lock waiters = claimed+queue',
    ],
    [writeText(rwsem, 256n, 0n), 'file0.rm.lock 1 reader -> free'],
    [writeText(rwsem, 1n, 3n), 'file0.rm.lock writer -> writer+waiters'],
    [readText(rwsem, 0x206n), 'file0.rm.lock = 2 readers+waiters+handoff'],
    [readText(spte, 0n), 'vm0.spte[0x9] = none'],
    [readText(spte, BigInt(vcpu.SPTE_FROZEN_VALUE)), 'vm0.spte[0x9] = frozen'],
    [
      readText(
        spte,
        (0x11n << 12n) | bit(vcpu.SPTE_PRESENT_BIT) | bit(vcpu.SPTE_WRITABLE_BIT) | bit(vcpu.SPTE_PRIVATE_BIT),
      ),
      'vm0.spte[0x9] = pfn 0x11 private w',
    ],
    [writeText(slot, 35n, 0n), 'file0.memfd.i_pages[0x1] pfn 0x11 -> none'],
    [readText({ name: 'heap_next', sort: 'other' }, 0x49400n), 'heap_next = 0x49400'],
  ])('are %s', (text, expected) => expect(text).toBe(expected));
});
