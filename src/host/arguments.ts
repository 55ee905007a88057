// Arguments of the library's calls, checked before anything is changed: what does not fit gets one line that says what would.
import * as layout from '../kernel/abi/layout.js';
import { KernelError, UsageError } from './errors.js';
import { shown, unknownKey } from './options.js';
import type { Shard } from './shard.js';

const U32_MAX = 0xffff_ffff;

/** Object handles are addresses; the last 4096 values are negative errno. */
export function handle(operation: string, value: number, values: Record<string, unknown>): number {
  const address = value >>> 0;
  if (address >= 0xfffff000) throw new KernelError(operation, value | 0, values);
  return address;
}

export function must(operation: string, error: number, values: Record<string, unknown>): void {
  if (error < 0) throw new KernelError(operation, error, values);
}

/** A whole number of at least 0 that a double holds exactly. */
export function count(name: string, value: number): number {
  if (!Number.isSafeInteger(value) || value < 0)
    throw new UsageError(name, `${name}: ${shown(value)} is not a whole number of at least 0`);
  return value;
}

/** A whole number from `least` to `most`. */
export function within(name: string, value: number, least: number, most: number): number {
  if (!Number.isInteger(value) || value < least || value > most)
    throw new UsageError(name, `${name}: ${shown(value)} is not a whole number from ${least} to ${most}`);
  return value;
}

/** What the kernel takes as 32 bits: more would wrap round. */
export function word(name: string, value: number): number {
  return within(name, value, 0, U32_MAX);
}

export function partition(shard: Shard, value: number): number {
  return within('homePartition', value, 0, shard.words[layout.SH_PARTITION_COUNT / 4]! - 1);
}

/** A flag that calls take: `'no'` would be true. */
export function flag(name: string, value: boolean): boolean {
  if (typeof value !== 'boolean') throw new UsageError(name, `${name}: ${shown(value)} is not true or false`);
  return value;
}

/** That options have no other keys than two or three, for calls that are made often: it allocates nothing, and a list of keys would take three times as long. */
export function keysOf(operation: string, options: object, first: string, second: string, third = second): void {
  for (const key in options)
    if (key !== first && key !== second && key !== third)
      throw unknownKey(operation, key, [...new Set([first, second, third])]);
}
