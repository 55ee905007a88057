// Sizes, durations and rates as people write them.
import { describe, expect, it } from 'vitest';
import { parseDuration, parseRate, parseSize } from '#src/host/units.js';
import { UsageError } from '#src/host/errors.js';

describe('a size', () => {
  it.each([
    ['64GiB', 64 * 2 ** 30],
    ['64G', 64 * 2 ** 30],
    ['512 KiB', 512 * 2 ** 10],
    ['1.5MiB', 1.5 * 2 ** 20],
    ['2tib', 2 ** 41],
    ['4096B', 4096],
    ['4096', 4096],
    [4096, 4096],
    [0, 0],
  ])('%s is %d bytes', (text, bytes) => {
    expect(parseSize(text)).toBe(bytes);
  });

  it.each([
    '',
    'GiB',
    'lots',
    '-1',
    '1 PiB',
    '1.5B',
    '1.0001KiB',
    '0x10',
    '64GiBs',
    '1e9',
    1.5,
    -1,
    Number.NaN,
    Infinity,
  ])('%s is refused', (text) => {
    expect(() => parseSize(text)).toThrow(UsageError);
  });
});

describe('a duration', () => {
  it.each([
    ['250ms', 250e6],
    ['15s', 15e9],
    ['1h', 3600e9],
    ['2 m', 120e9],
    ['10us', 10e3],
    ['5ns', 5],
    ['0.5 s', 5e8],
    [3, 3e9],
  ])('%s is %d ns', (text, ns) => {
    expect(parseDuration(text)).toBe(ns);
  });

  it.each(['', '15', '1d', '-1s', 's', -1, Number.NaN])('%s is refused', (text) => {
    expect(() => parseDuration(text)).toThrow(UsageError);
  });
});

describe('a rate', () => {
  it.each([
    ['2000/s', 2000],
    ['5k/s', 5000],
    ['1.5M', 1.5e6],
    ['60/m', 1],
    ['7', 7],
    [12, 12],
  ])('%s is %d a second', (text, perSecond) => {
    expect(parseRate(text)).toBe(perSecond);
  });

  it.each(['', '0/s', 'fast', '5/h', '-2/s', 0, -1, Number.NaN, Infinity])('%s is refused', (text) => {
    expect(() => parseRate(text)).toThrow(UsageError);
  });
});
