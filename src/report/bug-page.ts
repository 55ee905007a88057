// A bug of the catalogue as a page of documentation: the case, the failing interleaving, what the fix was shown to do. No times, so that the same code
// writes the same pages.
import type { Bug, OutOfReach } from '../catalogue/bug.js';
import type { Half, Reproduction } from '../catalogue/reproduce.js';
import { failureText } from './explore.js';

function operationLines(bug: Bug): string[] {
  const { setup = [], threads } = bug.scenario;
  const text = (operation: object): string => JSON.stringify(operation).replaceAll('"', '').replaceAll(/[,:]/g, '$& ');
  return [
    ...setup.map((operation) => `- set-up: \`${text(operation)}\``),
    ...Object.entries(threads).map(([name, list]) => `- thread \`${name}\`: \`${list.map(text).join('`, then `')}\``),
    ...(bug.scenario.expect ?? []).map((each) => `- expected at the end: \`${text(each)}\``),
  ];
}

function outcome({ result }: Half): string {
  const { violation, executions, strategy, complete, states } = result;
  const count = `${executions} execution${executions === 1 ? '' : 's'}`;
  if (violation !== undefined) return `\`${violation.kind}\` after ${count} (${strategy}, seed ${result.seed})`;
  if (complete)
    return `Every interleaving passes (${states === undefined || states === 0 ? count : `${states} states`})`;
  return `No violation in ${count} (${strategy})`;
}

function fastest({ strategy }: Bug): string {
  if (strategy === 'any') return 'Every strategy finds it in its first execution ([all](found.md)).';
  return `The strategy that finds it soonest: \`${strategy}\` ([all](found.md)).`;
}

/** The page of one bug. Lines of the source are left out: they change with every edit. */
export function bugPage({ bug, buggy, fixed }: Reproduction): string {
  const lines = [
    `# ${bug.id}: ${bug.title}`,
    '',
    '<!-- Written by `rmptorture repro --all --pages docs/bugs`. -->',
    '',
    `**Source.** ${bug.source}.`,
    '',
    `**Broken invariant.** ${bug.invariant}.`,
    '',
    bug.story,
    '',
    `**Fix.** ${bug.fix}.`,
    '',
    ...(bug.remark === undefined ? [] : [`**In the model.** ${bug.remark}`, '']),
    '## Scenario',
    ...operationLines(bug),
    '',
    `## With the mistake (variant ${bug.variants.map((name) => `\`${name}\``).join(', ')})`,
    `${outcome(buggy)}. ${fastest(bug)}`,
    '',
  ];
  if (buggy.counterexample !== undefined) {
    const { target, failure, constraints } = buggy.counterexample;
    const table = failureText(target, failure, constraints).replaceAll(/(\.ts):\d+/g, '$1');
    lines.push('```', ...table.split('\n').map((line) => line.trimEnd()), '```', '');
  }
  lines.push('## Without it', `${outcome(fixed)}.`, '', `Again: \`npx rmptorture repro ${bug.id}\``, '');
  return lines.join('\n');
}

/** The list of all, with the reasons for those that cannot be shown. */
export function bugIndex(bugs: readonly Bug[], outOfReach: readonly OutOfReach[]): string {
  return [
    '# Real bugs',
    '',
    '<!-- Written by `rmptorture repro --all --pages docs/bugs`. -->',
    '',
    'How soon each strategy finds them: [found.md](found.md).',
    '',
    '| bug | what | verdict | threads |',
    '| --- | --- | --- | --- |',
    ...bugs.map(
      ({ id, title, verdicts, scenario }) =>
        `| [${id}](${id}.md) | ${title} | ${verdicts.map((kind) => `\`${kind}\``).join(', ')} | ${Object.keys(scenario.threads).join(' x ')} |`,
    ),
    '',
    '## Not to be shown here',
    '',
    '| bug | what | why not |',
    '| --- | --- | --- |',
    ...outOfReach.map(({ id, title, why }) => `| ${id} | ${title} | ${why} |`),
    '',
  ].join('\n');
}
