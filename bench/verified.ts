// docs/verified.md from the rows that bench/verify.ts has measured.
/** What the search over states saw. */
export interface StatesRow {
  complete: boolean;
  states: number;
  transitions: number;
  tookMs: number;
  violation?: string;
}

export interface LockRow extends StatesRow {
  name: string;
  claim: string;
  threads: number;
}

/** The search over states is left out for what the samplers have seen failing. */
export interface ScenarioRow extends Partial<StatesRow> {
  name: string;
  about: string;
  protocol: string;
  /** How locks were explored when that is not every step of theirs. */
  locks?: 'abstract';
  /** Executions of the samplers. */
  samples: number;
  /** Up to so many preemptions every schedule was seen; -1: not even without any. */
  preemptions: number;
  schedules: number;
}

const seconds = (ms: number): string => `${(ms / 1000).toFixed(ms < 9950 ? 1 : 0)} s`;
const whole = (value: number): string => value.toLocaleString('en-US');

function statesCells({ states, transitions, tookMs }: StatesRow): string {
  return `${whole(states)} | ${whole(transitions)} | ${seconds(tookMs)}`;
}

function lockLine(row: LockRow): string {
  const result = row.violation !== undefined ? '**fails**' : row.complete ? 'proved' : 'no violation, not all seen';
  return `| \`${row.name}\` | ${row.claim} | ${row.threads} | ${result} | ${statesCells(row)} |`;
}

function scenarioLine(row: ScenarioRow): string {
  const { states = 0, transitions = 0, tookMs = 0, complete = false } = row;
  const cells = states === 0 ? ' | | ' : statesCells({ states, transitions, tookMs, complete });
  return `| \`${row.name}\` | ${row.about} | ${scenarioResult(row)} | ${cells} |`;
}

function scenarioResult({ violation, complete, locks, samples, preemptions, schedules }: ScenarioRow): string {
  if (violation !== undefined) return violation;
  if (complete === true) return locks === 'abstract' ? 'proved, locks as one step' : 'proved';
  const bound =
    preemptions < 0 ? '' : `, none in the ${whole(schedules)} schedules with up to ${preemptions} preemptions`;
  return `no violation in ${whole(samples)} samples${bound}; not all states seen`;
}

/** What was verified, by the page's sections. */
export interface Verified {
  locks: readonly LockRow[];
  allocator: readonly ScenarioRow[];
  v8: readonly ScenarioRow[];
  v7: readonly ScenarioRow[];
}

/** The whole page. */
export function verifiedText({ locks, allocator, v8, v7 }: Verified): string {
  const head = [
    '| scenario | what may go wrong | result | states | transitions | time |',
    '| --- | --- | --- | --- | --- | --- |',
  ];
  return [
    '# What was verified, and how far',
    '',
    '<!-- Written by `npm run verify`. -->',
    '',
    '## Locks',
    'Every state of a small program over the lock, each atomic operation a step of its own, by the search over states (`explore --strategy states`). *Proved*: every',
    'interleaving of these threads was covered, sleeps and wake-ups included, and none breaks the promise, deadlocks, loses a wake-up, or goes round for ever under a fair scheduler',
    '(plain accesses to words that race are points, too). The programs are in `bench/proofs.ts`;',
    '`npm run verify -- NAME` runs one again.',
    '',
    '| program | promise | threads | result | states | transitions | time |',
    '| --- | --- | --- | --- | --- | --- | --- |',
    ...locks.map(lockLine),
    '',
    '## The page allocator',
    'Scenarios of the whole kernel, explored in the same way: partitions, free lists, 2M folios, and the page cache above them.',
    '',
    ...head,
    ...allocator.map(scenarioLine),
    '',
    '## The protocol, RFC v8',
    'Whole scenarios of the kernel, every oracle on and the state audited at the end of every interleaving. *Proved*: all of them, at every atomic operation and every sleep. Where',
    'the states are too many for the time, *locks as one step*: all interleavings of locks that keep their promise (above), in any order of arrival (`--locks abstract`, explore.md).',
    'Where those are too many, too: every schedule with few preemptions, beside samples.',
    '',
    ...head,
    ...v8.map(scenarioLine),
    '',
    '## The protocol, RFC v7 (without the patch)',
    ...head,
    ...v7.map(scenarioLine),
    '',
    '## Weaknesses of the RFC that are shown as violations',
    '- Unbinding without invalidation (RFC v7, B01) and the release through the wrong mapping (B02): [bugs/B01.md](bugs/B01.md), [bugs/B02.md](bugs/B02.md).',
    '- The hook runs outside kvm->srcu and mmu_lock (B08). As posted, an update of the attributes makes a page private again between hook and free: [bugs/B08.md](bugs/B08.md). With',
    '  the assignment under mmu_lock and refused while an invalidation is open over the gfn, as `rfc-v8` does it here, `convert-punch` finds nothing within the bound above. The memslot that',
    '  the hook reads stays alive by restrictedmem.lock alone: every caller of begin has to hold it.',
    '- The last page of an inclusive range (B05): [bugs/B05.md](bugs/B05.md). As posted, a hole that is one page too long (B04) hides it, except where the hole ends with its memslot:',
    '  there the last page stays mapped with no race at all (`test/explore/proofs/protocol.test.ts`). All of them: [bugs/README.md](bugs/README.md).',
    "- The hook and a vCPU's PSMASH of the same 2M page, which nothing keeps apart either (B08 again): `hook-psmash`, `hook-psmash-follower` and `hook-psmash-2m` pass, see above. Who splits second",
    '  finds the entry split; whether a page is assigned is read from the head first (a follower says nothing before the split); a 2M entry that is split under the hook is given back page by page.',
    '- What rests on reading the code alone, shown as a violation when it is brought back: B07, B09, B13, B61. B06 and B11 are out of reach, for the reasons in [bugs/README.md](bugs/README.md).',
    '',
  ].join('\n');
}
