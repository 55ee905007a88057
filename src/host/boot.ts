// From a host's options to its booted shards: the memory map, how it is cut, and a kernel in each piece.
import { UsageError } from './errors.js';
import type { KernelEnvironment } from './kernel-module.js';
import { readLayout, type HostLayout } from './layout-file.js';
import { createShard, type Shard, type ShardOptions } from './shard.js';
import { LEAST_SHARD_PFNS, MAX_SHARD_PFNS, MAX_SHARDS, splitLayout, type ShardMap } from './shards.js';
import { parseSize } from './units.js';

const FIRST_PFN = 256; // memory starts at 1 MiB when no layout says otherwise

/** The pieces of a host's memory. Throws UsageError when it has too little or too much. */
export function planShards(options: {
  memory?: number | string;
  layout?: string;
  shardMemory?: number | string;
}): ShardMap[] {
  const { memory = '4GiB', layout, shardMemory } = options;
  const map = layout === undefined ? flatLayout(memory) : readLayout(layout);
  const most = shardMemory === undefined ? MAX_SHARD_PFNS : Math.floor(parseSize(shardMemory) / 4096);
  if (most < LEAST_SHARD_PFNS)
    throw new UsageError('shardMemory', `shardMemory: ${shardMemory} is too little for one shard; at least 1GiB`);
  const maps = splitLayout(map, Math.min(most, MAX_SHARD_PFNS));
  if (maps.length <= MAX_SHARDS) return maps;
  const what = layout ?? String(memory);
  throw new UsageError(
    'memory',
    `memory: ${what} is more than ${MAX_SHARDS} shards of ${shardMemory ?? '514GiB'} hold`,
  );
}

function flatLayout(memory: number | string): HostLayout {
  const bytes = parseSize(memory);
  const pfnCount = Math.floor(bytes / 4096);
  if (pfnCount < FIRST_PFN * 2) throw new UsageError('memory', `memory: ${bytes} bytes are too few; at least 2MiB`);
  return { name: 'flat', usable: [{ start: FIRST_PFN, end: pfnCount }], rmp: undefined, pfnCount };
}

/** Boots a kernel in each piece; the calling thread is task 0 of all. */
export function bootShards(
  maps: readonly ShardMap[],
  options: Omit<ShardOptions, 'pfnCount'>,
  environment: Partial<KernelEnvironment>,
): Shard[] {
  return maps.map(({ base, pfnCount, usable, rmp }) => {
    const shard = createShard({ ...options, pfnBase: base, pfnCount }, environment);
    if (rmp !== undefined) shard.x.rmpSetFirmwareRange(rmp.start, rmp.end);
    for (const { start, end } of usable) shard.x.addHostMemory(start, end);
    return shard;
  });
}
