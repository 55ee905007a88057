// Larger limits for inlining in the builds that are measured. asc hands its own limits to Binaryen before it optimizes and has no option for them, so the
// two functions by which it does that are wrapped, before the compiler is loaded for the first time.

import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';

/** asc's limits at -O3 (cost of a function with one caller, and of one without loops or calls), and ours. */
const ONE_CALLER = { asc: 200, ours: 1000 };
const FLEXIBLE = { asc: 70, ours: 120 };

/** @typedef {(size: number) => void} SetSize */

let raised = false;
let wrapped = false;

/**
 * From now on modules are optimized with our limits (`raise`) or asc's own.
 * @param {boolean} raise
 */
export async function raiseInlining(raise) {
  raised = raise;
  if (wrapped) return;
  wrapped = true;
  // The very copy that asc loads; the package's types do not know its raw functions.
  const path = createRequire(import.meta.resolve('assemblyscript/asc')).resolve('binaryen');
  const { default: binaryen } = /** @type {{ default: Record<string, SetSize> }} */ (
    await import(pathToFileURL(path).href)
  );
  wrap(binaryen, '_BinaryenSetOneCallerInlineMaxSize', ONE_CALLER);
  wrap(binaryen, '_BinaryenSetFlexibleInlineMaxSize', FLEXIBLE);
}

/**
 * @param {Record<string, SetSize>} binaryen
 * @param {string} name
 * @param {{ asc: number, ours: number }} limit
 */
function wrap(binaryen, name, { asc, ours }) {
  const set = binaryen[name];
  if (set === undefined) throw new Error(`binaryen has no ${name}: see src/build/inlining.mjs`);
  binaryen[name] = (size) => set(raised && size === asc ? ours : size);
}
