// Functions that the kernel exports and nobody uses. knip finds such code everywhere else; it does not read AssemblyScript.
import { blank, codeOf, lineAt } from './source.js';

const USERS = /^(?:src|workers|bench|test|examples)\/.*\.(?:ts|mjs)$/;
const DEFINITION = /^export (?:declare )?function (\w+)/gm;
/** A name in one of these is only passed on. */
const IMPORTS_AND_EXPORTS = /^(?:import|export)\s+(?:type\s+)?\{[^}]*\}\s*from\b/gm;

/** Names that the file uses: in its code, or as a string of their own, which is how a thread is told what to call. */
function used(text: string): string[] {
  const code = codeOf(text)
    .replace(IMPORTS_AND_EXPORTS, '')
    .replace(/\bfunction\s+\w+/g, '');
  const strings = [...blank(text, { comments: true, strings: false }).matchAll(/'(\w+)'/g)].map(([, name]) => name!);
  return [...(code.match(/\b[A-Za-z_]\w*/g) ?? []), ...strings];
}

/** Each as `file:line: name`; `texts` is all of the project, by file. */
export function unusedKernelFunctions(texts: ReadonlyMap<string, string>): string[] {
  const code = [...texts].filter(([file]) => USERS.test(file));
  const names = new Set(code.flatMap(([, text]) => used(text)));
  return code
    .filter(([file]) => file.startsWith('src/kernel/'))
    .flatMap(([file, text]) =>
      [...text.matchAll(DEFINITION)]
        .filter(([, name]) => !names.has(name!))
        .map((match) => `${file}:${lineAt(text, match.index)}: ${match[1]}`),
    );
}
