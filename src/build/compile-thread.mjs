// A thread that compiles builds of the kernel, one after another as they are posted.
import { parentPort } from 'node:worker_threads';
import { compile } from './compile.mjs';
import { messageOf } from './files.mjs';

/** @typedef {{ build: string, entry: string, name: string }} Job */

parentPort?.on('message', (/** @type {Job} */ { build, entry, name }) => {
  compile(build, entry, name).then(
    (compiled) => parentPort?.postMessage({ compiled }),
    (error) => parentPort?.postMessage({ failure: messageOf(error) }),
  );
});
