// The HTML report of a torture run, from its result document, time series and profile: verdict and violations first, then latencies, locks, pages, and what to
// know of the machine.
import { LOCKSTAT_SUB_BITS } from '../../kernel/abi/lockstat.js';
import { HIST_SUB_BITS } from '../../kernel/abi/program.js';
import type { OperationResult } from '../../torture/results.js';
import type { TortureResult } from '../../torture/run.js';
import type { SeriesRow, StateRow } from '../../torture/series.js';
import { showCount, showNs, showShare } from '../units.js';
import { distributionChart, timeChart, type TimePoint } from './charts.js';
import { escape, page, section, table, type Cell, type Html } from './page.js';

export interface TortureRun {
  result: TortureResult;
  series: readonly SeriesRow[];
  states: readonly StateRow[];
  /** profile.yaml: each value with where it came from. */
  profile: string;
}

const LAST_OPERATIONS = 6;

const perSecond = (rate: number): string => `${showCount(rate)}/s`;
const bytes = (count: number): string => `${(count / 2 ** 20).toFixed(0)} MiB`;

/** The document. */
export function tortureHtml(run: TortureRun): string {
  const { result } = run;
  const title = `rmptorture torture: ${result.verdict}`;
  return page(
    title,
    [
      header(result),
      violations(result),
      section(
        'Last operations of each thread',
        lastOperations(result),
        'Oldest first; pending: it never came out of it.',
      ),
      section(
        'Operations',
        operations(result),
        'Latency counts from the due time, in open loops with the time in the queue; service from the real start.',
      ),
      section(
        'Operation by operation',
        operationCharts(run),
        'Rate and p99 second by second, and the distribution of the latencies of the whole run.',
      ),
      section(
        'Locks',
        locks(result),
        'Waits are all measured, holds in one acquisition of 64. Waiting: of the time of all threads.',
      ),
      section('State', stateCharts(run)),
      section('Threads', actors(result)),
      section('Invariants', invariants(result)),
      section('Machine', machine(result)),
      section('Profile', `<pre>${escape(run.profile)}</pre>`, 'As it was run, each value with where it came from.'),
    ].join('\n'),
  );
}

function header(result: TortureResult): string {
  const { verdict, partial, durationMs, workers, guests, build, protocol, hook, seed, again } = result;
  const done = Object.values(result.operations).reduce((sum, { ratePerSecond }) => sum + ratePerSecond, 0);
  const { runDelayShare } = result.trust;
  const tiles: [string, string][] = [
    [perSecond(done), 'operations'],
    [`${(durationMs / 1000).toFixed(1)} s`, 'recorded'],
    [String(workers), workers === 1 ? 'thread' : 'threads'],
    [String(guests), guests === 1 ? 'guest' : 'guests'],
    [String(result.violations.length), 'violations'],
    ...(runDelayShare === undefined
      ? []
      : [[showShare(runDelayShare), 'of a thread waiting for a CPU'] as [string, string]]),
  ];
  const notes = [...result.notes, ...result.trust.doubts, ...(partial ? ['the run did not go to its end'] : [])];
  return [
    `<h1>rmptorture torture<span class="verdict ${verdict}">${escape(verdict)}${partial ? ', partial' : ''}</span></h1>`,
    `<p>build ${escape(build)}, protocol ${escape(protocol)}, hook ${escape(hook)}, seed <code>${escape(seed)}</code></p>`,
    `<p>again: <code>${escape(again)}</code></p>`,
    `<div class="tiles">${tiles.map(([value, what]) => `<div class="tile"><b>${escape(value)}</b><span>${escape(what)}</span></div>`).join('')}</div>`,
    ...notes.map((note) => `<p>note: ${escape(note)}</p>`),
  ].join('\n');
}

function violations({ violations: all }: TortureResult): string {
  const each = all.map(
    ({ oracle, message, thread }) =>
      `<div class="violation"><b>${escape(oracle)}</b> on ${escape(thread)}<br>${escape(message)}</div>`,
  );
  return section('Violations', each.join(''));
}

/** What led to a violation, as far as a glance goes; result.json has more of them. */
function lastOperations({ recent }: TortureResult): string {
  const rows = (recent?.threads ?? []).map(({ thread, task, operations: all }): Cell[] => {
    const shown = all.slice(-LAST_OPERATIONS).map(({ op, guest, slot, page: first, pages, result: ret }) => {
      return `${op} ${guest}.slot${slot} [${first}, ${first + pages}): ${ret}`;
    });
    return [`${thread} (${task})`, { html: shown.map(escape).join('<br>') }];
  });
  return table(['thread', 'operations, pages of the slot'], rows, [1]);
}

function operations({ operations: all }: TortureResult): string {
  const isOpen = Object.values(all).some(({ serviceNs }) => serviceNs !== undefined);
  const rows = Object.entries(all).map(([name, { count, ratePerSecond, latencyNs, serviceNs, errors }]): Cell[] => [
    name,
    showCount(count),
    perSecond(ratePerSecond),
    ...[latencyNs.p50, latencyNs.p90, latencyNs.p99, latencyNs.p999, latencyNs.max].map(showNs),
    ...(isOpen ? [showNs(serviceNs?.p99 ?? NaN)] : []),
    Object.entries(errors)
      .map(([errno, times]) => `${errno} ${showCount(times)}`)
      .join(', ') || '-',
  ]);
  const service = isOpen ? ['service p99'] : [];
  return table(['operation', 'count', 'rate', 'p50', 'p90', 'p99', 'p99.9', 'max', ...service, 'errors'], rows);
}

function figures(charts: readonly [caption: string, svg: string][]): string {
  const shown = charts.filter(([, svg]) => svg !== '');
  const each = shown.map(([caption, svg]) => `<figure><figcaption>${escape(caption)}</figcaption>${svg}</figure>`);
  return shown.length === 0 ? '' : `<div class="charts">${each.join('')}</div>`;
}

function operationCharts({ result, series }: TortureRun): string {
  const each = Object.entries(result.operations).map(([name, operation]) => {
    const mine = series.filter((row) => row.operation === name);
    const over = (value: (row: SeriesRow) => number): TimePoint[] =>
      mine.map((row) => ({ seconds: row.seconds, value: value(row) }));
    const rate = over((row) => row.ratePerSecond);
    const p99 = over((row) => row.p99Ns);
    return `<h3>${escape(name)}</h3>${figures([
      ['rate', timeChart({ label: `${name} rate`, points: rate, format: perSecond, thin: 'mean', colour: 'a' })],
      [
        'p99 of each second',
        timeChart({ label: `${name} p99`, points: p99, format: showNs, thin: 'max', colour: 'b' }),
      ],
      ['latencies', latencies(name, operation)],
    ])}`;
  });
  return each.join('\n');
}

function latencies(name: string, { histogram, latencyNs }: OperationResult): string {
  const { p50, p99, p999 } = latencyNs;
  const marks: [string, number][] = [
    ['p50', p50],
    ['p99', p99],
    ['p99.9', p999],
  ];
  return distributionChart(`${name} latencies`, histogram, HIST_SUB_BITS, marks);
}

function bar(share: number): Html {
  const percent = Math.min(100, Math.max(0, share * 100)).toFixed(1);
  return { html: `<span class="share"><i style="width:${percent}%"></i></span>${escape(showShare(share))}` };
}

function locks({ locks: all, workers, durationMs }: TortureResult): string {
  const busiest = Object.entries(all)
    .map(([name, lock]) => ({ name, lock, waitedNs: lock.waitNs.mean * lock.waitNs.samples }))
    .toSorted((a, b) => b.waitedNs - a.waitedNs || b.lock.acquisitions - a.lock.acquisitions);
  const rows = busiest.map(({ name, lock, waitedNs }): Cell[] => [
    name,
    showCount(lock.acquisitions),
    showCount(lock.contended),
    bar(waitedNs / (durationMs * 1e6 * Math.max(1, workers))),
    ...[waitedNs, lock.waitNs.p50, lock.waitNs.p99, lock.waitNs.max].map(showNs),
    ...[lock.holdNs.mean, lock.holdNs.p99, lock.holdNs.max].map(showNs),
  ]);
  const head = [
    'class',
    'acquired',
    'contended',
    'waiting',
    'wait total',
    'wait p50',
    'wait p99',
    'wait max',
    'hold mean',
    'hold p99',
    'hold max',
  ];
  const charts = busiest
    .filter(({ lock }) => lock.waitHistogram.length > 0)
    .slice(0, 6)
    .map(({ name, lock }): [string, string] => [
      `${name}: waits`,
      distributionChart(`${name} waits`, lock.waitHistogram, LOCKSTAT_SUB_BITS, [['p99', lock.waitNs.p99]]),
    ]);
  return table(head, rows, [3]) + figures(charts);
}

function stateCharts({ states, result }: TortureRun): string {
  const over = (value: (row: StateRow, before: StateRow | undefined) => number): TimePoint[] =>
    states.map((row, n) => ({ seconds: row.seconds, value: value(row, states[n - 1]) }));
  const waiting = over(({ lockWaitNs, seconds }, before) => {
    const lasted = (seconds - (before?.seconds ?? 0)) * 1e9 * Math.max(1, result.workers);
    return (lockWaitNs - (before?.lockWaitNs ?? 0)) / lasted;
  });
  const chart = (label: string, points: TimePoint[], format: (value: number) => string): [string, string] => [
    label,
    timeChart({ label, points, format, thin: 'mean', colour: 'c' }),
  ];
  return figures([
    chart(
      'pages allocated',
      over(({ allocated }) => allocated),
      showCount,
    ),
    chart(
      'pages assigned in the RMP',
      over(({ assigned }) => assigned),
      showCount,
    ),
    chart(
      'pages leaked',
      over(({ leaked }) => leaked),
      showCount,
    ),
    chart("threads' time spent waiting for locks", waiting, showShare),
    chart(
      'memory of the process',
      over(({ rssBytes }) => rssBytes),
      bytes,
    ),
    chart(
      'heap of the main thread',
      over(({ heapBytes }) => heapBytes),
      bytes,
    ),
  ]);
}

function actors({ actors: all }: TortureResult): string {
  const rows = all.map(({ name, operations: done, steps, pacing }): Cell[] => [
    name,
    showCount(done),
    showCount(steps),
    pacing === undefined ? '-' : perSecond(pacing.intendedPerSecond),
    pacing === undefined ? '-' : perSecond(pacing.achievedPerSecond),
    pacing === undefined ? '-' : showShare(pacing.missedShare),
    pacing === undefined ? '-' : showNs(pacing.lateMaxNs),
  ]);
  return table(['actor', 'operations', 'steps', 'steps due', 'steps made', 'missed', 'latest start'], rows);
}

function invariants({ invariants: all }: TortureResult): string {
  const yes = (is: boolean): string => (is ? 'yes' : '-');
  const rows = all.map(({ oracle, inline, atRest, holds, violations: found }): Cell[] => [
    oracle,
    yes(inline),
    yes(atRest),
    holds === null ? 'not looked at' : holds ? 'holds' : `violated (${found})`,
  ]);
  return table(['invariant', 'as it went', 'at rest', 'verdict'], rows, [1, 2, 3]);
}

function machine({ environment }: TortureResult): string {
  const rows = Object.entries(environment).map(([key, value]): Cell[] => [
    key,
    key === 'memoryBytes' ? bytes(Number(value)) : key === 'runDelayShare' ? showShare(Number(value)) : String(value),
  ]);
  return table(['', ''], rows, [1]);
}
