// What the page tests share: booting with memory, the allocator's conservation at rest, and violations.
import { KernelOops } from '#src/host/errors.js';
import { NO_PFN } from '#src/kernel/abi/layout.js';
import { expect } from 'vitest';
import type { ShardOptions } from '#src/host/shard.js';
import { bootKernel, type TestKernel } from '../harness.js';

export { NO_PFN };
export const FOLIO = 512;

/** A kernel whose PFNs are all usable memory. */
export function bootWithMemory(options: Partial<ShardOptions> = {}): TestKernel {
  const k = bootKernel(options);
  k.x.addMemory(0, options.pfnCount ?? 4096);
  return k;
}

/** Allocates 2^order pages; undefined when there is no memory. */
export function alloc(k: TestKernel, order: 0 | 9 = 0, partition = -1): number | undefined {
  const pfn = k.x.allocPages(order, partition) >>> 0;
  return pfn === NO_PFN ? undefined : pfn;
}

/** All pages are accounted for, and lists, bitmaps and counters of every partition agree. */
export function expectConserved(k: TestKernel, partitions = 1): void {
  expect(k.x.lostPages()).toBe(0);
  for (let id = 0; id < partitions; id++) expect(k.x.zoneAudit(id) >>> 0, `partition ${id}`).toBe(NO_PFN);
}

/** Code of the violation that `call` reports, undefined when it reports none. */
export function oopsOf(call: () => void): number | undefined {
  try {
    call();
  } catch (error) {
    if (!(error instanceof KernelOops)) throw error;
    return error.violations[0]!.details['code'] as number;
  }
  return undefined;
}

/** The list of u32 that a call with (list, count) takes. */
export function listOf(k: TestKernel, values: readonly number[]): number {
  const list = k.alloc(Math.max(4, values.length * 4));
  values.forEach((value, n) => k.setU32(list + n * 4, value));
  return list;
}
