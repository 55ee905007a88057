// What our executables ask of the V8 of Node 20 for the kernel's modules, beyond what it does by itself. The flags hold for the whole process, so who uses the
// library decides for himself: `node --experimental-wasm-branch-hinting --wasm-inlining`. Without them the kernel does the same, more slowly.
import process from 'node:process';
import { setFlagsFromString } from 'node:v8';

/** The one V8 for which they have been tried. In others a flag may be gone, or mean more than it did; that of Node 24 inlines by itself. */
const TRIED = /^11\.3\./;

/**
 * Lets V8 heed the modules' branch hints (src/build/branch-hints.mjs; `perturbed` takes about 15 % longer without), and inline functions across calls (a cycle of one page, and a long
 * exploration, take about 15 % longer without), up to four times as far as it would by itself (a cycle of one page takes 6 % longer without, of 512 pages 4 %; further gains
 * nothing). Stacks name inlined functions, too: what the explorer says of places does not change.
 * @context before the first kernel module is compiled in the process.
 */
export function tuneV8(): void {
  if (!TRIED.test(process.versions.v8)) return;
  setFlagsFromString('--experimental-wasm-branch-hinting');
  setFlagsFromString('--wasm-inlining');
  setFlagsFromString('--wasm-inlining-budget=20000');
  setFlagsFromString('--wasm-inlining-max-size=2000');
}
