// What an imported log shows, as text.
import type { ImportResult } from '../import/import.js';

const UNREAD_SHOWN = 10;

/** The report: lines understood, what they say, what was written, what was not understood and why. */
export function importText(result: ImportResult, written: readonly string[]): string {
  const { file, lines, understood, kinds, unread, explanation } = result;
  const left = unread.length - UNREAD_SHOWN;
  const parts = [
    `${file}: ${understood} of ${lines} lines understood${unread.length === 0 && understood < lines ? '; the rest is blank or comment' : ''}`,
    ...Object.entries(kinds).map(([kind, count]) => `  ${String(count).padStart(6)}  ${kind}`),
    '',
    ...explanation,
    '',
    ...written.map((path) => `wrote ${path}`),
    ...(unread.length === 0 ? [] : ['not understood:']),
    ...unread.slice(0, UNREAD_SHOWN).map(({ line, reason }) => `  ${file}:${line}: ${reason}`),
    ...(left > 0 ? [`  and ${left} more`] : []),
  ];
  return `${parts.join('\n').trimEnd()}\n`;
}
