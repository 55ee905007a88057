// The report of an exploration as text: what was covered, and a failing interleaving step by step.
import * as points from '../kernel/abi/point.js';
import type { Counterexample } from '../explore/counterexample.js';
import type { ExploreResult, Failure } from '../explore/explore.js';
import { OPERATIONS } from '../explore/operation-names.js';
import type { RecordedStep } from '../explore/recorder.js';
import type { Target } from '../explore/target.js';
import { type ConstraintRow, interleavingText, type StepRow } from './interleaving.js';
import { showCount } from './units.js';

const READS = new Set<number>([points.POINT_LOAD, points.POINT_ATOMIC_LOAD, points.POINT_FUTEX_WAIT]);

/** What a write leaves, by what was there and its operand. */
const AFTER: Record<number, (before: number, operand: number) => number> = {
  [points.POINT_STORE]: (_, operand) => operand,
  [points.POINT_ATOMIC_STORE]: (_, operand) => operand,
  [points.POINT_XCHG]: (_, operand) => operand,
  [points.POINT_CAS]: (_, operand) => operand,
  [points.POINT_ADD]: (before, operand) => before + operand,
  [points.POINT_SUB]: (before, operand) => before - operand,
  [points.POINT_OR]: (before, operand) => before | operand,
  [points.POINT_AND]: (before, operand) => before & operand,
};

/** What a step does, in words: `cas vm0.mmu_lock 0 -> 255`, `load page[0x10].refcount = 1`. */
export function stepText(target: Target, { kind, address, bytes, low, before, wrote, wokenBy }: RecordedStep): string {
  if (kind === 0) return wokenBy < 0 ? 'its wait ends by itself' : `woken by ${target.threadNames[wokenBy]}`;
  const name = OPERATIONS[kind] ?? `operation ${kind}`;
  if (kind === points.POINT_RELAX) return name;
  const object = `${name} ${target.nameOf(address)}`;
  if (READS.has(kind)) return `${object} = ${number(before)}`;
  if (kind === points.POINT_CAS && !wrote) return `${object} stays ${number(before)}`;
  if (kind === points.POINT_COPY) return `${object} from ${target.nameOf(low >>> 0)}, ${bytes} bytes`;
  if (kind === points.POINT_FILL) return `${object}, ${bytes} bytes, with ${low}`;
  const after = AFTER[kind];
  return after === undefined ? object : `${object} ${number(before)} -> ${number(after(before, low) >>> 0)}`;
}

/** Small numbers in decimal, others as the addresses and masks that they are. */
function number(value: number): string {
  return value > 0xffff ? `0x${value.toString(16)}` : String(value);
}

function rowOf(target: Target, step: RecordedStep, shared: ReadonlySet<number>): StepRow {
  const { place, thread } = step;
  return {
    thread,
    text: stepText(target, step),
    place: place === undefined ? '' : `${place.function} ${place.file.replace(/^.*src\/kernel\//, '')}:${place.line}`,
    local: step.kind !== 0 && !shared.has(step.address >>> 2),
    switchReason: step.reason ?? '',
  };
}

/** Words that more than one thread touched, one of them by a write. */
function sharedWords(steps: readonly RecordedStep[]): Set<number> {
  const first = new Map<number, number>();
  const several = new Set<number>();
  const written = new Set<number>();
  for (const { thread, kind, address } of steps) {
    const word = address >>> 2;
    const other = first.get(word);
    if (other === undefined) first.set(word, thread);
    else if (other !== thread) several.add(word);
    if (kind !== points.POINT_LOAD && kind !== points.POINT_ATOMIC_LOAD) written.add(word);
  }
  return new Set([...several].filter((word) => written.has(word)));
}

/** The failing interleaving as a table. */
export function failureText(target: Target, failure: Failure, constraints: readonly ConstraintRow[] = []): string {
  const shared = sharedWords(failure.steps);
  return interleavingText({
    threads: target.threadNames,
    steps: failure.steps.map((step) => rowOf(target, step, shared)),
    constraints,
    failure: `${failure.kind}: ${failure.message}`,
    repeatsFrom: failure.repeatsFrom,
  });
}

/** What was covered, and with which verdict. */
export function exploreText(
  target: Target,
  result: ExploreResult,
  counterexample: Counterexample | undefined,
  wallMs: number,
): string {
  const { executions, steps, longest, stepLimitHits, distinctTraces } = result;
  const perSecond = executions / Math.max(wallMs / 1000, 1e-9);
  const lines = [
    `rmptorture explore: ${target.name}, ${target.threadNames.length} threads, strategy ${result.strategy}, seed ${result.seed}`,
    `${showCount(executions)} executions (${showCount(perSecond)}/s), ${showCount(steps)} steps, the longest ${longest}; ${result.states === undefined ? `${showCount(distinctTraces)} different traces` : `${showCount(result.states)} states`}`,
  ];
  if (result.limits?.includes('bits') === true)
    lines.push(
      'the set of visited states was full: states beyond it were remembered as bits, and some may have been missed',
    );
  if (result.limits?.includes('states') === true) lines.push('the search ended at its largest number of states');
  for (const [kind, count] of Object.entries(result.others ?? {}))
    lines.push(`${showCount(count)} other executions failed with ${kind}, which was not asked for`);
  if (result.nondeterminism !== undefined) lines.push(result.nondeterminism);
  if (stepLimitHits > 0)
    lines.push(`${stepLimitHits} executions were cut at the step limit: what comes behind it is unknown`);
  if (counterexample !== undefined) {
    const { failure, constraints, found } = counterexample;
    lines.push(
      '',
      failureText(target, failure, constraints),
      `execution ${failure.executionIndex}; made small: ${found.steps} steps, ${found.preemptions} preemptions, ${found.switches} switches before, ` +
        `${failure.steps.length}, ${failure.preemptions}, ${failure.switches} now`,
    );
  }
  lines.push('', verdictLine(result));
  return `${lines.join('\n')}\n`;
}

function verdictLine({ verdict, complete, violation, loops }: ExploreResult): string {
  if (verdict === 'violation') return `FAILURE: ${violation!.kind}`;
  if (verdict === 'inconclusive') return 'INCONCLUSIVE';
  if (complete && loops === false)
    return 'SUCCESS: every interleaving of these points passes; livelocks are looked for by one thread that goes through all of them (no --workers, no --resume)';
  return complete
    ? 'SUCCESS: every interleaving of these points passes'
    : 'SUCCESS: no violation in the interleavings that were tried';
}
