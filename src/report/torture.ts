// The report of a torture run as text: operations, locks, pages, violations, verdict.
import type { TortureResult } from '../torture/run.js';
import { leftTable, showCount, showNs, showShare, table } from './units.js';

/** A task in the details of a violation of progress: see the host's supervisor. */
interface TaskLine {
  task: string;
  alive: boolean;
  waits: string | null;
  holds: string[];
}

/** The whole report, ending in a line SUCCESS or FAILURE. */
export function tortureText(result: TortureResult): string {
  const parts = [
    header(result),
    operations(result),
    locks(result),
    pages(result),
    trouble(result),
    violations(result),
    verdict(result),
  ];
  return `${parts.filter((part) => part !== '').join('\n\n')}\n`;
}

function header(result: TortureResult): string {
  const { environment: env } = result;
  return [
    `rmptorture torture: ${many(result.guests, 'guest')}, ${many(result.workers, 'thread')}, ${(result.durationMs / 1000).toFixed(1)} s, build ${result.build}, protocol ${result.protocol}, hook ${result.hook}`,
    `seed ${result.seed}; again: ${result.again}`,
    machine(env),
  ].join('\n');
}

function many(count: number, what: string): string {
  return `${count} ${what}${count === 1 ? '' : 's'}`;
}

function machine(env: TortureResult['environment']): string {
  const waited =
    env.runDelayShare === undefined
      ? ''
      : `, a thread waited up to ${showShare(env.runDelayShare)} of its time for a CPU`;
  return `${env.cpu}, ${env.cores} cores, Linux ${env.kernel}, Node ${env.node}, load before ${env.loadAverage}${waited}`;
}

function operations(result: TortureResult): string {
  const open = Object.values(result.operations).some(({ serviceNs }) => serviceNs !== undefined);
  const service = open ? ['service p50', 'service p99'] : [];
  const rows = [['operation', 'count', 'per second', 'p50', 'p99', 'max', ...service, 'errors']];
  for (const [name, op] of Object.entries(result.operations)) {
    const errors = Object.entries(op.errors)
      .map(([errno, count]) => `${errno} ${showCount(count)}`)
      .join(', ');
    const { p50, p99, max } = op.latencyNs;
    rows.push([
      name,
      showCount(op.count),
      showCount(op.ratePerSecond),
      showNs(p50),
      showNs(p99),
      showNs(max),
      ...(open ? [showNs(op.serviceNs?.p50 ?? NaN), showNs(op.serviceNs?.p99 ?? NaN)] : []),
      errors || '-',
    ]);
  }
  return table(rows);
}

function locks(result: TortureResult): string {
  const entries = Object.entries(result.locks).filter(([, lock]) => lock.acquisitions > 0);
  if (entries.length === 0) return '';
  const rows = [['lock class', 'acquired', 'contended', 'wait total', 'wait p50', 'wait p99', 'wait max', 'hold p99']];
  for (const [name, lock] of entries.toSorted(([, a], [, b]) => b.contended - a.contended).slice(0, 12)) {
    rows.push([
      name,
      showCount(lock.acquisitions),
      showCount(lock.contended),
      showNs(lock.waitNs.mean * lock.waitNs.samples),
      showNs(lock.waitNs.p50),
      showNs(lock.waitNs.p99),
      showNs(lock.waitNs.max),
      showNs(lock.holdNs.p99),
    ]);
  }
  return table(rows);
}

function pages(result: TortureResult): string {
  const row = (name: string, at: TortureResult['pages']): string[] => [
    name,
    ...[at.total, at.free, at.allocated, at.assigned, at.leaked].map(String),
  ];
  return table([
    ['pages', 'total', 'free', 'allocated', 'assigned', 'leaked'],
    row('before', result.pagesBefore),
    row('after', result.pages),
  ]);
}

/** What the build did to the run on purpose: only what came about. */
function trouble({ perturbation }: TortureResult): string {
  if (perturbation === undefined) return '';
  const { victims, injected } = perturbation;
  const { longHolds, pauses, allocationFailures, slowHooks, slowIpis, leaves } = injected;
  const counts: [number, string][] = [
    [longHolds, 'long holds'],
    [pauses, 'pauses'],
    [allocationFailures, 'allocation failures'],
    [slowHooks, 'slow hooks'],
    [slowIpis, 'late IPIs'],
    [leaves, 'threads that left'],
  ];
  const happened = counts.filter(([count]) => count > 0).map(([count, what]) => `${showCount(count)} ${what}`);
  const who = victims.length === 0 ? '' : `; victims: ${victims.join(', ')}`;
  return `injected: ${happened.length === 0 ? 'nothing' : happened.join(', ')}${who}`;
}

function violations(result: TortureResult): string {
  if (result.violations.length === 0) return [...invariants(result), 'violations: none'].join('\n');
  const lines = result.violations.map((each) => `  [${each.oracle}] ${each.message} on ${each.thread}`);
  return [`violations: ${result.violations.length}`, ...lines, ...tasks(result)].join('\n');
}

/** What was looked at; of a run that has failed the violations say more. */
function invariants({ invariants: all }: TortureResult): string[] {
  const named = (holds: boolean | null): string =>
    all
      .filter((each) => each.holds === holds)
      .map(({ oracle }) => oracle)
      .join(', ');
  const unseen = named(null);
  return [`invariants that held: ${named(true)}`, ...(unseen === '' ? [] : [`not looked at: ${unseen}`])];
}

/** Who held and who waited when the first thread was found that made no progress. */
function tasks(result: TortureResult): string[] {
  const found = result.violations.find(({ details }) => Array.isArray(details['tasks']));
  if (found === undefined) return [];
  const busy = (found.details['tasks'] as TaskLine[]).filter(({ alive, waits, holds }) => {
    return !alive || waits !== null || holds.length > 0;
  });
  const rows = busy.map(({ task, alive, waits, holds }) => [
    `  ${task}${alive ? '' : ', dead'}`,
    `  ${waits ?? 'does not wait'};`,
    `holds ${holds.length === 0 ? 'nothing' : holds.join(', ')}`,
  ]);
  return ['tasks when the first of them was found:', ...leftTable(rows)];
}

function verdict(result: TortureResult): string {
  const notes = [...result.notes, ...result.trust.doubts];
  if (result.partial) notes.push('the run did not go to its end: this is a partial report');
  const passed = result.partial ? 'INTERRUPTED, nothing found so far' : 'SUCCESS';
  const end = result.verdict === 'passed' ? passed : `FAILURE: ${result.verdict}`;
  return [...notes.map((note) => `note: ${note}`), `End of test: ${end}`].join('\n');
}
