// What a second thread is worth to the explorer: the search over states with one visited set for all, and sampling in batches. Starting the threads is not
// counted, nor are sampling threads before their code is hot: that takes a second or two, whatever they do then.
import { exploreOnPool } from '../../src/explore/pool.js';
import { scenarioTarget } from '../../src/explore/scenario-target.js';
import { SCENARIOS } from '../../src/explore/scenarios/index.js';
import { searchOnPool } from '../../src/explore/search/search-pool.js';
import { wholeSearch } from '../../src/explore/search/search-result.js';
import { nowNs } from '../../src/host/clock.js';
import type { Runner } from '../runner.js';
import { estimate, pairedRatio } from '../../src/host/samples.js';
import type { Timing } from '../timing.js';

const LOADER = new URL('../../src/cli/target.js', import.meta.url).href;
/** Locks as one step: a search of some seconds, of which the beginning is a small part. */
const STATES = { frozenClock: true, stepLimit: 20_000, locks: 'abstract' } as const;
/** Few rounds: a sample takes seconds. */
const SHARE = 0.15;
const BATCH = 500;

export async function search(runner: Runner): Promise<void> {
  await states(runner);
  await samples(runner);
}

async function states(runner: Runner): Promise<void> {
  const name = runner.effort === 'full' ? 'punch-unbind' : 'convert-fault';
  const target = scenarioTarget(
    SCENARIOS.find((each) => each.name === name)!,
    STATES,
  );
  // The first one learns what is shared, so that none of those that are measured begins anew.
  const learned = (await searchWith(1, wholeSearch(target))).rest;
  const start = { ...learned, parts: [{ weight: 1, ways: [] }], transitions: 0, executions: 0, deepest: 0 };
  const { found } = await searchWith(2, start);
  const run = (workers: number) => async (): Promise<Timing> => {
    const { found: again, searchNs } = await searchWith(workers, start);
    return { ns: searchNs, waitedNs: 0, value: again.complete ? again.states : -1 };
  };
  const benchmark = (workers: number) => ({
    name: `search/a transition on ${workers} ${workers === 1 ? 'thread' : 'threads'}, ${name}`,
    operations: found.transitions,
    expected: found.states,
    run: run(workers),
  });
  const [one, two] = await runner.group([benchmark(1), benchmark(2)], SHARE);
  const perSecond = two!.samples.map((ns) => 1e9 / ns);
  runner.atLeast('transitions a second of the search over states, two threads', 1e6, estimate(perSecond), '/s');
  runner.atLeast('search over states, two threads against one', 1.8, pairedRatio(one!.samples, two!.samples));

  function searchWith(workers: number, from: ReturnType<typeof wholeSearch>): ReturnType<typeof searchOnPool> {
    const job = { loader: LOADER, what: name, target: STATES, overrides: {} };
    const limits = { workers, states: Infinity, depth: STATES.stepLimit, bytes: 1 << 28 };
    return searchOnPool(job, from, { ...limits, over: () => false, progress: () => {} });
  }
}

async function samples(runner: Runner): Promise<void> {
  const batches = runner.count(80, 8, 4);
  const job = { loader: LOADER, what: 'punch-punch', target: {}, overrides: {}, strategy: 'random', seed: 1 };
  const run = (workers: number) => async (): Promise<Timing> => {
    // From when a third is done: until then each thread compiles its own hot code, which costs two threads as much as one.
    let [since, before] = [0, 0];
    let last = 0;
    const progress = (done: number): void => {
      last = nowNs();
      if (since === 0 && done >= Math.max(workers, batches / 3) * BATCH) [since, before] = [last, done];
    };
    const limits = { workers, executions: batches * BATCH, over: () => false, progress };
    const { executions } = await exploreOnPool(job, limits);
    return { ns: ((last - since) / (executions - before)) * executions, waitedNs: 0, value: executions };
  };
  const benchmark = (workers: number) => ({
    name: `search/an execution on ${workers} ${workers === 1 ? 'thread' : 'threads'}, punch-punch`,
    operations: batches * BATCH,
    expected: batches * BATCH,
    run: run(workers),
  });
  const [one, two] = await runner.group([benchmark(1), benchmark(2)], SHARE);
  runner.atLeast('sampling, two threads against one', 1.8, pairedRatio(one!.samples, two!.samples));
}
