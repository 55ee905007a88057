// A lexer just good enough for the house rules: blanks out comments, strings and regular expressions (line numbers stay), and
// finds function bodies. It reads TypeScript and AssemblyScript alike, which no parser at hand does.

type Blank = { comments: boolean; strings: boolean };

const blankOf = (text: string): string => text.replace(/[^\n]/g, ' ');

/** A slash after one of these begins a regular expression, not a division. */
const BEFORE_REGEX = /(?:^|[=(,[{;:!&|?+\-*%<>~^}]|\breturn|\btypeof|\bcase|\bof|\bin|=>)\s*$/;

/** Index just after the quoted string that starts at `start`. */
function endOfString(text: string, start: number): number {
  const quote = text[start];
  let at = start + 1;
  while (at < text.length && text[at] !== quote && text[at] !== '\n') at += text[at] === '\\' ? 2 : 1;
  return at + 1;
}

/** Index just after the regular expression that starts at `start`. */
function endOfRegex(text: string, start: number): number {
  let inClass = false;
  let at = start + 1;
  for (; at < text.length && text[at] !== '\n'; at++) {
    if (text[at] === '\\') at++;
    else if (text[at] === '[') inClass = true;
    else if (text[at] === ']') inClass = false;
    else if (text[at] === '/' && !inClass) break;
  }
  return at + 1;
}

/** Index of the template literal's next `${` or just after its closing quote, from inside the literal. */
function endOfTemplatePart(text: string, start: number): number {
  let at = start;
  while (at < text.length && text[at] !== '`' && !text.startsWith('${', at)) at += text[at] === '\\' ? 2 : 1;
  return text[at] === '`' ? at + 1 : at;
}

/** Index just after the comment at `at`, or -1 if there is none. */
function endOfComment(text: string, at: number): number {
  if (text.startsWith('//', at)) return text.indexOf('\n', at) < 0 ? text.length : text.indexOf('\n', at);
  if (text.startsWith('/*', at)) return text.indexOf('*/', at) < 0 ? text.length : text.indexOf('*/', at) + 2;
  return -1;
}

/** `text` with the chosen parts replaced by spaces. Code inside `${}` of a template literal stays. */
export function blank(text: string, what: Blank): string {
  let out = '';
  let at = 0;
  /** Brace depth inside each open `${`. */
  const templates: number[] = [];
  const take = (end: number, hide: boolean): void => {
    out += hide ? blankOf(text.slice(at, end)) : text.slice(at, end);
    at = end;
  };
  while (at < text.length) {
    const char = text[at];
    const comment = endOfComment(text, at);
    const depth = templates.at(-1);
    if (comment >= 0) take(comment, what.comments);
    else if (char === "'" || char === '"') take(endOfString(text, at), what.strings);
    else if (char === '/' && BEFORE_REGEX.test(out.slice(-40))) take(endOfRegex(text, at), what.strings);
    else if (char === '`' || (char === '}' && depth === 0)) {
      if (char === '}') templates.pop();
      take(endOfTemplatePart(text, at + 1), what.strings);
      if (text.startsWith('${', at)) {
        templates.push(0);
        take(at + 2, what.strings);
      }
    } else {
      if (depth !== undefined && char === '{') templates[templates.length - 1] = depth + 1;
      if (depth !== undefined && char === '}') templates[templates.length - 1] = depth - 1;
      take(at + 1, false);
    }
  }
  return out;
}

/** The source without comments and string contents. */
export function codeOf(text: string): string {
  return blank(text, { comments: true, strings: true });
}

export function lineAt(text: string, index: number): number {
  return text.slice(0, index).split('\n').length;
}

/** Index of the bracket that closes the one at `open`, or -1. */
function closing(code: string, open: number): number {
  let depth = 0;
  for (let at = open; at < code.length; at++) {
    if ('({['.includes(code[at]!)) depth++;
    else if (')}]'.includes(code[at]!) && --depth === 0) return at;
  }
  return -1;
}

/** Index of the `{` that opens the body after a parameter list that closes at `end`, or -1 (a call, an overload). */
function bodyAfter(code: string, end: number): number {
  let previous = ')';
  for (let at = end + 1; at < code.length; at++) {
    const char = code[at]!;
    if (/\s/.test(char)) continue;
    if (previous === ')' && char !== ':' && char !== '{') return -1;
    const isArrow = code.startsWith('=>', at);
    if (char === ';' || (char === '=' && !isArrow)) return -1;
    const inType = ':|&<,='.includes(previous);
    if (char === '{' && !inType) return at;
    if ('{(['.includes(char)) at = closing(code, at);
    if (at < 0) return -1;
    previous = '{(['.includes(char) ? 'x' : char;
    if (isArrow) at++;
  }
  return -1;
}

const HEAD =
  /\bfunction\b[^(]*\(|^[ \t]*(?:(?:public|private|protected|static|async|override|get|set) +)*[*#]?(\w+)(?:<[^(\n]*>)?\(/gm;
const NOT_A_METHOD = new Set(['if', 'for', 'while', 'switch', 'catch', 'return', 'await', 'super', 'with']);

/** Every function, method and block-bodied arrow function: its first line and its length in lines. */
export function functionsOf(text: string): { name: string; line: number; length: number }[] {
  const code = codeOf(text);
  const bodies = new Map<number, { name: string; start: number }>();
  for (const arrow of code.matchAll(/=>\s*\{/g))
    bodies.set(arrow.index + arrow[0].length - 1, { name: 'arrow', start: arrow.index });
  for (const head of code.matchAll(HEAD)) {
    if (head[1] !== undefined && NOT_A_METHOD.has(head[1])) continue;
    const end = closing(code, head.index + head[0].length - 1);
    const body = end < 0 ? -1 : bodyAfter(code, end);
    const start = head.index + head[0].search(/\S/);
    if (body >= 0) bodies.set(body, { name: head[1] ?? /function\s*\*?\s*(\w*)/.exec(head[0])?.[1] ?? '', start });
  }
  return [...bodies].map(([body, { name, start }]) => {
    const line = lineAt(code, start);
    return { name, line, length: lineAt(code, closing(code, body)) - line + 1 };
  });
}
