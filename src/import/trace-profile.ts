// A KVM trace as a load profile: as many vCPUs, the same share of writes, hot pages as hot, zaps as often. For traces that are too long for a scenario.
import type { Fact } from './log.js';
import { type FaultFact, isZap, type SpteFact } from './trace-log.js';

const WRITE = 1n << 1n;
/** The pages that draw this share of the faults are the hot ones. */
const HOT_SHARE = 0.8;
/** Fewer faults say nothing about shares. */
const LEAST_FAULTS = 100;
const MOST_THREADS = 16;
const PAGE = 4096;
const MIB = 2 ** 20;

/** Fewest pages, hottest first, that draw HOT_SHARE of the faults, and what they really draw. */
function hotPages(faults: readonly FaultFact[]): { pages: number; share: number } {
  const counts = new Map<number, number>();
  for (const { gfn } of faults) counts.set(gfn, (counts.get(gfn) ?? 0) + 1);
  let drawn = 0;
  let pages = 0;
  for (const count of [...counts.values()].toSorted((a, b) => b - a)) {
    if (drawn >= HOT_SHARE * faults.length) break;
    drawn += count;
    pages++;
  }
  return { pages, share: drawn / faults.length };
}

const rounded = (value: number): string => value.toPrecision(2).replace(/e.*$/, '');

/** The profile of a trace's faults; undefined for a trace that is short. */
export function traceProfile(name: string, source: string, facts: readonly Fact[]): string | undefined {
  const faults = facts.filter((fact): fact is FaultFact => fact.kind === 'fault');
  if (faults.length < LEAST_FAULTS) return undefined;
  const gfns = faults.map(({ gfn }) => gfn);
  const first = gfns.reduce((least, gfn) => Math.min(least, gfn), Infinity);
  const span = gfns.reduce((most, gfn) => Math.max(most, gfn), 0) + 1 - first;
  const times = faults.map(({ timeUs }) => timeUs);
  const seconds = (times.reduce((a, b) => Math.max(a, b), 0) - times.reduce((a, b) => Math.min(a, b), Infinity)) / 1e6;
  const threads = new Set(faults.map(({ pid }) => pid)).size;
  const writes = faults.filter(({ errorCode }) => (errorCode & WRITE) !== 0n).length / faults.length;
  const hot = hotPages(faults);
  const memory = Math.max(2, Math.ceil((span * PAGE) / MIB));
  const zaps = facts.filter((fact) => fact.kind === 'spte' && isZap(fact as SpteFact)).length;
  const perSecond = seconds > 0 ? Math.max(1, Math.round(zaps / seconds)) : 0;
  const touch = `distribution: hotspot, hot: { pages: ${(hot.pages / span).toPrecision(3)}, share: ${rounded(hot.share)} }`;
  return [
    `# A load as in ${source}: ${faults.length} faults of ${threads} vCPUs${seconds > 0 ? ` in ${seconds.toFixed(3)} s` : ''}, ${hot.pages} pages that draw ${Math.round(hot.share * 100)}% of them.`,
    `# The pages lie between gfn 0x${first.toString(16)} and gfn 0x${(first + span - 1).toString(16)} of the log. A fault here needs a page that was taken away before.`,
    `host:     { memory: ${Math.max(64, memory * 2)}MiB }`,
    'vms:',
    `  - { name: guest, vcpus: ${Math.min(threads, MOST_THREADS)}, memory: ${memory}MiB }`,
    'actors:',
    `  - { kind: vcpu, threads: ${Math.min(threads, MOST_THREADS)}, touch: { ${touch}, write: ${rounded(writes)} } }`,
    `  - { kind: invalidator, threads: 1${zaps > 0 && perSecond > 0 ? `, rate: ${perSecond}/s` : ''}, range: { pages: [1, 16] }, touch: { ${touch} } }`,
    'duration: 10s',
    '',
  ].join('\n');
}
