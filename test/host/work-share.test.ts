// The bag of jobs that threads share out among themselves: no job is lost or done twice, and everybody leaves when all is done.
import { Worker } from 'node:worker_threads';
import { describe, expect, it } from 'vitest';
import { WorkShare } from '#src/host/work-share.js';

const words = (...values: number[]): Int32Array => Int32Array.from(values);

describe('a bag of jobs', () => {
  it('gives out what was put in, and is over when the last job is finished', () => {
    const share = WorkShare.create(1, 4, 8);
    expect(share.put(words(1, 2, 3))).toBe(true);
    expect(share.put(words())).toBe(true);
    expect(share.length).toBe(2);
    const jobs = [share.take(), share.take()].map((job) => [...job!]);
    expect(jobs).toEqual([[], [1, 2, 3]]);
    share.finish();
    share.finish();
    expect(share.take()).toBeUndefined();
  });

  it('refuses a job that is too long, and one for which there is no room', () => {
    const share = WorkShare.create(1, 1, 2);
    expect(share.put(words(1, 2, 3))).toBe(false);
    expect(share.put(words(1, 2))).toBe(true);
    expect(share.put(words(3))).toBe(false);
    expect([...share.takeNow()!]).toEqual([1, 2]);
    expect(share.takeNow()).toBeUndefined();
  });

  it('gives nothing out once the work was stopped', () => {
    const share = WorkShare.create(1, 1, 2);
    share.put(words(7));
    share.stop();
    expect(share.take()).toBeUndefined();
    expect([...share.takeNow()!]).toEqual([7]);
  });

  it('adds up what the workers tell', () => {
    const share = WorkShare.create(3, 1, 1);
    for (const worker of [0, 1, 2]) share.note(worker, 1, worker + 0.5);
    expect(WorkShare.attach(share.handle).sum(1)).toBe(4.5);
    expect(share.sum(0)).toBe(0);
  });

  // Each job n > 1 splits into n - 1 ones and itself less: so many leaves are counted in the end.
  const SOURCE = `
    const { parentPort, workerData } = require('node:worker_threads');
    import(workerData.module).then(({ WorkShare }) => {
      const share = WorkShare.attach(workerData.handle);
      let leaves = 0;
      for (let job = share.take(); job !== undefined; job = share.take()) {
        for (let left = job[0]; left > 0; left--) {
          if (left > 1 && share.isWanted && share.put(Int32Array.of(Math.floor(left / 2)))) left -= Math.floor(left / 2);
          leaves++;
        }
        share.finish();
      }
      parentPort.postMessage(leaves);
    });`;

  it('is emptied by several threads together: every leaf once', async () => {
    const share = WorkShare.create(3, 8, 4);
    share.put(words(20_000));
    const module = new URL('../../dist/src/host/work-share.js', import.meta.url).href;
    const workers = [0, 1, 2].map(
      () => new Worker(SOURCE, { eval: true, workerData: { module, handle: share.handle } }),
    );
    const leaves = await Promise.all(
      workers.map((each) => new Promise<number>((resolve) => each.once('message', resolve))),
    );
    await Promise.all(workers.map((each) => each.terminate()));
    expect(leaves.reduce((sum, each) => sum + each)).toBe(20_000);
    expect(share.length).toBe(0);
  });
});
