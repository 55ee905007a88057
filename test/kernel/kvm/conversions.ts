// What one vCPU of private_mem_conversions_test does in its chunk of memory, guest and VMM in turn: its own thread handles its exits, as a VMM's does.
// kernel: tools/testing/selftests/kvm/x86_64/private_mem_conversions_test.c (6.8).
import { FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE } from '#src/kernel/abi/mm.js';
import { SPTE_PRIVATE_BIT } from '#src/kernel/abi/vcpu.js';
import type { TestKernel } from '../harness.js';
import { BASE, type Guest, get, punch, put, setPrivate } from './guest.js';
import { HVA } from './support.js';

/** Pages of a vCPU's chunk, and the ranges (first, count) that are converted in it: both sides of 2M, crooked and straight. */
export const CHUNK = 1024;
const RANGES = [
  [0, 1],
  [0, 512],
  [1, 1],
  [1, 512],
  [512, 1],
] as const;

const SHARED = false;

/** The guest that the threads share; each has a vCPU and the chunk of its number. */
export interface Vcpus {
  kvm: number;
  file: number;
  vcpus: readonly number[];
}

/** A vCPU's part: pages count from its first one. */
interface Chunk extends Guest {
  first: number;
}

function chunkOf(k: TestKernel, index: number, { kvm, file, vcpus }: Vcpus): Chunk {
  return { k, kvm, file, vcpu: vcpus[index]!, pages: CHUNK, first: index * CHUNK };
}

function pagesOf(first: number, count: number): number[] {
  return Array.from({ length: count }, (_, n) => first + n);
}
const ALL = pagesOf(0, CHUNK);

/** The VMM's view. */
const hva = (chunk: Chunk, page: number): bigint => HVA + (BigInt(chunk.first + page) << 12n);
const hostRead = (chunk: Chunk, page: number): number => chunk.k.x.hostReadUser(chunk.kvm, hva(chunk, page)) >>> 0;
const guestRead = (chunk: Chunk, page: number, isPrivate: boolean): number => get(chunk, chunk.first + page, isPrivate);

function same(what: string, pages: readonly number[], read: (page: number) => number, value: number): void {
  const wrong = pages.find((page) => read(page) !== value);
  if (wrong !== undefined) throw new Error(`${what}: page ${wrong} is ${read(wrong)}, not ${value}`);
}

const done = (what: string, ret: number): void => {
  if (ret !== 0) throw new Error(`${what}: ${ret}`);
};

function hostWrite(chunk: Chunk, pages: readonly number[], value: number): void {
  for (const page of pages) done('host write', chunk.k.x.hostWriteUser(chunk.kvm, hva(chunk, page), value));
}

const guestSees = (chunk: Chunk, pages: readonly number[], value: number, isPrivate: boolean): void =>
  same(`guest, private: ${isPrivate}`, pages, (page) => guestRead(chunk, page, isPrivate), value);
const hostSees = (chunk: Chunk, pages: readonly number[], value: number): void =>
  same('host', pages, (page) => hostRead(chunk, page), value);

/** The guest fills pages and reads them back. */
function fill(chunk: Chunk, pages: readonly number[], value: number, isPrivate: boolean): void {
  for (const page of pages) put(chunk, chunk.first + page, value, isPrivate);
  guestSees(chunk, pages, value, isPrivate);
}

function convert(chunk: Chunk, first: number, count: number, toPrivate: boolean, fallocate: boolean): void {
  const { k, file } = chunk;
  if (fallocate) {
    const mode = FALLOC_FL_KEEP_SIZE | (toPrivate ? 0 : FALLOC_FL_PUNCH_HOLE);
    const offset = BigInt(chunk.first + first) << 12n;
    done('fallocate', k.x.restrictedmemFallocate(file, mode, offset, BigInt(count) << 12n));
  }
  setPrivate(chunk, chunk.first + first, count, toPrivate);
  same('mapped as before the conversion', pagesOf(first, count), (page) => mappedAs(chunk, page, !toPrivate), 0);
}

/** 1: the page tables map the page, as private memory or not. */
function mappedAs({ k, kvm, first }: Chunk, page: number, isPrivate: boolean): number {
  const spte = k.x.tdpLookup(kvm, BigInt(BASE + first + page));
  return (spte & 1n) === 1n && ((spte >> BigInt(SPTE_PRIVATE_BIT)) & 1n) === (isPrivate ? 1n : 0n) ? 1 : 0;
}

/** One range of the explicit conversion test; the chunk is shared and holds 0xcc before and after. */
function convertRange(chunk: Chunk, first: number, count: number, fallocate: boolean): void {
  const range = pagesOf(first, count);
  fill(chunk, range, 0x11, SHARED);
  convert(chunk, first, count, true, fallocate);
  if (count > 1) {
    put(chunk, chunk.first + first, 0x22);
  } else {
    fill(chunk, range, 0x22, true);
    hostSees(chunk, range, 0x11); // the shared half is still what it was
    const outside = ALL.filter((page) => page !== first);
    guestSees(chunk, outside, 0xcc, SHARED);
    convert(chunk, first, 1, false, fallocate);
    hostSees(chunk, range, 0x11);
    hostWrite(chunk, range, 0x33);
    guestSees(chunk, range, 0x33, SHARED);
  }
  convert(chunk, first, count, false, fallocate);
  fill(chunk, range, 0x33, SHARED);
  hostSees(chunk, range, 0x33);
  hostWrite(chunk, range, 0x44);
  guestSees(chunk, range, 0x44, SHARED);
  fill(chunk, range, 0xcc, SHARED);
  convert(chunk, 0, CHUNK, false, true); // no private page is left for the next range
}

/** Thread `index`: conversions of each range, with or without pages allocated and punched along. */
export function explicitConversion(k: TestKernel, index: number, arg: Vcpus & { fallocate: boolean }): void {
  const chunk = chunkOf(k, index, arg);
  fill(chunk, ALL, 0xaa, SHARED);
  hostSees(chunk, ALL, 0xaa);
  hostWrite(chunk, ALL, 0xcc);
  guestSees(chunk, ALL, 0xcc, SHARED);
  for (const [first, count] of RANGES) convertRange(chunk, first, count, arg.fallocate);
}

/** Thread `index`: what is punched out of private memory reads as zeroes; `precise`: only the range was written before. */
export function punchHoles(k: TestKernel, index: number, arg: Vcpus & { precise: boolean }): void {
  const chunk = chunkOf(k, index, arg);
  setPrivate(chunk, chunk.first, CHUNK, true);
  for (const [first, count] of RANGES) {
    done('punch', punch(chunk, chunk.first, CHUNK));
    const range = pagesOf(first, count);
    fill(chunk, arg.precise ? range : ALL, 0xcc, true);
    done('punch', punch(chunk, chunk.first + first, count));
    guestSees(chunk, range, 0, true);
    if (!arg.precise)
      guestSees(
        chunk,
        ALL.filter((page) => !range.includes(page)),
        0xcc,
        true,
      );
  }
}
