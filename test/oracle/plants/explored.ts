// Mistakes that only two threads make together: the explorer finds the interleaving. Most are bugs of the catalogue.
import { scenarioOf } from '#src/catalogue/bug.js';
import { BUGS } from '#src/catalogue/index.js';
import type { Scenario } from '#src/explore/scenario.js';
import * as codes from '#src/kernel/abi/oops.js';
import type { Proof } from './plant.js';

export interface ExploredPlant extends Proof {
  title: string;
  wrong: Scenario;
  /** The same without the mistake. */
  sound: Scenario;
}

/** What the mistake of the catalogue's bug is reported as. */
function bug(id: string, code: number, at: string): ExploredPlant {
  const found = BUGS.find((each) => each.id === id)!;
  return { code, at, title: `${id}: ${found.title}`, wrong: scenarioOf(found, true), sound: scenarioOf(found, false) };
}

/** Bits 0 and 1: assigned, as one 2M page; bit 2: immutable. */
const HEAD_2M = '0x8000000000003';
const HEAD_2M_IMMUTABLE = '0x8000000000007';

const SPLIT: Scenario = {
  name: 'split',
  about: 'a 2M entry of the RMP is split into 4K entries',
  host: { pages: 2048 },
  setup: [{ op: 'rmp-entry', pfn: 512, lo: HEAD_2M }],
  threads: { smash: [{ op: 'psmash', pfn: 512 }] },
};

export const EXPLORED: readonly ExploredPlant[] = [
  bug('B36', codes.OOPS_STALE_CACHE, 'kvm/pfncache.ts'),
  bug('B27', codes.OOPS_LEAF_OF_FREE_PAGE, 'kvm/tdp-remove.ts'),
  bug('B29', codes.OOPS_DEAD_ROOT, 'kvm/tdp-root.ts'),
  bug('B48', codes.OOPS_BEYOND_BUFFER, 'kvm/ghcb.ts'),
  bug('B49', codes.OOPS_VMGEXIT_RECURSION, 'kvm/ghcb.ts'),
  bug('B32', codes.OOPS_FREED_ROOT, 'kvm/tdp-root.ts'),
  bug('B52', codes.OOPS_LIST_CORRUPT, 'snp/regions.ts'),
  bug('B41', codes.OOPS_DEVICE_MISSED, 'kvm/bus.ts'),
  bug('B59', codes.OOPS_XA_INTERNAL, 'program/operations.ts'),
  bug('B24', codes.OOPS_LAUNCH_SHARED, 'kvm/gmem-populate.ts'),
  bug('B40', codes.OOPS_FREED_ACCESS, 'control/freed.ts'),
  {
    code: codes.OOPS_RMP_HEAD_CHANGED,
    at: 'snp/region.ts',
    title: 'a 2M entry that is written to without its lock while it is split',
    wrong: { ...SPLIT, threads: { ...SPLIT.threads, write: [{ op: 'rmp-entry', pfn: 512, lo: HEAD_2M_IMMUTABLE }] } },
    sound: SPLIT,
  },
];
