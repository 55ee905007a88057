// Finds shared accesses of a program that go past point.ts: AssemblyScript's own loads, stores, atomics and block operations. The scheduler would not see
// them, so an exploration of such a program would be no proof of anything. Comments and strings are passed over.

/** Comments and strings first, so that what stands in them is no match of its own. */
const TOKENS =
  /\/\/[^\n]*|\/\*[\s\S]*?\*\/|'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*"|`(?:\\.|[^`\\])*`|(?<![.\w$])(?<raw>(?:load|store)\s*<[\w$\s.,<>|]*>(?=\s*\()|atomic\s*\.\s*\w+|memory\s*\.\s*(?:copy|fill|repeat|atomic\b[.\w]*)|(?:[iuf](?:8|16|32|64)|[iu]size|v128)\s*\.\s*(?:load|store|atomic)[.\w]*)/g;

/** A raw access: what is written there, line and column from 1. */
export interface RawAccess {
  text: string;
  line: number;
  column: number;
}

/** The first raw access of a source file; undefined when there is none. */
export function firstRawAccess(source: string): RawAccess | undefined {
  for (const match of source.matchAll(TOKENS)) {
    const text = match.groups?.['raw'];
    if (text === undefined) continue;
    const before = source.slice(0, match.index);
    const lineStart = before.lastIndexOf('\n') + 1;
    return { text, line: before.split('\n').length, column: match.index - lineStart + 1 };
  }
  return undefined;
}
