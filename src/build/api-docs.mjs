// Writes docs/api/: a page for each entry of the package with all its exports, from the declarations that tsc emits and the doc comments in them. Declaration
// files are regular enough to be read by lines and brackets, so no documentation tool is needed. `node src/build/api-docs.mjs` after `npm run setup`.
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { ROOT, replaceFile } from './files.mjs';

/** @typedef {{ name: string, kind: string, doc: string, code: string, file: string, members: Member[] }} Declaration */
/** @typedef {{ code: string, doc: string }} Member */

const DIST = path.join(ROOT, 'dist/src');
/** Entries of package.json's exports, in the order of the pages. @type {{ entry: string, declarations: string, page: string }[]} */
const ENTRIES = [
  { entry: 'rmptorture', declarations: 'index.d.ts', page: 'rmptorture.md' },
  { entry: 'rmptorture/shm', declarations: 'shm/index.d.ts', page: 'shm.md' },
  { entry: 'rmptorture/explore', declarations: 'explorer.d.ts', page: 'explore.md' },
];
const KINDS = /^(?:export )?(?:declare )?(?:abstract )?(class|interface|function|const|type|enum) (\w+)/;

/** How deep in brackets a line ends, comments and strings left out. @param {string} line @param {number} depth */
function depthAfter(line, depth) {
  const bare = line.replaceAll(/'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|\/\*.*?\*\/|\/\/.*$/g, '').replaceAll('=>', '');
  const count = (/** @type {RegExp} */ brackets) => bare.match(brackets)?.length ?? 0;
  return depth + count(/[{([]/g) - count(/[})\]]/g);
}

/**
 * Cuts declarations, or the members of one, into statements with their doc comments.
 * @param {readonly string[]} lines @param {(code: string) => boolean} ends whether a statement outside of brackets is over
 * @returns {Member[]}
 */
function statements(lines, ends) {
  const found = [];
  let doc = '';
  let code = '';
  let depth = 0;
  let inDoc = false;
  for (const line of lines) {
    const text = line.trim();
    if (code === '' && (inDoc || text.startsWith('/**'))) {
      doc = inDoc ? `${doc}\n${text}` : text;
      inDoc = !text.endsWith('*/');
      continue;
    }
    if (code === '' && text === '') continue;
    code = code === '' ? line : `${code}\n${line}`;
    // A doc comment inside a type is part of it.
    if (!text.startsWith('/*') && !text.startsWith('*')) depth = depthAfter(line, depth);
    if (depth > 0 || !ends(code.trimEnd())) continue;
    found.push({ code: code.trim(), doc });
    [doc, code, depth] = ['', '', 0];
  }
  return found;
}

/** A doc comment as Markdown: without its stars, its tags in words. @param {string} doc */
function prose(doc) {
  return doc
    .replace(/^\/\*\*/, '')
    .replace(/\*\/$/, '')
    .split('\n')
    .map((line) => line.trim().replace(/^\* ?/, ''))
    .join('\n')
    .replaceAll(/^@context /gm, '\nContext: ')
    .replaceAll(/^@(\w+) /gm, '\n*$1*: ')
    .trim();
}

/** @param {string} code a class or an interface @returns {Member[]} */
function membersOf(code) {
  return statements(code.split('\n').slice(1, -1), (member) => member.endsWith(';'))
    .filter((member) => !/^(?:#private|private |protected )/.test(member.code))
    .map((member) => ({ code: member.code.replaceAll(/\s+/g, ' ').replace(/;$/, ''), doc: prose(member.doc) }));
}

/** All declarations of one file. @param {string} file @returns {Declaration[]} */
function declarationsOf(file) {
  const lines = readFileSync(file, 'utf8')
    .replace(/\n?\/\/# sourceMappingURL.*$/, '')
    .split('\n');
  const ends = (/** @type {string} */ code) =>
    code.endsWith(';') || (code.endsWith('}') && !/^(?:export )?(?:declare )?type /.test(code));
  return statements(lines, ends).flatMap(({ code, doc }) => {
    const match = KINDS.exec(code);
    if (match === null) return [];
    const kind = /** @type {string} */ (match[1]);
    const members = kind === 'class' || kind === 'interface' ? membersOf(code) : [];
    return [{ kind, name: /** @type {string} */ (match[2]), doc: prose(doc), code, file, members }];
  });
}

/**
 * What a class has from classes that no page shows, so that it is complete on its own.
 * @param {Declaration} declaration @param {ReadonlySet<string>} shown @returns {Member[]}
 */
function inherited({ code, file, members }, shown) {
  const base = / extends (\w+)/.exec(headOf(code))?.[1];
  if (base === undefined || shown.has(base)) return [];
  const found = declarationsOf(fileOf(base, file)).find(({ name }) => name === base);
  if (found === undefined) return [];
  const own = new Set(members.map(nameOf));
  return [...found.members, ...inherited(found, shown)].filter((member) => !own.has(nameOf(member)));
}

/** The file that declares `name` for `file`: one that it imports it from, or itself. @param {string} name @param {string} file */
function fileOf(name, file) {
  const imports = readFileSync(file, 'utf8').matchAll(/import (?:type )?\{([^}]*)\} from '(\.[^']+)';/g);
  const found = [...imports].find(([, names]) => new RegExp(`\\b${name}\\b`).test(names ?? ''))?.[2];
  return found === undefined ? file : path.join(path.dirname(file), found.replace(/\.js$/, '.d.ts'));
}

/** @param {Member} member */
function nameOf({ code }) {
  return /^(?:(?:static|readonly|abstract|get|set) )*(\w+)/.exec(code)?.[1] ?? code;
}

/** What an entry exports, in its own order. @param {string} declarations @returns {Declaration[]} */
export function exportsOf(declarations) {
  const entry = path.join(DIST, declarations);
  const text = readFileSync(entry, 'utf8');
  const own = [...text.matchAll(/export (?:type )?\{([^}]*)\} from '([^']+)';/g)].flatMap(([, names, from]) => {
    const file = path.join(path.dirname(entry), /** @type {string} */ (from).replace(/\.js$/, '.d.ts'));
    const there = new Map(declarationsOf(file).map((each) => [each.name, each]));
    const wanted = /** @type {string} */ (names).split(',').map((name) => name.trim().replace(/^type /, ''));
    return wanted
      .filter((name) => name !== '')
      .map((name) => {
        const found = there.get(name);
        if (found === undefined) throw new Error(`${declarations}: ${name} is not declared in ${file}`);
        return found;
      });
  });
  const shown = new Set(own.map(({ name }) => name));
  return own.map((each) => ({ ...each, members: [...each.members, ...inherited(each, shown)] }));
}

/** Heading of a class or an interface without its body. @param {string} code */
function headOf(code) {
  return (
    code
      .split('\n')[0]
      ?.replace(/^export (?:declare )?/, '')
      .replace(/ \{$/, '') ?? ''
  );
}

/** @param {Declaration} declaration */
function section({ name, kind, doc, code, file, members }) {
  const source = path
    .relative(DIST, file)
    .replaceAll(path.sep, '/')
    .replace(/\.d\.ts$/, '.ts');
  const parts = [`## ${name}`, `[${kind} in src/${source}](../../src/${source})`, doc];
  if (kind !== 'class' && kind !== 'interface') {
    parts.push(`\`\`\`ts\n${code.replace(/^export (?:declare )?/, '')}\n\`\`\``);
  } else {
    parts.push(`\`\`\`ts\n${headOf(code)}\n\`\`\``);
    const item = (/** @type {Member} */ { code: signature, doc: text }) =>
      `- \`${signature}\`${text === '' ? '' : `\n  ${text.replaceAll(/\s*\n\s*/g, ' ')}`}`;
    parts.push(members.map(item).join('\n'));
  }
  return parts.filter((part) => part !== '').join('\n\n');
}

/** The pages, by their names in docs/api. @returns {Record<string, string>} */
export function apiPages() {
  return Object.fromEntries(
    ENTRIES.map(({ entry, declarations, page }) => {
      const all = exportsOf(declarations);
      const links = all.map(({ name }) => `[${name}](#${name.toLowerCase()})`).join(' · ');
      const opening = `# ${entry}\n\n*Made by \`node src/build/api-docs.mjs\` from the doc comments in the source: change those.*\n\n${links}`;
      return [page, `${[opening, ...all.map(section)].join('\n\n')}\n`];
    }),
  );
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  for (const [page, text] of Object.entries(apiPages())) replaceFile(path.join(ROOT, 'docs/api', page), text);
}
