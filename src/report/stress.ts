// Bugs of the catalogue on real threads, as text.
import type { Bug } from '../catalogue/bug.js';
import type { StressResult } from '../catalogue/stress.js';
import { caseText } from './repro.js';
import { leftTable, showCount } from './units.js';

export interface Stressed {
  bug: Bug;
  result: StressResult;
}

const seconds = (ms: number): string => `${(ms / 1000).toFixed(1)} s`;

function outcome({ attempts, tookMs, failure }: StressResult): string {
  if (failure === undefined) return `not seen in ${showCount(attempts)} attempts, ${seconds(tookMs)}`;
  return `${failure.kind} in attempt ${attempts}, after ${seconds(tookMs)}`;
}

/** One bug as its case, several as a table. */
export function stressText(done: readonly Stressed[]): string {
  if (done.length !== 1) {
    const rows = done.map(({ bug, result }) => [bug.id, bug.title, outcome(result)]);
    return `${leftTable([['bug', 'what', 'on real threads (perturbed)'], ...rows]).join('\n')}\n\n`;
  }
  const { bug, result } = done[0]!;
  const lines = [caseText(bug), '', `on real threads (build perturbed): ${outcome(result)}`];
  if (result.failure !== undefined) lines.push(`  ${result.failure.message}`);
  lines.push('', `rmptorture repro ${bug.id} shows the interleaving.`, '');
  return `${lines.join('\n')}\n`;
}
