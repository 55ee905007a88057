// `--seed N`: decimal or 0x, 64 bits; drawn at random without it.
import { randomBytes } from 'node:crypto';
import { UsageError } from '../host/errors.js';

/** The seed that was asked for, or a new one. Throws UsageError for what is no number below 2^64. */
export function readSeed(text: string | number | undefined): bigint {
  if (text === undefined) return randomBytes(8).readBigUInt64LE();
  const seed = /^(0x[0-9a-f]{1,16}|\d{1,20})$/i.test(String(text)) ? BigInt(text) : undefined;
  if (seed === undefined || seed >= 2n ** 64n)
    throw new UsageError('--seed', `--seed ${text || "''"}: expected a number below 2^64, decimal or 0x`);
  return seed;
}
