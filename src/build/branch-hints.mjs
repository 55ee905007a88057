// Branch hints: marks the tests in front of the kernel's rare calls (perturbation, unknown lock sequences, samples, violations) as not taken.
// V8 then keeps those calls out of the way: without a hint each costs the values that live across it a trip to the stack, taken or not.
// Only V8 with --experimental-wasm-branch-hinting reads the section; everything else skips it. Format: the WebAssembly branch hinting proposal.
import { Buffer } from 'node:buffer';

const SECTION = 'metadata.code.branch_hint';
const CUSTOM = 0;
const IMPORTS = 2;
const CODE = 10;
const CONTROL = new Set([0x00, 0x02, 0x03, 0x04, 0x05, 0x0b, 0x0c, 0x0d, 0x0e, 0x0f, 0x10, 0x11]);
const IF = 0x04;
const CALL = 0x10;

class Reader {
  /** @param {Uint8Array} bytes */
  constructor(bytes) {
    this.bytes = bytes;
    this.at = 0;
  }

  byte() {
    return /** @type {number} */ (this.bytes[this.at++]);
  }

  /** An LEB128 number; of signed and 64-bit ones only the length matters here. */
  number() {
    let value = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = this.byte();
      value += (byte & 127) * 2 ** shift;
      if (byte < 128) return value;
    }
  }

  text() {
    const length = this.number();
    this.at += length;
    return Buffer.from(this.bytes.subarray(this.at - length, this.at)).toString('latin1');
  }

  /** @param {() => void} each */
  vector(each) {
    for (let n = this.number(); n > 0; n--) each();
  }
}

/** @param {number} value */
function leb(value) {
  const bytes = [];
  for (; value > 127; value >>>= 7) bytes.push((value & 127) | 128);
  return [...bytes, value];
}

/** @param {Reader} r */
function sections(r) {
  const found = [];
  for (r.at = 8; r.at < r.bytes.length;) {
    const start = r.at;
    const id = r.byte();
    const size = r.number();
    found.push({ id, start, body: r.at, end: r.at + size });
    r.at += size;
  }
  return found;
}

/** @param {Reader} r at the import section. @returns {number} imported functions */
function importedFunctions(r) {
  let count = 0;
  r.vector(() => {
    r.text();
    r.text();
    const kind = r.byte();
    if (kind === 0) {
      r.number();
      count++;
    } else if (kind === 2) {
      const flags = r.byte();
      r.number();
      if ((flags & 1) !== 0) r.number();
    } else if (kind === 3) r.at += 2;
    else throw new Error(`branch hints: an import of kind ${kind}`);
  });
  return count;
}

/** Indices of the functions so named. @param {Reader} r in the name section @param {number} end @param {readonly string[]} names */
function indicesOf(r, end, names) {
  const found = new Set();
  while (r.at < end) {
    const id = r.byte();
    const size = r.number();
    const next = r.at + size;
    if (id === 1) {
      r.vector(() => {
        const index = r.number();
        if (names.includes(r.text())) found.add(index);
      });
    }
    r.at = next;
  }
  return found;
}

/** Steps over what follows an opcode. @param {Reader} r @param {number} op */
function skipImmediates(r, op) {
  if (op === 0xfe) {
    const sub = r.number();
    r.number();
    if (sub !== 3) r.number();
  } else if (op === 0xfc) {
    const sub = r.number();
    if (sub === 10) r.at += 2;
    else if (sub === 11) r.at += 1;
    else if (sub > 11) throw new Error(`branch hints: opcode fc ${sub}`);
  } else if (op === 0x0e) {
    r.vector(() => r.number());
    r.number();
  } else if (op === 0x1c) r.vector(() => r.number());
  else if (op === 0x11 || (op >= 0x28 && op <= 0x3e)) {
    r.number();
    r.number();
  } else if (op === 0x43) r.at += 4;
  else if (op === 0x44) r.at += 8;
  else if (op === 0x0c || op === 0x0d || (op >= 0x20 && op <= 0x24) || (op >= 0x3f && op <= 0x42) || op === CALL)
    r.number();
  else if (op >= 0x02 && op <= IF) r.number();
  else if (op > 0xc4 || (op > 0x24 && op < 0x28)) throw new Error(`branch hints: opcode ${op.toString(16)}`);
}

/** Offsets, in a function's body, of each `if` that does nothing before it calls a rare function. @param {Reader} r @param {Set<number>} rare */
function hintsOfBody(r, rare) {
  const size = r.number();
  const start = r.at;
  const end = start + size;
  r.vector(() => {
    r.number();
    r.byte();
  });
  const hints = [];
  let lastIf = -1;
  while (r.at < end) {
    const at = r.at;
    const op = r.byte();
    if (op === CALL) {
      const callee = r.number();
      if (lastIf >= 0 && rare.has(callee)) hints.push(lastIf - start);
    } else skipImmediates(r, op);
    if (CONTROL.has(op)) lastIf = op === IF ? at : -1;
  }
  if (r.at !== end) throw new Error('branch hints: a function body is not understood');
  return hints;
}

/**
 * A module with hints in front of its code, and by how many bytes that moved the code.
 * @param {Uint8Array} module
 * @param {readonly string[]} rareNames functions, as the name section has them; a module need not have all
 */
export function addBranchHints(module, rareNames) {
  const r = new Reader(module);
  const all = sections(r);
  let imported = 0;
  let rare = new Set();
  for (const { id, body, end } of all) {
    r.at = body;
    if (id === IMPORTS) imported = importedFunctions(r);
    if (id === CUSTOM && r.text() === 'name') rare = indicesOf(r, end, rareNames);
  }
  const code = all.find(({ id }) => id === CODE);
  if (code === undefined) throw new Error('branch hints: the module has no code');
  r.at = code.body;
  /** @type {number[][]} */
  const entries = [];
  let index = imported;
  r.vector(() => {
    const hints = hintsOfBody(r, rare);
    if (hints.length > 0)
      entries.push([...leb(index), ...leb(hints.length), ...hints.flatMap((at) => [...leb(at), 1, 0])]);
    index++;
  });
  const content = [...leb(SECTION.length), ...Buffer.from(SECTION), ...leb(entries.length), ...entries.flat()];
  const section = [CUSTOM, ...leb(content.length), ...content];
  const bytes = Buffer.concat([module.subarray(0, code.start), Buffer.from(section), module.subarray(code.start)]);
  return { bytes, moved: section.length };
}

const BASE64 = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/';

/**
 * A source map whose generated code lies `moved` bytes further on. Wasm maps have one line, and only its first position is absolute.
 * @param {string} map
 * @param {number} moved
 */
export function shiftSourceMap(map, moved) {
  const parsed = JSON.parse(map);
  const [first = ''] = /^[A-Za-z0-9+/]*/.exec(parsed.mappings) ?? [];
  let value = 0;
  let length = 0;
  for (let digit = 32; (digit & 32) !== 0; length++) {
    digit = BASE64.indexOf(first[length] ?? '');
    if (digit < 0) throw new Error('the source map begins with no position');
    value += (digit & 31) * 2 ** (5 * length);
  }
  let column = value + 2 * moved;
  let digits = '';
  for (; column > 31; column >>>= 5) digits += BASE64[(column & 31) | 32];
  parsed.mappings = digits + BASE64[column] + parsed.mappings.slice(length);
  return JSON.stringify(parsed);
}
