// The branch hints in the compiled kernel, read here by themselves: each must stand at an `if` of the function it names, or V8 refuses the module,
// and the perturbation points, which are what the hints are for, must all have one.
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';

const IF = 0x04;
const CALL = 0x10;

class Cursor {
  at = 0;
  readonly #bytes: Uint8Array;
  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }
  byte(): number {
    return this.#bytes[this.at++]!;
  }
  number(): number {
    const byte = this.byte();
    return byte < 128 ? byte : byte - 128 + 128 * this.number();
  }
  string(): string {
    const length = this.number();
    this.at += length;
    return new TextDecoder().decode(this.#bytes.subarray(this.at - length, this.at));
  }
}

/** Bodies of the module's own functions. */
function functionsOf(bytes: Uint8Array) {
  const bodies: Uint8Array[] = [];
  const cursor = new Cursor(bytes);
  for (cursor.at = 8; cursor.at < bytes.length;) {
    const id = cursor.byte();
    const end = cursor.number() + cursor.at;
    if (id === 10) {
      for (let n = cursor.number(); n > 0; n--) {
        const size = cursor.number();
        bodies.push(bytes.subarray(cursor.at, cursor.at + size));
        cursor.at += size;
      }
    }
    cursor.at = end;
  }
  return bodies;
}

function hintsOf(section: ArrayBuffer): { index: number; at: number; taken: number }[] {
  const cursor = new Cursor(new Uint8Array(section));
  const hints = [];
  for (let functions = cursor.number(); functions > 0; functions--) {
    const index = cursor.number();
    for (let n = cursor.number(); n > 0; n--) {
      const at = cursor.number();
      expect(cursor.number()).toBe(1);
      hints.push({ index, at, taken: cursor.byte() });
    }
  }
  expect(cursor.at).toBe(section.byteLength);
  return hints;
}

describe.each(['fast', 'fast-stat', 'perturbed'])('the %s build', (build) => {
  const bytes = readFileSync(`dist/kernel/${build}.wasm`);
  const module = new WebAssembly.Module(bytes);
  const hints = WebAssembly.Module.customSections(module, 'metadata.code.branch_hint').flatMap((section) =>
    hintsOf(section),
  );

  it('has hints of "not taken" only, each at an if of the function it names, in ascending order', () => {
    const bodies = functionsOf(bytes);
    const imported = WebAssembly.Module.imports(module).filter(({ kind }) => kind === 'function').length;
    expect(hints.length).toBeGreaterThan(0);
    let last = { index: -1, at: -1 };
    for (const { index, at, taken } of hints) {
      expect(taken).toBe(0);
      expect(bodies[index - imported]![at]).toBe(IF);
      expect(index > last.index || (index === last.index && at > last.at)).toBe(true);
      last = { index, at };
    }
  });
});

it('hints at every perturbation point: an if with nothing but the call in it, in no other build', () => {
  const count = (build: string): number => {
    const bytes = readFileSync(`dist/kernel/${build}.wasm`);
    const module = new WebAssembly.Module(bytes);
    const imported = WebAssembly.Module.imports(module).filter(({ kind }) => kind === 'function').length;
    const bodies = functionsOf(bytes);
    const hints = WebAssembly.Module.customSections(module, 'metadata.code.branch_hint').flatMap((section) =>
      hintsOf(section),
    );
    // if (block type: nothing) call f end, f without arguments
    return hints.filter(({ index, at }) => bodies[index - imported]![at + 2] === CALL).length;
  };
  expect(count('perturbed')).toBeGreaterThan(500);
  expect(count('fast')).toBe(0);
});
