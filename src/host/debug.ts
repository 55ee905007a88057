// pr_debug: the lines of the invalidation patch, in its own words, switched on by the names of functions, as in Linux.
import { pino } from 'pino';
import * as sites from '../kernel/abi/debug.js';
import { SH_DEBUG_FLAGS } from '../kernel/abi/layout.js';

interface Site {
  function: string;
  text(args: readonly number[]): string;
}

const hex = (value: number | undefined): string => `0x${(value ?? 0).toString(16)}`;

// All ends are inclusive here, as KVM passed them to and got them from restrictedmem when the patch was posted; the sites convert.
const SITES: Record<number, Site> = {
  [sites.DEBUG_RESTRICTEDMEM_UNBIND]: {
    function: 'restrictedmem_unbind',
    text: ([start, end]) =>
      `restrictedmem_unbind: unregistering notifier, invalidating page offsets ${hex(start)}-${hex(end)}`,
  },
  [sites.DEBUG_INVALIDATE_BEGIN_SKIPPED]: {
    function: 'kvm_restrictedmem_invalidate_begin',
    text: ([slot, start, end, index]) =>
      `kvm_restrictedmem_invalidate_begin: Invalidation skipped, slot: ${slot}, start: ${hex(start)}, end: ${hex(end)}, restrictedmem.index: ${hex(index)}`,
  },
  [sites.DEBUG_INVALIDATE_BEGIN]: {
    function: 'kvm_restrictedmem_invalidate_begin',
    text: ([slot, start, end, index, gfnStart, gfnEnd]) =>
      `kvm_restrictedmem_invalidate_begin: slot: ${slot}, start: ${hex(start)}, end: ${hex(end)}, restrictedmem.index: ${hex(index)}, gfn_start: ${hex(gfnStart)}, gfn_end: ${hex(gfnEnd)}`,
  },
};

/** The line that site `site` prints for its arguments. */
export function debugLine(site: number, args: readonly number[]): string {
  return SITES[site]?.text(args) ?? `pr_debug site ${site}: ${args.join(' ')}`;
}

/** Turns on the sites whose function matches one of the comma-separated globs; returns how many are on. */
export function enableDebug(words: Int32Array<SharedArrayBuffer>, globs: string): number {
  const patterns = globs.split(',').map(
    (glob) =>
      new RegExp(
        `^${glob
          .trim()
          .replaceAll(/[.+^${}()|[\]\\]/g, '\\$&')
          .replaceAll('*', '.*')
          .replaceAll('?', '.')}$`,
      ),
  );
  const flags = new Uint8Array(words.buffer, SH_DEBUG_FLAGS, 256);
  let on = 0;
  for (const [site, { function: name }] of Object.entries(SITES)) {
    const enabled = patterns.some((pattern) => pattern.test(name));
    flags[Number(site)] = enabled ? 1 : 0;
    if (enabled) on++;
  }
  return on;
}

// One logger a thread: loggers cannot be posted, and a synchronous descriptor loses nothing when a thread blocks.
const log = pino({ level: 'debug' }, pino.destination({ dest: 2, sync: true }));

/** The kernel's prDebug import. */
export function prDebug(site: number, ...args: number[]): void {
  log.debug(debugLine(site, args));
}
