// Compiles a program of the user's (AssemblyScript) together with the sync layer into a module of the controlled build. The flags are those of
// src/build/kernel.mjs; the compiler is loaded when the first program comes.
import { readFileSync, statSync } from 'node:fs';
import type { SourceMapPayload } from 'node:module';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { UsageError } from '../host/errors.js';
import { firstRawAccess } from './raw-memory.js';
import { SourceLines } from './source-lines.js';

/** The package, with the kernel's sources in src/kernel. */
const ROOT = fileURLToPath(new URL('../../../', import.meta.url));
const FLAGS = [
  ['-O3', '--runtime', 'stub', '--use', 'abort=', '--debug', '--sourceMap', '--noColors'],
  ['--enable', 'threads', '--importMemory', '--noExportMemory', '--sharedMemory', '--exportTable'],
  ['--initialMemory', '1', '--maximumMemory', '65536', '--memoryBase', '1024'],
  ['--runPasses', 'asyncify,simplify-locals,coalesce-locals,reorder-locals,merge-blocks,vacuum'],
].flat();

/** What a program imports as `rmptorture/<name>`: modules of src/kernel. */
const MODULES: Record<string, string> = {
  assert: 'control/assert',
  heap: 'heap',
  name: 'control/name',
  point: 'point',
  sync: 'sync/index',
  xarray: 'mm/xarray',
};
const OWN = /^node_modules\/rmptorture\/(\w+)\.ts$/;
/** The kernel's own sources; what keeps them off raw accesses is a house rule. */
const KERNEL = 'src/kernel/';
/** Where the compiler sees a program that lies outside of the package. */
const OUTSIDE = 'program';

/** No import suspends a thread by itself: that is done inside (src/kernel/control/threads.ts). */
class AsyncifyArguments {
  declare readonly binaryen: { setPassArgument(key: string, value: string): void };
  afterCompile(): void {
    this.binaryen.setPassArgument('asyncify-ignore-imports', '1');
  }
}

/** The part of asc's interface that is used. Its own types would bring AssemblyScript's globals (another Array) into this program. */
interface Compiler {
  main(
    argv: string[],
    options: {
      stdout: { write(text: string | Uint8Array): void };
      stderr: { write(text: string | Uint8Array): void };
      readFile(name: string, base: string): string | null;
      writeFile(name: string, contents: string | Uint8Array): void;
      listFiles(directory: string): string[];
      transforms: unknown[];
    },
  ): Promise<{ error: Error | null }>;
}

const COMPILER: string = 'assemblyscript/asc';

/** A program compiled together with the kernel, ready to be explored. */
export interface CompiledProgram {
  module: WebAssembly.Module;
  sources(): SourceLines;
}

function textOf(file: string): string | null {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return null;
  }
}

/** Why a file of the program's cannot be explored, if it cannot. */
function refusalOf(file: string, source: string): UsageError | undefined {
  const raw = firstRawAccess(source);
  if (raw === undefined) return undefined;
  const place = `${path.relative('', file)}:${raw.line}:${raw.column}`;
  const what = `${raw.text}: the scheduler does not see this access; use the accessors of 'rmptorture/point', such as load32 or atomicAdd32`;
  return new UsageError('explore', `explore: ${place}: ${what}`, { file, line: raw.line, column: raw.column });
}

const COMPLAINT = /^ERROR (?<code>\w+): (?<what>.*)$[^]*?└─ in (?<file>.+?)\((?<line>\d+),(?<column>\d+)\)/gmu;

/** What the compiler complains about, a line each with file, line and column; its own words as they are where they have none. */
function complaintsText(file: string, messages: string): string {
  const lines = [...messages.matchAll(COMPLAINT)].map(({ groups }) => {
    const { code, what, file: name, line, column } = groups!;
    const place = name!.startsWith(`${OUTSIDE}/`)
      ? path.join(path.dirname(file), name!.slice(OUTSIDE.length + 1))
      : path.relative('', path.join(ROOT, name!));
    return `explore: ${place}:${line}:${column}: ${what} (${code})`;
  });
  return lines.length === 0 ? `explore: ${file} does not compile:\n${messages.trim()}` : lines.join('\n');
}

/** Compiles the program in `file`. Throws UsageError with the compiler's own message, which names file, line and column, and for a shared
 * access that the scheduler would not see. */
export async function compileProgram(file: string): Promise<CompiledProgram> {
  const full = path.resolve(file);
  if (statSync(full, { throwIfNoEntry: false })?.isDirectory() === true)
    throw new UsageError('explore', `explore: ${file}: a folder, not a file`, { file });
  if (textOf(full) === null) throw new UsageError('explore', `explore: ${file}: there is no such file`, { file });
  const inside = !path.relative(ROOT, full).startsWith('..');
  const entry = inside ? path.relative(ROOT, full) : `${OUTSIDE}/${path.basename(full)}`;
  let refused: UsageError | undefined;
  const ownText = (at: string): string | null => {
    const text = textOf(at);
    refused ??= text === null ? undefined : refusalOf(at, text);
    return text;
  };
  const read = (name: string, base: string): string | null => {
    const own = OWN.exec(name);
    if (own !== null && MODULES[own[1]!] !== undefined)
      return `export * from '../../src/kernel/${MODULES[own[1]!]}';\n`;
    if (!inside && name.startsWith(`${OUTSIDE}/`))
      return ownText(path.join(path.dirname(full), name.slice(OUTSIDE.length + 1)));
    if (name.startsWith(KERNEL)) return textOf(path.resolve(base, name));
    return ownText(path.resolve(base, name));
  };
  const { default: asc } = (await import(COMPILER)) as { default: Compiler };
  const written = new Map<string, string | Uint8Array>();
  let messages = '';
  const sink = { write: (text: string | Uint8Array) => void (messages += String(text)) };
  const { error } = await asc.main(
    [
      'src/kernel/build/controlled.ts',
      'src/kernel/control/program.ts',
      entry,
      ...FLAGS,
      '--baseDir',
      ROOT,
      '--outFile',
      'program.wasm',
    ],
    {
      stdout: sink,
      stderr: sink,
      readFile: read,
      writeFile: (name, contents) => void written.set(name, contents),
      listFiles: () => [],
      transforms: [AsyncifyArguments],
    },
  );
  if (refused !== undefined) throw refused;
  if (error !== null) throw new UsageError('explore', complaintsText(file, messages), { file });
  const bytes = written.get('program.wasm');
  if (!(bytes instanceof Uint8Array)) throw new Error('asc wrote no module');
  return {
    module: new WebAssembly.Module(bytes),
    sources: () => new SourceLines(bytes, JSON.parse(String(written.get('program.wasm.map'))) as SourceMapPayload),
  };
}
