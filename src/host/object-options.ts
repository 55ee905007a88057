// How files, guests' memory and accesses are described: the options of the calls of objects.ts, and what their values may be.
import { z } from 'zod';
import { UsageError } from './errors.js';
import type { File } from './objects.js';
import { boolean, checkOptions, shown, sizeLike, whole } from './options.js';
import { parseSize } from './units.js';

const PAGE = 4096;
/** What a guest can address: 52 bits. */
const MOST_BYTES = 2 ** 52;
const MOST_SLOT = 0xffff; // KVM has the number of the address space above it
const MOST = Number.MAX_SAFE_INTEGER;

/** How a file for private memory is made. */
export interface FileOptions {
  /** Bytes or text such as `2GiB`: whole pages, at least one, at most 4096TiB, which is all that a guest can address. */
  size: number | string;
  /** Spread 2M chunks over all partitions. */
  interleave?: boolean;
  /** The partition whose pages it takes first; 0 if not said. */
  homePartition?: number;
  /** Fill holes with 2M folios where they fit. */
  huge?: boolean;
  /** The shard it lives in; the one whose memory is least used if not said. */
  shard?: number;
}

/** How a guest_memfd is made. */
export interface GuestMemfdOptions extends Omit<FileOptions, 'shard'> {
  /** Of the call: there are none yet, so anything but 0 is EINVAL. */
  flags?: number;
}

/** Pages of a file, from the first one on. */
export interface PageRange {
  startIndex: number;
  pageCount: number;
}

/** A file for `attachHost(...).file()` in another thread. */
export interface FileHandle {
  address: number;
  shard: number;
}

/** A guest for `attachHost(...).vm()` in another thread. */
export interface VmHandle {
  address: number;
  vcpus: number[];
  shard: number;
}

/** A memslot: guest frames, and the memory behind them. */
export interface MemslotOptions {
  /** Number of the slot, 0 to 32763. A slot of that number is changed, or deleted when `pageCount` is 0. */
  id: number;
  startGfn: number;
  pageCount: number;
  /** The file of its private half; of the guest's own shard. */
  file?: File;
  /** First page of the file. */
  startIndex?: number;
  /** Bits of KVM_MEM_*: 1 log dirty pages (shared slots only), 2 read-only, 4 private. 4 with a file, 0 without one if not said. */
  flags?: number;
  /** 0, or 1 for that of system management mode. */
  addressSpace?: number;
  /** Host virtual address of the shared half; page-aligned. */
  hva?: number;
}

/** A memory region as user space passes it to KVM, in bytes; nothing is checked before the call. */
export interface MemoryRegion {
  slot: number;
  flags?: number;
  gpa: number;
  /** 0 deletes the slot. */
  size: number;
  hva: number;
  file?: File;
  /** Bytes into the file. */
  offset?: number;
  addressSpace?: number;
}

const fileOptions = {
  size: sizeLike,
  interleave: boolean.optional(),
  homePartition: whole(0, MOST).optional(),
  huge: boolean.optional(),
};
const restrictedMem = z.strictObject({
  ...fileOptions,
  shard: whole(0, MOST).optional(),
} satisfies Record<keyof FileOptions, z.ZodType>);
const guestMemfd = z.strictObject({
  ...fileOptions,
  flags: whole(0, 2 ** 32 - 1).optional(),
} satisfies Record<keyof GuestMemfdOptions, z.ZodType>);

/** Looks at the options of a file. Its size in bytes. Throws UsageError. */
export function restrictedMemSize(options: FileOptions): number {
  checkOptions('createRestrictedMem', restrictedMem, options);
  const size = parseSize(options.size);
  if (size % PAGE !== 0) throw new UsageError('size', `size: ${size} bytes is not a multiple of ${PAGE}`);
  return fitting(size);
}

/** The same of a guest_memfd. The kernel itself refuses what is not whole pages, and 0. */
export function guestMemfdSize(options: GuestMemfdOptions): number {
  checkOptions('createGuestMemfd', guestMemfd, options);
  const size = parseSize(options.size);
  return size === 0 ? 0 : fitting(size);
}

function fitting(size: number): number {
  if (size === 0 || size > MOST_BYTES)
    throw new UsageError('size', `size: ${shown(size)} bytes is not from one page to 4096TiB`);
  return size;
}

const memslot = z.strictObject({
  id: whole(0, MOST_SLOT),
  startGfn: whole(0, MOST),
  pageCount: whole(0, MOST),
  file: z.unknown().optional(),
  startIndex: whole(0, MOST).optional(),
  flags: whole(0, 2 ** 32 - 1).optional(),
  addressSpace: whole(0, MOST_SLOT).optional(),
  hva: whole(0, MOST).optional(),
} satisfies Record<keyof MemslotOptions, z.ZodType>);

/** Looks at the options of setMemslot(), but for the file. Throws UsageError. */
export function checkMemslot(options: MemslotOptions): void {
  checkOptions('setMemslot', memslot, options);
}

const region = z.strictObject({
  slot: whole(0, 2 ** 32 - 1),
  flags: whole(0, 2 ** 32 - 1).optional(),
  gpa: whole(0, MOST),
  size: whole(0, MOST),
  hva: whole(0, MOST),
  file: z.unknown().optional(),
  offset: whole(0, MOST).optional(),
  addressSpace: whole(0, MOST_SLOT).optional(),
} satisfies Record<keyof MemoryRegion, z.ZodType>);

/** Looks at the argument of setUserMemoryRegion(), but for the file. Throws UsageError. */
export function checkRegion(options: MemoryRegion): void {
  checkOptions('setUserMemoryRegion', region, options);
}

const address = whole(1, 2 ** 32 - 1);
const fileHandle = z.strictObject({ address, shard: whole(0, MOST) } satisfies Record<keyof FileHandle, z.ZodType>);
const vmHandle = z.strictObject({
  address,
  vcpus: z.array(address, { error: ({ input }) => `${shown(input)} is not a list of addresses` }),
  shard: whole(0, MOST),
} satisfies Record<keyof VmHandle, z.ZodType>);

/** Looks at a handle that came from another thread. Throws UsageError. */
export function checkHandle(kind: 'file' | 'vm', handle: FileHandle | VmHandle): void {
  checkOptions(kind, kind === 'file' ? fileHandle : vmHandle, handle);
}
