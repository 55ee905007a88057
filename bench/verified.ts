// docs/verified.md from the rows that bench/verify.ts has measured.
export interface LockRow {
  name: string;
  claim: string;
  threads: number;
  verdict: string;
  complete: boolean;
  states: number;
  transitions: number;
  tookMs: number;
}

export interface ScenarioRow {
  name: string;
  about: string;
  protocol: string;
  /** Executions of the samplers. */
  samples: number;
  /** Up to so many preemptions every schedule was seen; -1: not even without any. */
  preemptions: number;
  schedules: number;
  tookMs: number;
  violation?: string;
}

const seconds = (ms: number): string => `${(ms / 1000).toFixed(ms < 9950 ? 1 : 0)} s`;
const whole = (value: number): string => value.toLocaleString('en-US');

function lockLine({ name, claim, threads, verdict, complete, states, transitions, tookMs }: LockRow): string {
  const result = verdict === 'violation' ? '**fails**' : complete ? 'proved' : 'no violation, not all seen';
  return `| \`${name}\` | ${claim} | ${threads} | ${result} | ${whole(states)} | ${whole(transitions)} | ${seconds(tookMs)} |`;
}

function scenarioLine({ name, about, samples, preemptions, schedules, violation }: ScenarioRow): string {
  const bound = preemptions < 0 ? 'none whole' : `all with up to ${preemptions} preemptions (${whole(schedules)})`;
  const result = violation === undefined ? `none in ${whole(samples)} samples` : violation;
  return `| \`${name}\` | ${about} | ${result} | ${violation === undefined ? bound : ''} |`;
}

/** The whole page. */
export function verifiedText(locks: readonly LockRow[], scenarios: readonly ScenarioRow[]): string {
  const of = (protocol: string): string[] => scenarios.filter((row) => row.protocol === protocol).map(scenarioLine);
  const head = ['| scenario | what may go wrong | violation | schedules seen |', '| --- | --- | --- | --- |'];
  return [
    '# What was verified, and how far',
    '',
    '<!-- Written by `npm run verify`. -->',
    '',
    '## Locks',
    'Every state of a small program over the lock, at the granularity of single atomic operations, by the search over states (`explore --strategy states`). *Proved*: every',
    'interleaving of these threads was covered, sleeps and wake-ups included, and none breaks the promise, deadlocks or loses a wake-up. The programs are in `bench/proofs.ts`;',
    '`npm run verify -- NAME` runs one again.',
    '',
    '| program | promise | threads | result | states | transitions | time |',
    '| --- | --- | --- | --- | --- | --- | --- |',
    ...locks.map(lockLine),
    '',
    '## The protocol, RFC v8',
    'Whole scenarios of the kernel, every oracle on and the state audited at the end. They are too large to see every interleaving: samples, and every schedule with few preemptions.',
    '',
    ...head,
    ...of('rfc-v8'),
    '',
    '## The protocol, RFC v7 (without the patch)',
    ...head,
    ...of('rfc-v7'),
    '',
    '## Weaknesses of the RFC that are shown as violations',
    '- Unbinding without invalidation (RFC v7, B01) and the release through the wrong mapping (B02): [bugs/B01.md](bugs/B01.md), [bugs/B02.md](bugs/B02.md).',
    '- The hook runs outside kvm->srcu and mmu_lock (B08). As posted, an update of the attributes makes a page private again between hook and free: [bugs/B08.md](bugs/B08.md). With',
    '  the assignment under mmu_lock and refused while an invalidation is open over the gfn, as `rfc-v8` does it here, `convert-punch` finds nothing within the bound above. The memslot that',
    '  the hook reads stays alive by restrictedmem.lock alone: every caller of begin has to hold it.',
    '- The last page of an inclusive range (B05): [bugs/B05.md](bugs/B05.md). As posted, a hole that is one page too long (B04) hides it, except where the hole ends with its memslot:',
    '  there the last page stays mapped with no race at all (`test/explore/proofs/protocol.test.ts`). All of them: [bugs/README.md](bugs/README.md).',
    "- The hook and a vCPU's PSMASH of the same 2M page, which nothing keeps apart either (B08 again): `hook-psmash` passes. Source-DPOR runs out of traces after 152; it is",
    '  no proof, because the retries of RMPUPDATE are a spin loop. Who splits second finds the entry split, and RMPUPDATE and PSMASH try again while the other one works on it.',
    '- What rests on reading the code alone, shown as a violation when it is brought back: B07, B09, B13, B61. B06 and B11 are out of reach, for the reasons in [bugs/README.md](bugs/README.md).',
    '',
  ].join('\n');
}
