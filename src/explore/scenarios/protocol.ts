// The protocol's meetings: two parts of the invalidation protocol on the same pages at the same time. Each must pass with RFC v8; variants bring one
// mistake back.
import type { Operation, Scenario } from '../scenario.js';

const FILE = { file: 'memory' } as const;
const VM = { vm: 'guest' } as const;
const bindSlot: Operation = { op: 'set-slot', ...VM, slot: 0, gfn: 8, pages: 4, flags: 4, ...FILE, start: 0 };
const makePrivate: Operation = { op: 'set-private', ...VM, gfn: 8, pages: 4 };
/** A guest with one vCPU whose gfns 8..11 are the file's first four pages. */
const bound = {
  files: { memory: { pages: 4 } },
  vms: { guest: { vcpus: 1, gfns: 64 } },
  setup: [bindSlot, makePrivate],
} satisfies Partial<Scenario>;

const write = (gfn: number): Operation => ({ op: 'touch', ...VM, gfn, write: true, value: 7 });

/** A guest whose gfns 512..1023 are one 2M page. */
const large = {
  host: { pages: 2048 },
  files: { memory: { pages: 512, huge: true } },
  vms: { guest: { vcpus: 1, gfns: 1024 } },
  setup: [
    { op: 'set-slot', ...VM, slot: 0, gfn: 512, pages: 512, flags: 4, ...FILE },
    { op: 'set-private', ...VM, gfn: 512, pages: 512 },
    write(600),
  ],
} satisfies Partial<Scenario>;

/** Scenarios of the invalidation protocol, by name. */
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
    name: 'fault-punch-leaf',
    about:
      "a vCPU faults in a page while the whole leaf of the file's tree that it hangs on is punched out: as with single pages, no mapping of it may stay",
    files: { memory: { pages: 128 } },
    vms: { guest: { vcpus: 1, gfns: 128 } },
    setup: [
      { op: 'set-slot', ...VM, slot: 0, gfn: 0, pages: 128, flags: 4, ...FILE, start: 0 },
      { op: 'set-private', ...VM, gfn: 0, pages: 128 },
      { op: 'allocate', ...FILE, start: 63, pages: 2 },
    ],
    threads: {
      fault: [{ op: 'touch', ...VM, gfn: 64, write: true, value: 8 }],
      punch: [{ op: 'punch-hole', ...FILE, start: 64, pages: 64 }],
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
  {
    name: 'punch-unbind',
    about:
      'a hole is punched while its memslot goes: every notifier is told begin and end in pairs, and the pages go once',
    ...bound,
    setup: [...bound.setup, write(8), write(9)],
    threads: {
      punch: [{ op: 'punch-hole', ...FILE, start: 0, pages: 2 }],
      unbind: [{ op: 'delete-slot', ...VM, slot: 0 }],
    },
  },
  {
    name: 'bind-fault',
    about:
      'a memslot is bound and made private while a vCPU faults in it: it meets no memslot, shared memory or the file, never a mixture',
    files: bound.files,
    vms: bound.vms,
    threads: { bind: [bindSlot, makePrivate], fault: [write(9)] },
  },
  {
    name: 'bind-punch',
    about:
      'a memslot is bound while its pages are punched out: no notifier is told of an end whose begin it has not seen',
    files: bound.files,
    vms: bound.vms,
    setup: [makePrivate, { op: 'allocate', ...FILE, start: 0, pages: 2 }],
    threads: { bind: [bindSlot], punch: [{ op: 'punch-hole', ...FILE, start: 0, pages: 2 }] },
  },
  {
    name: 'move-punch',
    about:
      'private pages move to other gfns while they are punched out (KVM lets nobody move a private memslot: it goes, and comes elsewhere)',
    ...bound,
    setup: [...bound.setup, { op: 'set-private', ...VM, gfn: 16, pages: 4 }, write(9)],
    threads: {
      move: [
        { op: 'delete-slot', ...VM, slot: 0 },
        { ...bindSlot, gfn: 16 },
      ],
      punch: [{ op: 'punch-hole', ...FILE, start: 0, pages: 2 }],
    },
  },
  {
    name: 'move-discard',
    about:
      'a memslot of shared memory moves while the host takes its pages away: start and end of the notifier see the same memslots',
    vms: bound.vms,
    setup: [
      { op: 'set-slot', ...VM, slot: 1, gfn: 16, pages: 4, hva: 256 },
      { op: 'touch', ...VM, gfn: 17, write: true, private: false, value: 5 },
    ],
    threads: {
      move: [{ op: 'set-slot', ...VM, slot: 1, gfn: 32, pages: 4, hva: 256 }],
      discard: [{ op: 'discard-shared', ...VM, hva: 256, pages: 4 }],
    },
  },
  {
    name: 'convert-fault',
    about:
      'pages become shared while a vCPU writes to one as private memory: no mapping may disagree with the attributes',
    ...bound,
    setup: [...bound.setup, write(9)],
    threads: { convert: [{ op: 'set-shared', ...VM, gfn: 8, pages: 4 }], fault: [write(9)] },
  },
  {
    name: 'convert-punch',
    about: 'pages are made private while they are punched out: none may be assigned again once its hook has run (B08)',
    ...bound,
    setup: [bindSlot, { op: 'allocate', ...FILE, start: 0, pages: 2 }],
    threads: {
      convert: [{ op: 'set-private', ...VM, gfn: 8, pages: 2 }],
      punch: [{ op: 'punch-hole', ...FILE, start: 0, pages: 2 }],
    },
  },
  {
    name: 'punch-release',
    about:
      'a hole is punched while memslot and descriptor go: whoever lets go last releases the file, with no page assigned',
    ...bound,
    setup: [...bound.setup, write(9), { op: 'open-file', ...FILE }],
    threads: {
      punch: [
        { op: 'punch-hole', ...FILE, start: 0, pages: 2 },
        { op: 'close-file', ...FILE },
      ],
      release: [
        { op: 'delete-slot', ...VM, slot: 0 },
        { op: 'close-file', ...FILE },
      ],
    },
  },
  {
    name: 'failure-unbind',
    about: 'a page fails while its memslot goes: the notifier that is told lives, and is bound',
    ...bound,
    setup: [...bound.setup, write(9)],
    threads: { failure: [{ op: 'memory-failure', pfn: 16 }], unbind: [{ op: 'delete-slot', ...VM, slot: 0 }] },
  },
  {
    name: 'hook-psmash',
    about: 'the hook splits a 2M page to give 4K of it back while another CPU splits the same page',
    ...large,
    threads: { punch: [{ op: 'punch-hole', ...FILE, start: 0, pages: 1 }], smash: [{ op: 'psmash', pfn: 512 }] },
  },
  {
    name: 'hook-psmash-follower',
    about:
      'the same for a page in the middle, whose own RMP entry says nothing before the split: it must not be taken for a free one',
    ...large,
    threads: { punch: [{ op: 'punch-hole', ...FILE, start: 5, pages: 1 }], smash: [{ op: 'psmash', pfn: 512 }] },
  },
  {
    name: 'hook-psmash-2m',
    about:
      'the hook gives a whole 2M page back while another CPU splits it: all 512 pages can still be given back, none is leaked',
    ...large,
    threads: { punch: [{ op: 'punch-hole', ...FILE, start: 0, pages: 512 }], smash: [{ op: 'psmash', pfn: 512 }] },
    expect: [{ leaked: 0 }],
  },
  {
    name: 'undo-fault',
    about:
      'a fallocate that runs out of memory takes its pages back while a vCPU faults one of them in: who was given a page keeps it',
    ...bound,
    host: { pages: 16 },
    files: { memory: { pages: 4 }, other: { pages: 16 } },
    setup: [...bound.setup, { op: 'allocate', file: 'other', start: 0, pages: 14 }],
    threads: {
      allocate: [{ op: 'allocate', ...FILE, start: 0, pages: 4 }],
      fault: [{ op: 'touch', ...VM, gfn: 8, write: true, value: 8 }],
    },
  },
  {
    name: 'reclaim-write',
    about: 'pages of the VMM go to swap while it writes to one of them: what it wrote is there afterwards',
    vms: { guest: { vcpus: 1, process: true, gfns: 64 } },
    setup: [
      { op: 'set-slot', ...VM, slot: 0, gfn: 8, pages: 4, hva: 512 },
      { op: 'touch', ...VM, gfn: 9, private: false, write: true, value: 7 },
    ],
    threads: {
      reclaim: [{ op: 'reclaim', ...VM, hva: 513, pages: 1 }],
      write: [{ op: 'write-user', ...VM, hva: 513, value: 8 }],
    },
    expect: [{ ...VM, hva: 513, value: 8 }],
  },
];
