// The protocol's meetings, each explored as far as ends within seconds: with RFC v8 nothing fails, without the patch (v7) and with its posted mistakes the
// failure is the one that the patch and its review speak of. Larger bounds: docs/verified.md.
import { describe, expect, it } from 'vitest';
import { scenarioOf } from '#src/catalogue/bug.js';
import { BUGS } from '#src/catalogue/index.js';
import { explore, type ExploreResult } from '#src/explore/explore.js';
import type { Operation, Scenario } from '#src/explore/scenario.js';
import { scenarioTarget } from '#src/explore/scenario-target.js';
import { PROTOCOL_SCENARIOS } from '#src/explore/scenarios/protocol.js';
import { exploreStates } from '#src/explore/search/explore-states.js';
import { Dpor } from '#src/explore/strategies/dpor.js';
import { strategyNamed } from '#src/explore/strategies/named.js';
import { PreemptionBounding } from '#src/explore/strategies/preemption-bounding.js';

/** Every schedule with so many preemptions is seen here. A deleted memslot walks whole page tables: those executions have thousands of steps. */
const PREEMPTIONS: Record<string, number> = {
  'fault-punch-hole': 1,
  'mapped-punch-hole': 1,
  'punch-punch': 1,
  'unbind-fault': 1,
  'bind-fault': 1,
  'bind-punch': 1,
  'convert-fault': 2,
  'convert-punch': 1,
};
/** The others: so many executions of the samplers. */
const SAMPLES = 60;

const named = (name: string): Scenario => PROTOCOL_SCENARIOS.find((scenario) => scenario.name === name)!;
const every = (scenario: Scenario, preemptions: number): ExploreResult =>
  explore(scenarioTarget(scenario), new PreemptionBounding(preemptions), { executions: 20_000, seed: 1 });
const sample = (scenario: Scenario, executions: number): ExploreResult =>
  explore(scenarioTarget(scenario), strategyNamed('portfolio'), { executions, seed: 1 });

const proof = (scenario: Scenario): ExploreResult =>
  exploreStates(
    scenarioTarget({ ...scenario, protocol: 'guest-memfd' }, { frozenClock: true, stepLimit: 5000, points: 'sync' }),
    {
      states: 100_000,
      depth: 5000,
      bytes: 2 ** 28,
      stop: () => false,
    },
  );

describe('RFC v8', () => {
  it.each(Object.entries(PREEMPTIONS))('%s: no schedule with up to %i preemptions fails', (name, preemptions) => {
    const result = every(named(name), preemptions);
    // Within a bound is not everything, and it is not called that.
    expect(result).toMatchObject({ verdict: 'no-violation', exhausted: true, complete: false, stepLimitHits: 0 });
    expect(result.executions).toBeGreaterThan(50);
  });

  it.each(['hook-psmash', 'hook-psmash-follower'])('%s: none of the traces fails', (name) => {
    const result = explore(scenarioTarget(named(name)), new Dpor(), { executions: 5000, seed: 1 });
    expect(result).toMatchObject({ verdict: 'no-violation', exhausted: true });
  });

  it.each(['undo-fault', 'reclaim-write'])('%s: no schedule with a preemption fails', (name) => {
    expect(every(named(name), 1)).toMatchObject({ verdict: 'no-violation', exhausted: true, stepLimitHits: 0 });
  });

  it.each(PROTOCOL_SCENARIOS.filter(({ name }) => !(name in PREEMPTIONS)))('$name: no sample fails', (scenario) => {
    expect(sample(scenario, SAMPLES)).toMatchObject({ verdict: 'no-violation', executions: SAMPLES, stepLimitHits: 0 });
  });
});

describe('guest-memfd', () => {
  // A hole punch excludes every other change of the file: two of them have few interleavings.
  it.each(['punch-punch', 'bind-punch'])('%s: no interleaving fails', (name) => {
    expect(proof(named(name))).toMatchObject({ verdict: 'no-violation', complete: true });
  });

  const bound = named('convert-fault');
  const fault: Operation = { op: 'touch', vm: 'guest', gfn: 9, write: true, value: 3 };
  const close: Operation = { op: 'close-file', file: 'memory' };

  it('a file is released while a vCPU faults in it: whoever holds the last reference, every page goes back', () => {
    const threads = { close: [close], fault: [fault] };
    expect(sample({ ...bound, protocol: 'guest-memfd', threads }, 300)).toMatchObject({ verdict: 'no-violation' });
  });

  it('two tasks drop the last two references: the first does not look at the file any more, whoever releases it', () => {
    const setup: Operation[] = [{ op: 'open-file', file: 'memory' }];
    const threads = { one: [close], other: [close] };
    for (const protocol of ['rfc-v8', 'guest-memfd'] as const) {
      // The look at the file is a plain one.
      const target = scenarioTarget({ ...bound, setup, threads, protocol }, { points: 'all' });
      const result = explore(target, strategyNamed('portfolio'), { executions: 200, seed: 1 });
      expect(result, result.violation?.message).toMatchObject({ verdict: 'no-violation' });
    }
  });

  it('a file is released while its memslot goes and another one is bound to it: no binding outlives a memslot', () => {
    const rebind = bound.setup![0]!;
    const threads = { close: [close], rebind: [{ op: 'delete-slot', vm: 'guest', slot: 0 } as const, rebind] };
    expect(sample({ ...bound, protocol: 'guest-memfd', threads }, 100)).toMatchObject({ verdict: 'no-violation' });
  });
});

describe('RFC v7, without the patch', () => {
  it('fails in every meeting that takes pages away from a guest that has them, and in no other', () => {
    const fails = PROTOCOL_SCENARIOS.filter(
      (scenario) => sample({ ...scenario, protocol: 'rfc-v7' }, 40).violation !== undefined,
    );
    const holds = PROTOCOL_SCENARIOS.filter((scenario) => !fails.includes(scenario)).map(({ name }) => name);
    expect(holds).toEqual(['bind-fault', 'bind-punch', 'move-discard', 'convert-fault', 'undo-fault', 'reclaim-write']);
  });

  it('unbinding leaves assigned pages, which the release of the file gives back to the host (B01)', () => {
    const { violation } = sample({ ...named('punch-release'), protocol: 'rfc-v7' }, 100);
    expect(violation?.kind).toBe('host-page');
  });

  it('release looks through the wrong mapping and does not find what creation made (B02)', () => {
    const scenario = scenarioOf(
      BUGS.find(({ id }) => id === 'B02')!,
      false,
    );
    expect(sample(scenario, 20).verdict).toBe('no-violation');
    expect(sample({ ...scenario, protocol: 'rfc-v7' }, 20).violation?.kind).toBe('kernel-bug');
  });
});

describe('RFC v8 as posted', () => {
  const hole = (gfn: number, start: number): Scenario => ({
    ...named('mapped-punch-hole'),
    setup: [...named('mapped-punch-hole').setup!.slice(0, 2), { op: 'touch', vm: 'guest', gfn, write: true, value: 7 }],
    threads: { punch: [{ op: 'punch-hole', file: 'memory', start, pages: 2 }] },
  });

  it("the last page of a hole at the memslot's end stays mapped, without any race (B05)", () => {
    expect(every(hole(11, 2), 0)).toMatchObject({ verdict: 'no-violation', exhausted: true });
    expect(every({ ...hole(11, 2), variants: ['as-posted'] }, 0).violation?.kind).toBe('stale-mapping');
  });

  it('elsewhere the hole that is one page too long (B04) hides that its last page is left out (B05)', () => {
    expect(every({ ...hole(9, 0), variants: ['B05'] }, 0).violation?.kind).toBe('stale-mapping');
    expect(every({ ...hole(9, 0), variants: ['B04', 'B05'] }, 0).verdict).toBe('no-violation');
  });

  it('an attribute update assigns a page again behind the hook, with one preemption (B08)', () => {
    const scenario = { ...named('convert-punch'), variants: ['B08'] };
    expect(every(scenario, 0)).toMatchObject({ verdict: 'no-violation', exhausted: true });
    expect(every(scenario, 1).violation).toMatchObject({ kind: 'host-page', preemptions: 1 });
  });
});
