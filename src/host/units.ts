// Sizes, durations and rates as people write them.
import { UsageError } from './errors.js';

const SIZES: Record<string, number> = { '': 1, b: 1, k: 2 ** 10, m: 2 ** 20, g: 2 ** 30, t: 2 ** 40 };
const DURATIONS_NS: Record<string, number> = { ns: 1, us: 1e3, ms: 1e6, s: 1e9, m: 60e9, h: 3600e9 };

/** Bytes of `64GiB`, `512 KiB`, `4096` or a number. Units are powers of two. Throws UsageError. */
export function parseSize(size: number | string): number {
  if (typeof size === 'number') return checked(size, 'size', size);
  const match = /^\s*(\d+(?:\.\d+)?)\s*(?:([KMGT]?)(?:i?B)?)\s*$/i.exec(size);
  if (match === null) throw new UsageError('size', `"${size}" is not a size; write for example 64GiB, 512KiB or 4096`);
  return checked(Number(match[1]) * SIZES[match[2]!.toLowerCase()]!, 'size', size);
}

/** Nanoseconds of `250ms`, `15s`, `1h`; a bare number is seconds. Throws UsageError. */
export function parseDuration(duration: number | string): number {
  if (typeof duration === 'number') return checked(duration * 1e9, 'duration', duration);
  const match = /^\s*(\d+(?:\.\d+)?)\s*(ns|us|ms|s|m|h)\s*$/.exec(duration);
  if (match === null)
    throw new UsageError('duration', `"${duration}" is not a duration; write for example 250ms, 15s or 1h`);
  return Number(match[1]) * DURATIONS_NS[match[2]!]!;
}

/** Operations per second of `2000/s`, `5k/s`, `60/m` or a number. Throws UsageError. */
export function parseRate(rate: number | string): number {
  const match = /^\s*(\d+(?:\.\d+)?)\s*([kM]?)\s*(?:\/\s*(s|m))?\s*$/.exec(String(rate));
  const value =
    match === null ? 0 : (Number(match[1]) * { '': 1, k: 1e3, M: 1e6 }[match[2]!]!) / (match[3] === 'm' ? 60 : 1);
  if (value <= 0) throw new UsageError('rate', `"${rate}" is not a rate above 0; write for example 2000/s or 5k/s`);
  return value;
}

function checked(value: number, what: string, text: number | string): number {
  if (!Number.isFinite(value) || value < 0 || (what === 'size' && !Number.isInteger(value))) {
    throw new UsageError(what, `"${text}" is not a ${what}`);
  }
  return value;
}
