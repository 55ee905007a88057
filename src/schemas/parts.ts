// What the schemas of several documents share.
import { z } from 'zod';

export const number = z.number();
export const count = z.number().int().min(0);
export const text = z.string();
/** JSON has neither infinity nor NaN, which stand for nothing measured: there they are null. */
export const orNull = z.union([number, z.null()]);

/** The machine, as `environmentFingerprint()` has it. */
export const environment = z.strictObject({
  cpu: text,
  cores: count,
  memoryBytes: count,
  kernel: text,
  arch: text,
  node: text,
  v8: text,
  loadAverage: number,
  version: text,
  commit: text.optional(),
  cpusAllowed: text.optional(),
  cpuQuota: number.optional(),
  governor: text.optional(),
});

/** A median with its 95 % interval. */
export const estimate = z.strictObject({ median: orNull, low: orNull, high: orNull });
export const interval = z.tuple([orNull, orNull]);
