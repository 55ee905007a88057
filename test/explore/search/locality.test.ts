// Steps that touch nothing shared are not branched at: that leaves no state out in which the threads can end.
import { describe, expect, it } from 'vitest';
import { POINT_ATOMIC_LOAD, POINT_ATOMIC_STORE, POINT_FUTEX_WAIT, POINT_RELAX } from '#src/kernel/abi/point.js';
import type { Scenario } from '#src/explore/scenario.js';
import { scenarioTarget } from '#src/explore/scenario-target.js';
import { SCENARIOS } from '#src/explore/scenarios/index.js';
import { exploreStates } from '#src/explore/search/explore-states.js';
import { DepthFirst } from '#src/explore/search/depth-first.js';
import { Locality, probeLocality } from '#src/explore/search/locality.js';
import type { SearchMachine } from '#src/explore/search/machine.js';
import { type SavedState, StateMachine } from '#src/explore/search/state-machine.js';
import type { View } from '#src/explore/strategy.js';
import { VisitedSet } from '#src/explore/visited.js';

const named = (name: string): Scenario => SCENARIOS.find((scenario) => scenario.name === name)!;

/** A machine that tells the hashes of the states in which nobody is left. */
class Ends extends StateMachine {
  readonly hashes = new Set<string>();

  override atRest(): ReturnType<StateMachine['atRest']> {
    this.hashes.add(this.memoryHash);
    return super.atRest();
  }
}

/** `guess`: which shared words are taken to be touched in order at first; the search finds out where that is wrong. */
function search(
  scenario: Scenario,
  guess: 'none' | 'probed' | 'all' | 'unreduced',
): { states: number; ends: Set<string> } {
  const target = scenarioTarget(scenario, { frozenClock: true, stepLimit: 5000, points: 'sync' });
  const locality = guess === 'unreduced' ? undefined : probeLocality(target);
  for (const word of guess === 'none' ? (locality?.ordered() ?? []) : []) locality!.setShared(word);
  for (const word of guess === 'all' ? (locality?.shared() ?? []) : []) locality!.setOrdered(word);
  if (locality !== undefined) locality.changed = false;
  const machine = new Ends(target, locality);
  for (;;) {
    const limits = { states: 1e7, depth: 5000, stop: () => false };
    const found = new DepthFirst(machine, VisitedSet.growing(2 ** 28), limits);
    found.run(Infinity);
    expect(found.result()).toMatchObject({ complete: true });
    if (locality?.changed !== true) return { states: found.result().states, ends: machine.hashes };
    locality.changed = false;
    machine.hashes.clear();
    machine.release();
  }
}

describe('the search that does not branch at local steps', () => {
  it.each(['allocate-same', 'allocate-allocate', 'convert-fault', 'bind-punch'])(
    '%s: ends in the same states, and sees fewer on the way',
    (name) => {
      const [whole, reduced, probed] = (['unreduced', 'none', 'probed'] as const).map((guess) =>
        search(named(name), guess),
      );
      const ends = [...whole!.ends].toSorted();
      for (const { ends: same } of [reduced!, probed!]) expect([...same].toSorted()).toEqual(ends);
      expect(whole!.ends.size).toBeGreaterThan(1);
      expect(reduced!.states).toBeLessThan(whole!.states);
      expect(probed!.states).toBeLessThanOrEqual(reduced!.states);
    },
  );

  it.each(['allocate-allocate', 'convert-fault'])(
    '%s: ends in the same states, however wrong the first guess is which words are touched in order',
    (name) => {
      const [probed, wrong] = [search(named(name), 'probed'), search(named(name), 'all')];
      expect([...wrong.ends].toSorted()).toEqual([...probed.ends].toSorted());
    },
  );

  it.each([
    ['fault-punch-hole', 'no-retry-check', 'stale-mapping'],
    ['convert-punch', 'B08', 'host-page'],
    ['punch-punch', 'lose-page', 'conservation'],
  ])('%s: finds %s all the same', (name, variant, kind) => {
    const target = scenarioTarget({ ...named(name), variants: [variant] }, { frozenClock: true, stepLimit: 5000 });
    const limits = { states: 1e6, depth: 5000, bytes: 2 ** 26, stop: () => false };
    expect(exploreStates(target, limits).violation?.kind).toBe(kind);
  });
});

/** The same machine with its two threads counted the other way round, so that a search tries them in the other order. */
function mirrored(machine: StateMachine): SearchMachine<SavedState> {
  const swap = (mask: number): number => ((mask & 1) << 1) | ((mask >> 1) & 1);
  return {
    enabled: () => swap(machine.enabled()),
    unfinished: () => swap(machine.unfinished()),
    localStep: () => (machine.localStep() < 0 ? -1 : 1 - machine.localStep()),
    step: (thread, answers, onward) => machine.step(1 - thread, answers, onward),
    get steps() {
      return machine.steps;
    },
    get progressed() {
      return machine.progressed;
    },
    get answers() {
      return machine.answers;
    },
    nextAnswers: () => machine.nextAnswers(),
    atRest: () => machine.atRest(),
    mark: () => machine.mark(),
    back: (mark) => machine.back(mark),
    save: () => machine.save(),
    restore: (saved) => machine.restore(saved),
    get hashLow() {
      return machine.hashLow;
    },
    get hashHigh() {
      return machine.hashHigh;
    },
  };
}

describe('the states that are seen', () => {
  // A fault that is told to retry again and again: how often must tell no states apart.
  it.each(['bind-punch', 'convert-fault', 'mapped-punch-hole'])(
    '%s: are the same whichever thread is tried first',
    (name) => {
      const target = scenarioTarget(named(name), { frozenClock: true, stepLimit: 5000, points: 'sync' });
      const locality = probeLocality(target);
      const machine = new StateMachine(target, locality);
      const seen = (each: SearchMachine<SavedState>): [transitions: number, hashes: Set<string>] => {
        for (;;) {
          const hashes = new Set<string>();
          const visited = VisitedSet.create(2 ** 23);
          const insert = visited.insert.bind(visited);
          visited.insert = (low, high, word) => {
            hashes.add(`${low}:${high}`);
            return insert(low, high, word);
          };
          const found = new DepthFirst(each, visited, { states: 1e7, depth: 5000, stop: () => false });
          found.run(Infinity);
          expect(found.result()).toMatchObject({ complete: true });
          machine.release();
          if (!locality.changed) return [found.result().transitions, hashes];
          locality.changed = false;
        }
      };
      const [forward, backward] = [seen(machine), seen(mirrored(machine))];
      expect(backward[0]).toBe(forward[0]);
      expect([...backward[1]].toSorted()).toEqual([...forward[1]].toSorted());
      expect(forward[1].size).toBeGreaterThan(1000);
    },
  );
});

describe('a word', () => {
  interface Step {
    kind?: number;
    address?: number;
    writes?: boolean;
  }
  const view = ({ kind = POINT_ATOMIC_LOAD, address = 64, writes = false }: Step): View =>
    ({
      kind: () => kind,
      address: () => address,
      bytes: () => 4,
      low: () => 0,
      writes: () => writes,
    }) as unknown as View;
  const write: Step = { kind: POINT_ATOMIC_STORE, writes: true };
  const read: Step = {};

  it('is local while one thread touches it, or nobody writes it', () => {
    const locality = new Locality(256);
    locality.note(view(read), 0);
    locality.note(view(read), 1);
    expect([0, 1, 2].map((thread) => locality.isLocal(view(read), thread))).toEqual([true, true, true]);
    expect(locality.isLocal(view(write), 0)).toBe(false);
    locality.note(view({ ...write, address: 128 }), 1);
    expect(locality.isLocal(view({ ...write, address: 128 }), 1)).toBe(true);
    expect(locality.isLocal(view({ address: 128 }), 0)).toBe(false);
    expect(locality.changed).toBe(false);
  });

  it.each([
    [
      [write, 0],
      [read, 1],
    ],
    [
      [read, 0],
      [write, 1],
    ],
    [
      [write, 0],
      [write, 1],
    ],
  ] as [Step, number][][])('is shared once two threads have met at it', (...steps) => {
    const locality = new Locality(256);
    for (const [step, thread] of steps) locality.note(view(step), thread);
    expect(locality.changed).toBe(true);
    for (const thread of [0, 1]) expect(locality.isLocal(view(read), thread)).toBe(false);
  });

  it('is not local to write while another thread spins, and sleeping or turning a loop never is', () => {
    const locality = new Locality(256);
    locality.note(view({ kind: POINT_RELAX, address: 0 }), 1);
    expect(locality.changed).toBe(true);
    expect([0, 1].map((thread) => locality.isLocal(view(write), thread))).toEqual([false, true]);
    expect(locality.isLocal(view(read), 0)).toBe(true);
    for (const kind of [0, POINT_RELAX, POINT_FUTEX_WAIT]) expect(locality.isLocal(view({ kind }), 0)).toBe(false);
  });
});
