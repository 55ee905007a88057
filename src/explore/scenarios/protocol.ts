// The protocol's meetings: two parts of the invalidation protocol on the same pages at the same time. Each must pass with RFC v8; variants bring one
// mistake back.
import type { Scenario } from '../scenario.js';

const FILE = { file: 'memory' } as const;
const VM = { vm: 'guest' } as const;
/** A guest with one vCPU whose gfns 8..11 are the file's first four pages. */
const bound = {
  files: { memory: { pages: 4 } },
  vms: { guest: { vcpus: 1, gfns: 64 } },
  setup: [
    { op: 'set-slot', ...VM, slot: 0, gfn: 8, pages: 4, flags: 4, ...FILE, start: 0 },
    { op: 'set-private', ...VM, gfn: 8, pages: 4 },
  ],
} satisfies Partial<Scenario>;

export const PROTOCOL_SCENARIOS: readonly Scenario[] = [
  {
    name: 'fault-punch-hole',
    about: 'a vCPU faults a page in while it is punched out of the file: it must not keep a mapping of the freed page',
    ...bound,
    setup: [...bound.setup, { op: 'allocate', ...FILE, start: 0, pages: 2 }],
    threads: {
      fault: [{ op: 'touch', ...VM, gfn: 9, write: true, value: 8 }],
      punch: [{ op: 'punch-hole', ...FILE, start: 0, pages: 2 }],
    },
  },
  {
    name: 'mapped-punch-hole',
    about: 'a vCPU writes to a page that it has mapped while it is punched out: no translation may outlive the page',
    ...bound,
    setup: [...bound.setup, { op: 'touch', ...VM, gfn: 9, write: true, value: 7 }],
    threads: {
      write: [{ op: 'touch', ...VM, gfn: 9, write: true, value: 8 }],
      punch: [{ op: 'punch-hole', ...FILE, start: 0, pages: 2 }],
    },
  },
  {
    name: 'punch-punch',
    about: 'two hole punches overlap: begin and end must balance, and every page is freed once',
    ...bound,
    setup: [
      ...bound.setup,
      { op: 'touch', ...VM, gfn: 8, write: true, value: 1 },
      { op: 'touch', ...VM, gfn: 9, write: true, value: 2 },
    ],
    threads: {
      first: [{ op: 'punch-hole', ...FILE, start: 0, pages: 2 }],
      second: [{ op: 'punch-hole', ...FILE, start: 1, pages: 2 }],
    },
  },
  {
    name: 'unbind-fault',
    about: 'a memslot goes while a vCPU faults one of its pages in: nothing of it may stay mapped or assigned',
    ...bound,
    threads: {
      unbind: [{ op: 'delete-slot', ...VM, slot: 0 }],
      fault: [{ op: 'touch', ...VM, gfn: 9, write: true, value: 3 }],
    },
  },
];
