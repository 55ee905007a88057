// A real host's memory map: which PFNs are RAM, where the RMP table lies.
import { readFileSync } from 'node:fs';
import { z } from 'zod';
import { parse } from 'yaml';
import { UsageError } from './errors.js';
import { unreadable } from './unreadable.js';

const bounds = { start: z.number().int().min(0), end: z.number().int().positive() };
const isOrdered = ({ start, end }: { start: number; end: number }): boolean => start < end;
const ORDER = 'start must be below end';

const schema = z.strictObject({
  name: z.string(),
  ranges: z.array(z.strictObject({ ...bounds, type: z.string() }).refine(isOrdered, ORDER)).min(1),
  rmp: z.strictObject(bounds).refine(isOrdered, ORDER).optional(),
});

/** PFN ranges are [start, end). */
export interface HostLayout {
  name: string;
  usable: { start: number; end: number }[];
  rmp: { start: number; end: number } | undefined;
  pfnCount: number;
}

/** Reads config/layouts/*.yaml: byte ranges [start, end) with a type; only `usable` is RAM. Throws UsageError. */
export function readLayout(path: string): HostLayout {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    const why = unreadable(error);
    throw new UsageError('layout', `${path}: ${why === 'no such file' ? 'no such layout file' : why}`);
  }
  let content: unknown;
  try {
    content = parse(text);
  } catch (error) {
    throw new UsageError('layout', `${path}: ${(error as Error).message.split('\n')[0]}`);
  }
  const parsed = schema.safeParse(content);
  if (!parsed.success) {
    const issue = parsed.error.issues[0]!;
    throw new UsageError('layout', `${path}: ${issue.path.join('.')}: ${issue.message}`);
  }
  const pages = ({ start, end }: { start: number; end: number }): { start: number; end: number } => ({
    start: Math.ceil(start / 4096),
    end: Math.floor(end / 4096),
  });
  const { name, ranges, rmp } = parsed.data;
  const usable = ranges.filter((range) => range.type === 'usable').map(pages);
  if (usable.length === 0)
    throw new UsageError('layout', `${path}: ranges: none is of type usable, so there is no RAM`);
  return {
    name,
    usable,
    rmp: rmp === undefined ? undefined : pages(rmp),
    pfnCount: Math.max(...usable.map((range) => range.end)),
  };
}
