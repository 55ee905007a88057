// Where in the kernel's source a step was made: from the wasm frames of a JavaScript stack, taken inside an import, through the source map that asc
// wrote. The accessors of point.ts are inlined, so the instruction itself maps into point.ts; the line that called the accessor is that of the nearest
// instruction of the same function that maps elsewhere: it computed the address or the value just before. In the same way the line that called an inlined lock
// is found. Which function a line belongs to the source says, not the frame: that one is of who inlined it.
import { SourceMap, type SourceMapPayload } from 'node:module';

/** A place in the kernel's source; lines count from 1. */
export interface SourceLine {
  function: string;
  file: string;
  line: number;
  /** Of a step inside of a lock or another helper: where in there. The rest says who called it. */
  inside?: { file: string; line: number };
}

/** A frame of the stack inside the module: its function's name and index, and the byte offset of the call in the file. */
interface WasmFrame {
  name: string;
  index: number;
  offset: number;
}

const CODE_SECTION = 10;
const IMPORT_SECTION = 2;
/** What no reader wants to be shown as the place of a step: the accessors and asc's library. */
const INNERMOST = /(?:^|\/)src\/kernel\/(?:point|task)\.ts$|^~lib\//;
/** Locks, and what reads a word of the big tables: of interest is who calls them. */
const HELPERS = /(?:^|\/)src\/kernel\/(?:sync\/|(?:oops|snp\/rmp|mm\/xarray-node|kvm\/tdp-spte)\.ts$)/;
/** Where no step is made: the ways between a point and the import. */
const BETWEEN = /(?:^|\/)src\/kernel\/(?:point|control\/threads)\.ts$/;
const FUNCTION = /^\s*(?:export\s+)?(?:default\s+)?function\s+([\w$]+)/;
const METHOD =
  /^\s+(?:(?:static|private|protected|public)\s+)*(?!(?:if|for|while|switch|return)\b)([\w$]+)(?:<.*>)?\(.*\{\s*$/;

/** The wasm frames of `new Error().stack`, innermost first. */
export function wasmFrames(stack: string): WasmFrame[] {
  const frames: WasmFrame[] = [];
  for (const line of stack.split('\n')) {
    const found = /^\s*at (?:(.*) \()?wasm:\/\/.*:wasm-function\[(\d+)\]:0x([0-9a-f]+)\)?$/.exec(line);
    if (found === null) continue;
    const path = found[1] ?? '';
    frames.push({
      name: path.slice(path.lastIndexOf('/') + 1),
      index: Number(found[2]),
      offset: parseInt(found[3]!, 16),
    });
  }
  return frames;
}

/** A cursor over the parts of a WebAssembly file that say where functions lie. */
class Reader {
  at = 8;
  readonly #bytes: Uint8Array;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  get done(): boolean {
    return this.at >= this.#bytes.length;
  }

  byte(): number {
    return this.#bytes[this.at++]!;
  }

  /** An unsigned LEB128 number. */
  number(): number {
    let value = 0;
    for (let scale = 1; ; scale *= 128) {
      const byte = this.byte();
      value += (byte & 127) * scale;
      if (byte < 128) return value;
    }
  }

  skipName(): void {
    const length = this.number();
    this.at += length;
  }

  skipLimits(): void {
    const flags = this.byte();
    this.number();
    if ((flags & 1) !== 0) this.number();
  }
}

/** Number of imported functions: the first indices are theirs. */
function importedFunctions(reader: Reader): number {
  let functions = 0;
  for (let left = reader.number(); left > 0; left--) {
    reader.skipName();
    reader.skipName();
    const kind = reader.byte();
    if (kind === 0) {
      reader.number();
      functions++;
    } else if (kind === 3) reader.at += 2;
    else {
      if (kind === 1) reader.byte();
      reader.skipLimits();
    }
  }
  return functions;
}

/** First byte of each function's body, by function index; imported ones have none. */
export function functionStarts(wasm: Uint8Array): number[] {
  const reader = new Reader(wasm);
  const starts: number[] = [];
  while (!reader.done) {
    const section = reader.byte();
    const size = reader.number();
    const end = reader.at + size;
    if (section === IMPORT_SECTION) starts.length = importedFunctions(reader);
    if (section === CODE_SECTION) {
      for (let left = reader.number(); left > 0; left--) {
        const bytes = reader.number();
        starts.push(reader.at);
        reader.at += bytes;
      }
    }
    reader.at = end;
  }
  return starts;
}

/** Finds source lines of one build of the kernel, or of a user's program. */
export class SourceLines {
  readonly #map: SourceMap;
  readonly #starts: number[];
  readonly #texts: ReadonlyMap<string, string>;
  readonly #split = new Map<string, readonly string[]>();
  /** By stack. */
  readonly #steps = new Map<string, SourceLine | undefined>();

  constructor(wasm: Uint8Array, map: SourceMapPayload) {
    this.#map = new SourceMap(map);
    this.#starts = functionStarts(wasm);
    this.#texts = new Map(map.sources.map((file, n) => [file, map.sourcesContent?.[n] ?? '']));
  }

  /** The source lines of a stack's wasm frames, innermost first. Frames without a line (made by the compiler) are left out. */
  ofStack(stack: string): SourceLine[] {
    return wasmFrames(stack).flatMap((frame) => {
      const line = this.#lineOf(frame, INNERMOST);
      return line === undefined ? [] : [this.#named(line)];
    });
  }

  /** Where the step is made that a stack inside the point's import belongs to: outside of locks and helpers, if anything there calls them. */
  ofStep(stack: string): SourceLine | undefined {
    if (!this.#steps.has(stack)) this.#steps.set(stack, this.#stepOf(stack));
    return this.#steps.get(stack);
  }

  #stepOf(stack: string): SourceLine | undefined {
    let inside: SourceLine | undefined;
    for (const frame of wasmFrames(stack)) {
      const line = this.#lineOf(frame, INNERMOST);
      if (line === undefined || BETWEEN.test(line.file)) continue;
      if (inside === undefined && !HELPERS.test(line.file)) return this.#named(line);
      inside ??= line;
      const caller = HELPERS.test(line.file) ? this.#lineOf(frame, INNERMOST, HELPERS) : line;
      if (caller !== undefined && !HELPERS.test(caller.file) && !INNERMOST.test(caller.file))
        return { ...this.#named(caller), inside: { file: inside.file, line: inside.line } };
    }
    return inside && this.#named(inside);
  }

  /** The line of the nearest instruction, at the frame's or before it, that lies in none of the `passed` files; the first one when there is no other. */
  #lineOf({ name, index, offset }: WasmFrame, ...passed: readonly RegExp[]): SourceLine | undefined {
    const start = this.#starts[index] ?? 0;
    let innermost: SourceLine | undefined;
    for (let at = offset; at >= start;) {
      const entry = this.#map.findEntry(0, at);
      if (!('originalSource' in entry)) return innermost;
      if (entry.originalSource !== undefined) {
        const line = { function: name, file: entry.originalSource, line: entry.originalLine + 1 };
        if (!passed.some((files) => files.test(line.file))) return line;
        innermost ??= line;
      }
      at = entry.generatedColumn - 1;
    }
    return innermost;
  }

  /** With the function that the source says; that of the frame where the source is not there. */
  #named(place: SourceLine): SourceLine {
    const lines = this.#split.get(place.file) ?? this.#texts.get(place.file)?.split('\n') ?? [];
    this.#split.set(place.file, lines);
    for (let n = Math.min(place.line, lines.length) - 1; n >= 0; n--) {
      const found = FUNCTION.exec(lines[n]!) ?? METHOD.exec(lines[n]!);
      if (found !== null) return { ...place, function: found[1]! };
    }
    return { ...place, function: place.function.replace(/@varargs$/, '') };
  }
}
