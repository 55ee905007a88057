// The catalogue as text: the list of bugs, one bug's case with its failing interleaving, and the table of a run over all of them.
import type { Bug, OutOfReach } from '../catalogue/bug.js';
import type { Half, Reproduction } from '../catalogue/reproduce.js';
import { failureText } from './explore.js';
import { leftTable, showCount } from './units.js';

const WIDTH = 110;
const LABEL = 9;

/** Text in lines of at most `width`, all but the first indented. */
function wrapped(label: string, text: string): string {
  const lines: string[] = [];
  let line = label.padEnd(LABEL);
  for (const word of text.split(' ')) {
    if (line.length + word.length >= WIDTH) {
      lines.push(line.trimEnd());
      line = ' '.repeat(LABEL);
    }
    line += `${word} `;
  }
  return [...lines, line.trimEnd()].join('\n');
}

/** The case report, without the run. */
export function caseText(bug: Bug): string {
  return [
    `${bug.id}: ${bug.title}`,
    wrapped('source', bug.source),
    wrapped('breaks', bug.invariant),
    wrapped('how', bug.story),
    wrapped('fix', bug.fix),
    ...(bug.remark === undefined ? [] : [wrapped('model', bug.remark)]),
  ].join('\n');
}

export function listText(bugs: readonly Bug[], outOfReach: readonly OutOfReach[]): string {
  const rows = bugs.map((bug) => [bug.id, bug.title, bug.verdicts[0]!, Object.keys(bug.scenario.threads).join(' x ')]);
  return [
    ...leftTable([['bug', 'what', 'verdict', 'threads'], ...rows]),
    '',
    'not to be shown here:',
    ...leftTable(outOfReach.map(({ id, title, why }) => [id, title, why])),
    '',
    'rmptorture repro <bug> shows one failing and fixed; repro --all shows all.',
    '',
  ].join('\n');
}

/** How much was seen, and by which strategy. */
function coverage({ executions, states, strategy }: Half['result']): string {
  if (states !== undefined && states > 0) return `${showCount(states)} states`;
  return `${showCount(executions)} execution${executions === 1 ? '' : 's'}, ${strategy}`;
}

function effort({ result, tookMs }: Half): string {
  return `${coverage(result)}, ${Math.round(tookMs)} ms`;
}

function passed(half: Half): string {
  if (half.result.complete) return `every interleaving passes (${effort(half)})`;
  return `no violation in what was tried (${effort(half)})`;
}

function outcome(half: Half): string {
  const { violation } = half.result;
  return violation === undefined ? passed(half) : `${violation.kind} (${effort(half)})`;
}

/** The case and how it fails: known before the fixed scenario is explored. */
export function failingText(bug: Bug, buggy: Half): string {
  const lines = [caseText(bug), '', `with the mistake (variant ${bug.variants.join(', ')}): ${outcome(buggy)}`];
  if (buggy.counterexample !== undefined) {
    const { target, failure, constraints } = buggy.counterexample;
    lines.push('', failureText(target, failure, constraints));
  }
  return `${lines.join('\n')}\n`;
}

/** What came of the fixed scenario, and the verdict. */
export function fixedText({ bug, fixed, confirmed }: Reproduction, isInterrupted: boolean): string {
  const lines = ['', `without it: ${outcome(fixed)}`];
  if (fixed.counterexample !== undefined) {
    const { target, failure, constraints } = fixed.counterexample;
    lines.push('', failureText(target, failure, constraints));
  }
  lines.push(
    '',
    isInterrupted
      ? 'INTERRUPTED'
      : confirmed
        ? 'SUCCESS'
        : `FAILURE: expected ${bug.verdicts.join(' or ')}, and nothing once it is fixed`,
  );
  return `${lines.join('\n')}\n`;
}

/** A row a bug: both halves. `interruptedOf` is how many there were to be, of a run that was interrupted. */
export function allText(reproductions: readonly Reproduction[], interruptedOf?: number): string {
  const rows = reproductions.map(({ bug, buggy, fixed, confirmed }) => [
    bug.id,
    outcome(buggy),
    outcome(fixed),
    confirmed ? '' : 'NOT CONFIRMED',
  ]);
  const wrong = reproductions.filter(({ confirmed }) => !confirmed).length;
  const verdict =
    wrong === 0 ? `SUCCESS: ${reproductions.length} bugs` : `FAILURE: ${wrong} of ${reproductions.length} bugs`;
  return [
    ...leftTable([['bug', 'with the mistake', 'without it', ''], ...rows]),
    '',
    interruptedOf === undefined ? verdict : `INTERRUPTED: ${reproductions.length} of ${interruptedOf} bugs`,
    '',
  ].join('\n');
}
