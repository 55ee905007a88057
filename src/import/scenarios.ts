// What a log shows, as a scenario that `explore` runs: a refused RMPUPDATE or write of the host with the entries around it, faults of vCPUs, mappings put over others.
// Page frames and gfns keep their place in their 2M region; regions are numbered anew, since a scenario's host is small.
import { stringify } from 'yaml';
import type { Scenario } from '../explore/scenario.js';

/** A scenario made from a log. `notes`: what it takes from the log, and what it had to assume. */
export interface ImportedScenario {
  scenario: Scenario;
  notes: readonly string[];
}

const REGION_PAGES = 512;
/** Regions of a scenario's host: region 0 begins with pages that no host has. */
const REGIONS = 15;
/** First page of a scenario's host. */
export const FIRST_PFN = 16;

/** Gives page frames of a log numbers of a small host: the same place in a 2M region, the regions from `first` on in the order of their first use. */
export class Renumbered {
  readonly #regions = new Map<number, number>();
  readonly #first: number;

  constructor(first = 1) {
    this.#first = first;
  }

  /** The page's new number; undefined when the host has no region left. */
  page(number: number): number | undefined {
    const region = Math.floor(number / REGION_PAGES);
    const known = this.#regions.get(region);
    const next = known ?? this.#first + this.#regions.size;
    if (next >= REGIONS) return undefined;
    this.#regions.set(region, next);
    return next * REGION_PAGES + (number % REGION_PAGES);
  }

  /** Pages up to the end of the last region that was given out. */
  get end(): number {
    return (this.#first + this.#regions.size) * REGION_PAGES;
  }
}

/** The scenario as a file that `explore` reads. */
export function scenarioDocument({ scenario, notes }: ImportedScenario, source: string): string {
  const comments = [`Imported from ${source}. Run it: rmptorture explore <this file>`, ...notes];
  const { setup, threads, ...rest } = scenario;
  const flow = { flowCollectionPadding: true, lineWidth: 0 };
  const lines = [
    ...comments.map((comment) => `# ${comment}`),
    stringify(rest, flow).trimEnd(),
    ...(setup === undefined || setup.length === 0 ? [] : ['setup:', ...setup.map((each) => `  - ${inline(each)}`)]),
    'threads:',
    ...Object.entries(threads).flatMap(([name, calls]) => [
      `  ${JSON.stringify(name)}:`,
      ...calls.map((each) => `    - ${inline(each)}`),
    ]),
    '',
  ];
  return lines.join('\n');
}

/** An operation on a line of its own: numbers of pages are read as hexadecimal in a log, so they are written so. */
function inline(operation: object): string {
  const field = ([name, value]: [string, unknown]): string => {
    if (name === 'lo' || name === 'hi') return `${name}: "${String(value)}"`;
    if ((name === 'pfn' || name === 'gfn') && typeof value === 'number') return `${name}: 0x${value.toString(16)}`;
    return `${name}: ${typeof value === 'string' ? value : JSON.stringify(value)}`;
  };
  return `{ ${Object.entries(operation).map(field).join(', ')} }`;
}
