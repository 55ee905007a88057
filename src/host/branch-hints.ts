// The kernel's modules say which branches are rarely taken (src/build/branch-hints.mjs). Node 20's V8 heeds that only when told to; without, the kernel
// does the same, and the `perturbed` build takes about 15 % longer. The flag holds for the whole process, so only our own executables set it; who uses
// the library decides for himself: `node --experimental-wasm-branch-hinting`.
import process from 'node:process';
import { setFlagsFromString } from 'node:v8';

/** The one V8 for which this has been tried. In others the flag may be gone, or mean more than it did. */
const TRIED = /^11\.3\./;

/** @context before the first kernel module is compiled in the process. */
export function heedBranchHints(): void {
  if (TRIED.test(process.versions.v8)) setFlagsFromString('--experimental-wasm-branch-hinting');
}
