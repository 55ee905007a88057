// A bug of the catalogue: a mistake that the kernel or the patch really had, as a case report that can be run. The kernel has the mistake as a variant, a
// named switch in the line that was wrong; the scenario is the smallest that shows it.
import type { Operation, Scenario } from '../explore/scenario.js';

export interface Bug {
  /** B01 to B61: the numbers of the variants and of docs/seed.md. */
  id: string;
  title: string;
  /** Commit, message or report where it was found. */
  source: string;
  /** What must hold and does not. */
  invariant: string;
  /** How it goes wrong. */
  story: string;
  fix: string;
  /** Where the model differs from what happened, if it does. */
  remark?: string;
  /** Brings it back. */
  variants: readonly string[];
  /** Verdicts of which any is this bug: an oracle's name, 'deadlock', 'livelock', 'expectation', ... Which comes first is the interleaving's choice. */
  verdicts: readonly string[];
  /** The strategy that finds it in the fewest executions, as `npm run catalogue` measures; 'any': each finds it in the first. */
  strategy: string;
  scenario: Omit<Scenario, 'name' | 'about' | 'variants'>;
}

/** A bug that the engine cannot show, and why. */
export interface OutOfReach {
  id: string;
  title: string;
  why: string;
}

/** The bug's scenario: with the mistake, or without it. */
export function scenarioOf(bug: Bug, buggy: boolean): Scenario {
  return { name: bug.id, about: bug.title, ...bug.scenario, variants: buggy ? bug.variants : [] };
}

// --- the parts that scenarios are made of: one guest, one file ---

const PRIVATE = 4; // KVM_MEM_PRIVATE

/** Private memslot `id`: gfns [gfn, gfn + pages) are the file's pages from `start` on. */
export const slot = (id: number, gfn: number, pages: number, start = 0): Operation => ({
  op: 'set-slot',
  vm: 'guest',
  slot: id,
  gfn,
  pages,
  flags: PRIVATE,
  file: 'memory',
  start,
});

/** Memslot `id` without private memory, at page `hva` of the VMM. */
export const sharedSlot = (id: number, gfn: number, pages: number, hva: number): Operation => ({
  op: 'set-slot',
  vm: 'guest',
  slot: id,
  gfn,
  pages,
  hva,
});

export const deleteSlot = (id: number): Operation => ({ op: 'delete-slot', vm: 'guest', slot: id });
export const closeFile = (): Operation => ({ op: 'close-file', file: 'memory' });
export const setPrivate = (gfn: number, pages: number): Operation => ({ op: 'set-private', vm: 'guest', gfn, pages });
export const setShared = (gfn: number, pages: number): Operation => ({ op: 'set-shared', vm: 'guest', gfn, pages });
export const write = (gfn: number, value = 7, vcpu = 0): Operation => ({
  op: 'touch',
  vm: 'guest',
  vcpu,
  gfn,
  write: true,
  value,
});
/** A guest access to memory that is not private, or to a device. */
export const touchShared = (gfn: number, vcpu = 0): Operation => ({
  op: 'touch',
  vm: 'guest',
  vcpu,
  gfn,
  write: true,
  private: false,
});
export const punch = (start: number, pages: number): Operation => ({ op: 'punch-hole', file: 'memory', start, pages });
export const allocate = (start: number, pages: number): Operation => ({ op: 'allocate', file: 'memory', start, pages });
/** The guest writes 8 bytes to the GHCB of its vCPU. */
export const ghcbWrite = (offset: number, value: number): Operation => ({
  op: 'ghcb-write',
  vm: 'guest',
  offset,
  value,
});

/** One vCPU; gfns 8 to 11 are the four pages of the file, all private. */
export const SMALL = {
  files: { memory: { pages: 4 } },
  vms: { guest: { vcpus: 1, gfns: 64 } },
  setup: [slot(0, 8, 4), setPrivate(8, 4)],
} as const satisfies Bug['scenario'] | Omit<Bug['scenario'], 'threads'>;

/** Two vCPUs over a file of 2M folios. */
export const HUGE = {
  host: { pages: 2048 },
  files: { memory: { pages: 1024, huge: true } },
  vms: { guest: { vcpus: 2, gfns: 2048 } },
} as const satisfies Omit<Bug['scenario'], 'threads'>;

/** PFN of the first page that a scenario's host gives out. */
export const FIRST_PFN = 16;
