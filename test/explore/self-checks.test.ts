// Self-checks: every oracle and every verdict of the explorer finds the mistake that was planted for it within a stated number of executions, the samplers
// taking turns from a fixed seed; and the list of them is complete.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { scenarioOf } from '#src/catalogue/bug.js';
import { BUGS } from '#src/catalogue/index.js';
import { type CompiledProgram, compileProgram } from '#src/explore/compile.js';
import { explore, type ExploreResult } from '#src/explore/explore.js';
import { programTarget } from '#src/explore/program-target.js';
import { firstRawAccess } from '#src/explore/raw-memory.js';
import type { Scenario } from '#src/explore/scenario.js';
import { scenarioTarget } from '#src/explore/scenario-target.js';
import { PROTOCOL_SCENARIOS } from '#src/explore/scenarios/protocol.js';
import { exploreStates } from '#src/explore/search/explore-states.js';
import { strategyNamed } from '#src/explore/strategies/named.js';
import type { Target } from '#src/explore/target.js';
import { LC_USER } from '#src/kernel/abi/classes.js';
import * as oops from '#src/kernel/abi/oops.js';

/** Verdicts that are no oracle of the kernel's. */
const OWN_VERDICTS = [
  'deadlock',
  'lost-wakeup',
  'livelock',
  'starvation',
  'crash',
  'expectation',
  'data-race',
  'step-limit',
];
const ORACLES = Object.keys(oops)
  .filter((name) => name.startsWith('ORACLE_'))
  .map((name) => name.slice('ORACLE_'.length).toLowerCase().replaceAll('_', '-'));

/** Verdict, mistake, scenario (or bug of the catalogue, or program below), executions within which it is found. */
const SCENARIOS: [verdict: string, variant: string, scenario: string, within: number][] = [
  ['host-page', 'B08', 'convert-punch', 100],
  ['stale-mapping', 'skip-zap', 'mapped-punch-hole', 20],
  ['stale-mapping', 'no-flush', 'mapped-punch-hole', 100],
  ['balance', 'lost-end', 'unbind-fault', 20],
  ['callback', 'stale-slot', 'punch-unbind', 100],
  ['one-owner', 'B61', 'B61', 20],
  ['guest-data', 'no-zero', 'reused-page', 20],
  ['locking', 'lock-order', 'fault-punch-hole', 20],
  ['locking', 'sleep-atomic', 'fault-punch-hole', 20],
  ['conservation', 'lose-page', 'punch-punch', 20],
  ['progress', 'retry-forever', 'busy-retry', 3],
  ['kernel-bug', 'B02', 'B02', 20],
  ['expectation', 'B18', 'B18', 20],
];
const PROGRAMS: [verdict: string, program: string, within: number][] = [
  ['assertion', 'lost', 100],
  ['deadlock', 'abba', 100],
  ['lost-wakeup', 'sleep', 100],
  ['livelock', 'spin', 100],
  ['livelock', 'polite', 100],
  ['starvation', 'skipped', 100],
  ['crash', 'trap', 100],
  ['data-race', 'racy', 1],
];

/** The host has 16 pages and all are in use: the one that the first guest's hole frees goes to the other guest. */
const REUSED: Scenario = {
  name: 'reused-page',
  about: "a page that was freed is given to another guest: it must not show the first one's data",
  host: { pages: 16 },
  files: { memory: { pages: 1 }, second: { pages: 16 } },
  vms: { guest: { gfns: 64 }, other: { gfns: 64 } },
  setup: [
    { op: 'set-slot', vm: 'guest', slot: 0, gfn: 8, pages: 1, flags: 4, file: 'memory' },
    { op: 'set-slot', vm: 'other', slot: 0, gfn: 8, pages: 16, flags: 4, file: 'second' },
    { op: 'set-private', vm: 'guest', gfn: 8, pages: 1 },
    { op: 'set-private', vm: 'other', gfn: 8, pages: 16 },
    { op: 'touch', vm: 'guest', gfn: 8, write: true, value: 77 },
    { op: 'allocate', file: 'second', start: 0, pages: 15 },
  ],
  threads: {
    guests: [
      { op: 'punch-hole', file: 'memory', start: 0, pages: 1 },
      { op: 'touch', vm: 'other', gfn: 23 },
    ],
  },
};

/** Beside a thread that always has something to do no retry is a livelock: the kernel's own count of retries has to see it. */
const BUSY: Scenario = {
  ...scenarioOf(
    BUGS.find(({ id }) => id === 'B30')!,
    false,
  ),
  name: 'busy-retry',
  files: { memory: { pages: 4 }, second: { pages: 4 } },
};
BUSY.threads = {
  ...BUSY.threads,
  busy: Array.from({ length: 1500 }, (_, n) => ({
    op: n % 2 === 0 ? ('allocate' as const) : ('punch-hole' as const),
    file: 'second',
    start: 0,
    pages: 4,
  })),
};

const SOURCE = `
import { check, progress } from 'rmptorture/assert';
import { kmalloc } from 'rmptorture/heap';
import { atomicAdd32, atomicCas32, atomicLoad32, atomicStore32, cpuRelax, futexWait, futexWake, load32, store32 } from 'rmptorture/point';
import {
  mutexInit, mutexLock, mutexTrylock, mutexUnlock, rwlockInit, readLock, readUnlock, spinLock, spinLockInit, spinUnlock, srcuInit, srcuReadLock, srcuReadUnlock,
  synchronizeSrcu,
} from 'rmptorture/sync';
const A: usize = 65672;
const B: usize = 65676;
const LOCKS: usize = 66560;
function increment(): void { store32(A, load32(A) + 1); }
export function lost_thread0(): void { increment(); }
export function lost_thread1(): void { increment(); }
export function lost_finish(): void { check(load32(A) == 2, 1, load32(A)); }
export function abba_setup(): void { mutexInit(LOCKS, 0); mutexInit(LOCKS + 64, 0); }
function both(first: usize, second: usize): void { mutexLock(first); mutexLock(second); mutexUnlock(second); mutexUnlock(first); }
export function abba_thread0(): void { both(LOCKS, LOCKS + 64); }
export function abba_thread1(): void { both(LOCKS + 64, LOCKS); }
export function sleep_thread0(): void { if (atomicLoad32(A) == 0) { atomicStore32(B, 1); futexWait(B, 1, -1); } }
export function sleep_thread1(): void { atomicStore32(A, 1); if (atomicLoad32(B) == 1) { atomicStore32(B, 0); futexWake(B, 1); } }
export function spin_thread0(): void { while (atomicLoad32(A) == 0) cpuRelax(); atomicStore32(B, 1); }
export function spin_thread1(): void { while (atomicLoad32(B) == 0) cpuRelax(); atomicStore32(A, 1); }
export function trap_setup(): void { store32(A, 1); }
export function trap_thread0(): void { store32(B, 8 / load32(A)); }
export function trap_thread1(): void { store32(A, 0); }
export function racy_thread0(): void { store32(A, 1); atomicStore32(B, 1); }
export function racy_thread1(): void { if (load32(A) == 0) atomicStore32(B, 2); }
export function handed_thread0(): void { store32(A, 1); atomicStore32(B, 1); }
export function handed_thread1(): void { if (atomicLoad32(B) == 1) store32(A, 2); }
const FIRST: usize = LOCKS;
const SECOND: usize = LOCKS + 64;
const OTHER: usize = LOCKS + 128;
let srcu: usize = 0;
function classes(second: u32): void { mutexInit(FIRST, ${LC_USER}); mutexInit(SECOND, second); }
export function order_setup(): void { classes(${LC_USER + 1}); }
export function order_thread0(): void { both(FIRST, SECOND); }
export function order_thread1(): void { both(SECOND, FIRST); }
export function sameclass_setup(): void { classes(${LC_USER}); }
export function sameclass_thread0(): void { both(FIRST, SECOND); }
export function sameclass_thread1(): void { atomicStore32(A, 1); }
export function reader_setup(): void { rwlockInit(OTHER, ${LC_USER + 2}); }
export function reader_thread0(): void { readLock(OTHER); readLock(OTHER); readUnlock(OTHER); readUnlock(OTHER); }
export function reader_thread1(): void { atomicStore32(A, 1); }
function trying(first: usize, second: usize): void {
  mutexLock(first);
  if (mutexTrylock(second)) mutexUnlock(second);
  mutexUnlock(first);
}
export function trylocks_setup(): void { classes(${LC_USER + 1}); }
export function trylocks_thread0(): void { trying(FIRST, SECOND); }
export function trylocks_thread1(): void { trying(SECOND, FIRST); }
export function undertry_setup(): void { classes(${LC_USER + 1}); }
export function undertry_thread0(): void { if (mutexTrylock(FIRST)) { mutexLock(SECOND); mutexUnlock(SECOND); mutexUnlock(FIRST); } }
export function undertry_thread1(): void { both(SECOND, FIRST); }
export function grace_setup(): void { mutexInit(FIRST, ${LC_USER}); srcu = kmalloc(1024); srcuInit(srcu, ${LC_USER + 3}); }
export function grace_thread0(): void { const idx = srcuReadLock(srcu); mutexLock(FIRST); mutexUnlock(FIRST); srcuReadUnlock(srcu, idx); }
export function grace_thread1(): void { mutexLock(FIRST); synchronizeSrcu(srcu); mutexUnlock(FIRST); }
export function atomic_setup(): void { spinLockInit(OTHER, ${LC_USER + 4}); mutexInit(FIRST, ${LC_USER}); }
export function atomic_thread0(): void { spinLock(OTHER); mutexLock(FIRST); mutexUnlock(FIRST); spinUnlock(OTHER); }
export function atomic_thread1(): void { atomicStore32(A, 1); }
function polite(mine: usize, theirs: usize): void {
  for (;;) {
    atomicStore32(mine, 1);
    if (atomicLoad32(theirs) == 0) break;
    atomicStore32(mine, 0);
  }
}
export function polite_thread0(): void { polite(A, B); atomicStore32(A, 0); }
export function polite_thread1(): void { polite(B, A); atomicStore32(B, 0); }
// A turn that never comes: whose it is alternates between 0 and 1.
export function skipped_thread0(): void { for (;;) { atomicStore32(A, 1); progress(); atomicStore32(A, 0); } }
export function skipped_thread1(): void { while (atomicLoad32(A) != 2) atomicLoad32(B); }
export function server_thread0(): void { for (;;) { atomicStore32(A, 1); progress(); } }
export function server_thread1(): void { for (;;) { if (atomicLoad32(A) == 1) atomicStore32(A, 0); progress(); } }
// Gets on only if it looks at the right moment, which need never come.
export function sulking_thread0(): void { for (;;) { if (atomicLoad32(A) == 0) progress(); atomicLoad32(B); } }
export function sulking_thread1(): void { for (;;) { atomicStore32(A, 1); atomicStore32(A, 0); } }
// A lock that either may take again and again, and Peterson's, at which each has its turn.
function barging(): void { for (;;) { while (atomicCas32(A, 0, 1) != 0) cpuRelax(); progress(); atomicStore32(A, 0); } }
export function barging_thread0(): void { barging(); }
export function barging_thread1(): void { barging(); }
function peterson(mine: usize, theirs: usize, turn: u32): void {
  for (;;) {
    atomicStore32(mine, 1);
    atomicStore32(LOCKS, turn);
    while (atomicLoad32(theirs) == 1 && atomicLoad32(LOCKS) == turn) cpuRelax();
    progress();
    atomicStore32(mine, 0);
  }
}
export function peterson_thread0(): void { peterson(A, B, 1); }
export function peterson_thread1(): void { peterson(B, A, 2); }
let times: i32 = 0;
export function global_thread0(): void { atomicLoad32(B); times++; if ((times & 1) != 0) atomicAdd32(A, 1); else atomicAdd32(B, 1); }
export function global_thread1(): void { atomicAdd32(A, 1); }
export function hidden_thread0(): void { atomicAdd32(A, 1); times++; atomicStore32(B, times); }
export function hidden_thread1(): void { atomicAdd32(A, 1); }
export function endless_thread0(): void { while (atomicLoad32(A) == 0) atomicAdd32(B, 1); }
`;

const folder = mkdtempSync(path.join(tmpdir(), 'self-checks-'));
const written = (name: string, source: string): string => {
  const file = path.join(folder, name);
  writeFileSync(file, source);
  return file;
};
let module: CompiledProgram;
beforeAll(async () => {
  module = await compileProgram(written('planted.ts', SOURCE));
}, 180_000);
afterAll(() => rmSync(folder, { recursive: true }));

const sample = (target: Target, executions: number, strategy = 'portfolio'): ExploreResult =>
  explore(target, strategyNamed(strategy), { executions, seed: 1 });
const program = (name: string): Target =>
  programTarget(module, { name, prefix: `${name}_`, stepLimit: 2000, races: ['racy', 'handed'].includes(name) });

function scenarioNamed(name: string): Scenario {
  const own = [REUSED, BUSY].find((each) => each.name === name);
  if (own !== undefined) return own;
  const bug = BUGS.find(({ id }) => id === name);
  return bug === undefined ? PROTOCOL_SCENARIOS.find((each) => each.name === name)! : scenarioOf(bug, false);
}

describe('what is planted is found', () => {
  it.each(SCENARIOS)('%s: %s in %s within %i executions, and nothing without it', (verdict, variant, name, within) => {
    const scenario = scenarioNamed(name);
    const strategy = name === BUSY.name ? 'random' : 'portfolio'; // priorities would let the busy thread end first
    const options = { stepLimit: 500_000 };
    const buggy = scenarioTarget({ ...scenario, variants: [variant] }, options);
    expect(sample(buggy, within, strategy).violation?.kind).toBe(verdict);
    expect(sample(scenarioTarget(scenario, options), Math.min(within, 20), strategy).verdict).toBe('no-violation');
  });

  it.each(PROGRAMS)('%s: program %s within %i executions', (verdict, name, within) => {
    expect(sample(program(name), within).violation?.kind).toBe(verdict);
  });

  it.each([
    ['spin', 'livelock'],
    ['polite', 'livelock'],
    ['sulking', 'livelock'],
    ['skipped', 'starvation'],
    ['barging', 'starvation'],
    ['server', undefined],
    ['peterson', undefined],
  ])('the search over states looks at every loop: program %s, %s', (name, verdict) => {
    const target = programTarget(module, { name, prefix: `${name}_`, stepLimit: 5000, frozenClock: true });
    const found = exploreStates(target, { states: 10_000, depth: 5000, bytes: 1 << 20, stop: () => false });
    expect([found.violation?.kind, found.complete]).toEqual([verdict, verdict === undefined]);
  });

  // In every execution, whatever its order: nothing has to deadlock for it.
  it.each(['order', 'sameclass', 'reader', 'undertry', 'grace', 'atomic'])(
    "locking: program %s breaks a rule of lockdep's, seen in the first execution of each strategy",
    (name) => {
      for (const strategy of ['random', 'pct', 'pos', 'surw', 'preemptions', 'dpor'])
        expect(sample(program(name), 1, strategy).violation?.kind).toBe('locking');
    },
  );

  it('no locking where both threads only try the second lock', () => {
    expect(sample(program('trylocks'), 200)).toMatchObject({ verdict: 'no-violation', executions: 200 });
  });

  it('no data-race where an atomic hands the word over', () => {
    expect(sample(program('handed'), 200)).toMatchObject({ verdict: 'no-violation', executions: 200 });
  });

  it.each(['global', 'hidden'])(
    'program %s, which counts its executions in a variable of the module, is found not to come again',
    (name) => {
      const { verdict, nondeterminism, executions } = sample(program(name), 1000);
      expect({ verdict, executions }).toEqual({ verdict: 'inconclusive', executions: 1 });
      expect(nondeterminism).toMatch(/^execution 0 did not come again .*: step \d: thread0: .* the second$/);
    },
  );

  it('no livelock where threads go round for ever and each gets on in every round', () => {
    const target = programTarget(module, { name: 'server', prefix: 'server_', stepLimit: 20_000 });
    expect(sample(target, 50)).toMatchObject({ verdict: 'no-violation', executions: 50, stepLimitHits: 0 });
  });

  it('step-limit: executions that do not end are counted, and make the result inconclusive', () => {
    expect(sample(program('endless'), 2)).toMatchObject({ verdict: 'inconclusive', stepLimitHits: 2 });
  });

  it('covers every oracle and every verdict of its own', () => {
    const planted = [...SCENARIOS, ...PROGRAMS].map(([verdict]) => verdict);
    expect(new Set([...planted, 'step-limit'])).toEqual(new Set([...ORACLES, ...OWN_VERDICTS]));
  });
});

describe('a program whose accesses the scheduler would not see', () => {
  it('is refused with file, line and column', async () => {
    const file = written('raw.ts', 'export function thread0(): void {\n  store<u32>(65672, 1);\n}\n');
    await expect(compileProgram(file)).rejects.toThrow(/raw\.ts:2:3: store<u32>: the scheduler does not see this/);
  });

  it('is refused, too, when a file that it imports has them', async () => {
    written('helper.ts', 'export function add(): void { atomic.add<u32>(65672, 1); }\n');
    const file = written('main.ts', "import { add } from './helper';\nexport function thread0(): void { add(); }\n");
    await expect(compileProgram(file)).rejects.toThrow(/helper\.ts:1:31: atomic\.add/);
  });

  it.each([
    'load<u8>(p)',
    'atomic.fence()',
    'memory.copy(a, b, 8)',
    'i64.atomic.rmw.add(p, 1)',
    'u32.load(p)',
    'memory.atomic.wait32(p, 0, 1)',
  ])('%s is one', (text) => expect(firstRawAccess(`// a\n  ${text};`)).toMatchObject({ line: 2, column: 3 }));

  it.each([
    '// load<u32>(p)',
    '/* atomic.add */',
    "'memory.fill'",
    'load32(p)',
    'queue.load<u32>(p)',
    'if (load < 3 && x > (y)) {}',
    'i32.MAX_VALUE',
  ])('%s is none', (text) => expect(firstRawAccess(text)).toBeUndefined());
});
