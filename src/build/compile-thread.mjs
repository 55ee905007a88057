// A thread that compiles builds of the kernel, one after another as they are posted.
import { parentPort } from 'node:worker_threads';
import { compile } from './compile.mjs';
import { messageOf } from './files.mjs';

parentPort?.on(
  'message',
  async (/** @type {{ build: string, entry: string, name: string }} */ { build, entry, name }) => {
    try {
      parentPort?.postMessage({ compiled: await compile(build, entry, name) });
    } catch (error) {
      parentPort?.postMessage({ failure: messageOf(error) });
    }
  },
);
