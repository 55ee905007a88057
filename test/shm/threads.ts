// Real threads that use rmptorture/shm from outside, over one arena.
import { Worker } from 'node:worker_threads';
import type { Arena } from '#src/shm/index.js';
import type * as Shm from '#src/shm/index.js';

type Body<A, R> = (shm: typeof Shm, arena: Arena, index: number, arg: A) => R;

const ENTRY = new URL('../../dist/src/shm/index.js', import.meta.url).href;
const SOURCE = `
const { workerData, parentPort } = require('node:worker_threads');
import(workerData.entry).then((shm) => {
  const arena = shm.Arena.attach(workerData.handle);
  const result = (0, eval)('(' + workerData.body + ')')(shm, arena, workerData.index, workerData.arg);
  arena.detach();
  parentPort.postMessage(result);
});`;

/** Runs `body` (sent as text) on real threads attached to the arena. */
export async function threads<A, R>(arena: Arena, count: number, body: Body<A, R>, arg: A): Promise<R[]> {
  return Promise.all(
    Array.from(
      { length: count },
      (_, index) =>
        new Promise<R>((resolve, reject) => {
          const workerData = { entry: ENTRY, handle: arena.handle(), body: body.toString(), index, arg };
          const worker = new Worker(SOURCE, { eval: true, workerData });
          worker.once('message', resolve);
          worker.once('error', reject);
        }),
    ),
  );
}
