// The report of an exploration as text: what was covered, and a failing interleaving step by step.
import * as points from '../kernel/abi/point.js';
import { operationCount } from '../explore/fewer.js';
import type { NestedLocks, ThreadLocks } from '../explore/blocked.js';
import type { Counterexample } from '../explore/counterexample.js';
import { exchangingSteps } from '../explore/exchanges.js';
import type { ExploreResult, Failure } from '../explore/explore.js';
import { OPERATIONS } from '../explore/operation-names.js';
import type { RecordedStep } from '../explore/recorder.js';
import type { SourceLine } from '../explore/source-lines.js';
import type { Target } from '../explore/target.js';
import { type ConstraintRow, interleavingText, type LockRow, type StepRow } from './interleaving.js';
import { showCount } from './units.js';
import { readText, writeText } from './word-text.js';

const READS = new Set<number>([
  points.POINT_LOAD,
  points.POINT_ATOMIC_LOAD,
  points.POINT_LOAD_RELAXED,
  points.POINT_FUTEX_WAIT,
]);

/** What a step does, in words: `cas vm0.mmu_lock free -> writer`, `load page[0x10].refcount = 1`. */
export function stepText(target: Target, step: RecordedStep): string {
  const { kind, address, bytes, low, wokenBy } = step;
  if (kind === 0) return wokenBy < 0 ? 'its wait ends by itself' : `woken by ${target.threadNames[wokenBy]}`;
  const name = OPERATIONS[kind] ?? `operation ${kind}`;
  if (kind === points.POINT_RELAX) return name;
  const word = step.word ?? target.wordOf(address);
  if (kind === points.POINT_FUTEX_WAKE) return `${name} ${word.name}`;
  if (kind === points.POINT_COPY) return `${name} ${word.name} from ${target.nameOf(low >>> 0)}, ${bytes} bytes`;
  if (kind === points.POINT_FILL) return `${name} ${word.name}, ${bytes} bytes, with ${low}`;
  const before = valueOf(step.before, step.beforeHigh, bytes);
  if (READS.has(kind)) return `${name} ${readText(word, before)}`;
  const after = valueOf(step.after, step.afterHigh, bytes);
  if ((kind === points.POINT_CAS || kind === points.POINT_CAS_RELAXED) && before === after)
    return `${name} ${readText(word, before).replace(' = ', ' stays ')}`;
  return `${name} ${writeText(word, before, after)}`;
}

function valueOf(low: number, high: number, bytes: number): bigint {
  return bytes === 8 ? (BigInt(high) << 32n) | BigInt(low) : BigInt(low);
}

/** `kvmMmuPageFault kvm/fault.ts:104`; of a lock's step where it was taken, and where in the lock. */
function placeText({ function: name, file, line, inside }: SourceLine): string {
  const short = (path: string): string => path.replace(/^.*src\/kernel\/|^program\//, '');
  return `${name} ${short(file)}:${line}${inside === undefined ? '' : ` (${short(inside.file)}:${inside.line})`}`;
}

function rowOf(target: Target, step: RecordedStep, shown: boolean): StepRow {
  const { place, thread } = step;
  return {
    thread,
    // Most rows are folded: what they would say is not looked up.
    get text() {
      return stepText(target, step);
    },
    place: place === undefined ? '' : placeText(place),
    within: place?.function ?? '',
    local: !shown,
    switchReason: step.reason ?? '',
  };
}

function placeOf(place: SourceLine | undefined): string {
  return place === undefined ? '' : `, at ${placeText(place)}`;
}

/** `thread1 took a (both order.ts:5) under b (both order.ts:5)`. */
function nestedText({ threadNames }: Target, { thread, under, taken }: NestedLocks): string {
  return `${threadNames[thread]} took ${taken.lock}${placeOf(taken.place)}, under ${under.lock}${placeOf(under.place)}`;
}

/** The two accesses of a data race: the last ones that two threads made to the word. */
function racingSteps({ address, steps }: Failure): number[] {
  if (address === undefined) return [];
  const touches = ({ kind, address: at, bytes }: RecordedStep): boolean =>
    kind !== 0 && at < address + 4 && at + bytes > address;
  const second = steps.findLastIndex(touches);
  const first = steps.findLastIndex((step, n) => n < second && step.thread !== steps[second]!.thread && touches(step));
  return first < 0 ? [] : [first, second];
}

function lockRow({ threadNames }: Target, { thread, held, waits }: ThreadLocks): LockRow {
  const name = threadNames[thread]!;
  const taken = held.map(
    ({ lock, isRead, step, place }) => `${lock}${isRead ? ' (read)' : ''}, taken in step ${step + 1}${placeOf(place)}`,
  );
  return { thread: name, held: taken, waits: waits === undefined ? '' : `${waits.text}${placeOf(waits.place)}` };
}

/** The failing interleaving as a table. */
export function failureText(target: Target, failure: Failure, constraints: readonly ConstraintRow[] = []): string {
  const shown = exchangingSteps(failure.steps);
  for (const { earlier, later } of constraints) shown.add(earlier).add(later);
  for (const step of racingSteps(failure)) shown.add(step);
  return interleavingText({
    threads: target.threadNames,
    steps: failure.steps.map((step, n) => rowOf(target, step, shown.has(n))),
    constraints,
    failure: `${failure.kind}: ${failure.message}`,
    locks: (failure.locks ?? []).map((each) => lockRow(target, each)),
    nested: (failure.nested ?? []).map((each) => nestedText(target, each)),
    racing: racingSteps(failure),
    repeatsFrom: failure.repeatsFrom,
  });
}

/** How much was made of what, and how fast. */
function coveredText({ executions, steps, longest, distinctTraces, states }: ExploreResult, wallMs: number): string {
  const rate = (count: number): string => `${showCount(count / Math.max(wallMs / 1000, 1e-9))}/s`;
  const made = `${showCount(steps)} steps, the longest ${longest}`;
  return states === undefined
    ? `${showCount(executions)} executions (${rate(executions)}), ${made}; ${showCount(distinctTraces)} different traces`
    : `${showCount(states)} states (${rate(states)}), ${made}; ${showCount(executions)} executions to their end`;
}

/** What was covered, and with which verdict. */
export function exploreText(
  target: Target,
  result: ExploreResult,
  counterexample: Counterexample | undefined,
  { wallMs, isInterrupted = false }: { wallMs: number; isInterrupted?: boolean },
): string {
  const threads = target.threadNames.length;
  const lines = [
    `rmptorture explore: ${target.name}, ${threads} thread${threads === 1 ? '' : 's'}, strategy ${result.strategy}, seed ${result.seed}`,
    coveredText(result, wallMs),
  ];
  const { share, stepLimitHits } = result;
  if (share !== undefined && result.violation === undefined)
    lines.push(`about ${(share * 100).toFixed(1)} % of the search lies behind (a guess from the ways not tried yet)`);
  if (result.limits?.includes('bits') === true)
    lines.push(
      'the set of visited states was full: states beyond it were remembered as bits, and some may have been missed',
    );
  if (result.limits?.includes('states') === true) lines.push('the search ended at its largest number of states');
  if (result.limits?.includes('frontier') === true)
    lines.push('the search ended because the states that wait did not fit into --memory');
  for (const [kind, count] of Object.entries(result.others ?? {}))
    lines.push(`${showCount(count)} other executions failed with ${kind}, which was not asked for`);
  if (result.nondeterminism !== undefined) lines.push(result.nondeterminism);
  if (stepLimitHits > 0)
    lines.push(`${stepLimitHits} executions were cut at the step limit: what comes behind it is unknown`);
  if (counterexample !== undefined) {
    const { failure, constraints } = counterexample;
    lines.push(
      '',
      failureText(counterexample.target, failure, constraints),
      `execution ${failure.executionIndex}; ${madeSmall(counterexample)}`,
    );
  }
  lines.push('', verdictLine(result, isInterrupted));
  return `${lines.join('\n')}\n`;
}

/** `made small: 2 threads, 9 operations, 301 steps, 15 preemptions, 18 switches before; 2, 3, 252, 2, 3 now`. */
function madeSmall({ target, scenario, failure, found }: Counterexample): string {
  const rows: [number | undefined, number | undefined, string][] = [
    [found.threads, target.threadNames.length, 'threads'],
    [found.operations, scenario === undefined ? found.operations : operationCount(scenario), 'operations'],
    [found.steps, failure.steps.length, 'steps'],
    [found.preemptions, failure.preemptions, 'preemptions'],
    [found.switches, failure.switches, 'switches'],
  ];
  const known = rows.filter(([before]) => before !== undefined);
  return `made small: ${known.map(([before, , what]) => `${before} ${what}`).join(', ')} before; ${known.map(([, now]) => now).join(', ')} now`;
}

function verdictLine(result: ExploreResult, isInterrupted: boolean): string {
  const { verdict, complete, violation, loops } = result;
  if (verdict === 'violation') return `FAILURE: ${violation!.kind}`;
  if (verdict === 'inconclusive') return `INCONCLUSIVE${reasonText(result)}`;
  if (isInterrupted && !complete) return 'INTERRUPTED: no violation in the interleavings that were tried so far';
  if (complete && loops === false)
    return 'SUCCESS: every interleaving of these points passes; livelocks are looked for by --strategy states on one thread, in one go';
  return complete
    ? 'SUCCESS: every interleaving of these points passes'
    : 'SUCCESS: no violation in the interleavings that were tried';
}

/** Why nothing can be said, where no line above has said it. */
function reasonText({ executions, steps }: ExploreResult): string {
  if (executions === 0 && steps === 0) return ': no execution was run';
  return steps === 0 ? ": the scheduler saw no access: shared memory is accessed through 'rmptorture/point'" : '';
}
