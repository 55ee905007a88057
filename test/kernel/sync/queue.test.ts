// Who comes next: the order of the rwlock's queue, the rwsem's hand-off and downgrade. Threads are queued one after the other, each seen to
// wait before the next comes, so that the order is known.
import { describe, expect, it } from 'vitest';
import { LC_USER } from '#src/kernel/abi/classes.js';
import { bootKernel, type TestKernel } from '../harness.js';
import { until, waitersOf } from './support.js';

type Call = 'downRead' | 'downWrite' | 'readLock' | 'writeLock';
type Release = 'upRead' | 'upWrite' | 'readUnlock' | 'writeUnlock';
interface Script {
  lock: number;
  board: number;
  calls: [Call, Release][];
}

/**
 * Thread n waits for its turn (board[0] > n), takes the lock, notes the order of entry in board[8 + n] (from board[1]), and keeps the lock
 * until board[2] > n.
 */
function actor(k: TestKernel, index: number, { lock, board, calls }: Script): void {
  const at = board / 4;
  const [take, release] = calls[index]!;
  while (Atomics.load(k.words, at) <= index) Atomics.wait(k.words, at, Atomics.load(k.words, at), 1);
  k.x[take](lock);
  Atomics.store(k.words, at + 8 + index, Atomics.add(k.words, at + 1, 1) + 1);
  while (Atomics.load(k.words, at + 2) <= index) Atomics.wait(k.words, at + 2, Atomics.load(k.words, at + 2), 1);
  k.x[release](lock);
}

function stage(init: 'rwsemInit' | 'rwlockInit'): { k: TestKernel; lock: number; board: number } {
  const k = bootKernel();
  const lock = k.alloc(64);
  k.x[init](lock, LC_USER);
  return { k, lock, board: k.alloc(128) };
}

/** Lets the actors come up to the lock one by one; returns when `count` of them wait. */
async function queueUp(k: TestKernel, lock: number, board: number, count: number): Promise<void> {
  for (let n = 1; n <= count; n++) {
    Atomics.store(k.words, board / 4, n);
    await until(() => waitersOf(k, lock) === n);
  }
}

const entered = (k: TestKernel, board: number, count: number): number[] =>
  Array.from(k.words.subarray(board / 4 + 8, board / 4 + 8 + count));

describe('rwlock', () => {
  const WAITING = 0x100;
  /** The head of the queue has been passed over long enough: it claims the lock. */
  const claimed = (k: TestKernel, lock: number): boolean => (k.u32(lock) & WAITING) !== 0;

  it('serves its queue first come, first served: readers behind a waiting writer do not pass it', async () => {
    const { k, lock, board } = stage('rwlockInit');
    k.x.readLock(lock);
    const calls: [Call, Release][] = [
      ['writeLock', 'writeUnlock'],
      ['readLock', 'readUnlock'],
      ['readLock', 'readUnlock'],
      ['writeLock', 'writeUnlock'],
    ];
    const run = k.threads(4, actor, { lock, board, calls });
    await queueUp(k, lock, board, 1);
    expect(k.x.rwlockNeedbreak(lock)).toBe(1);
    await until(() => claimed(k, lock));
    await queueUp(k, lock, board, 4);
    expect(k.x.readTrylock(lock)).toBe(0);
    k.x.readUnlock(lock);
    await until(() => k.u32(board + 4) === 1);
    expect(entered(k, board, 4)).toEqual([1, 0, 0, 0]);
    Atomics.store(k.words, board / 4 + 2, 1);
    await until(() => k.u32(board + 4) === 3);
    expect(entered(k, board, 4)[3]).toBe(0);
    Atomics.store(k.words, board / 4 + 2, 4);
    await run;
    expect(entered(k, board, 4)[3]).toBe(4);
    expect(k.u32(lock)).toBe(0);
  });

  it('once the head of the queue has claimed the lock, a newcomer does not pass it at the moment the lock comes free', async () => {
    const { k, lock, board } = stage('rwlockInit');
    k.x.writeLock(lock);
    const run = k.threads(1, actor, { lock, board, calls: [['writeLock', 'writeUnlock']] });
    await queueUp(k, lock, board, 1);
    await until(() => claimed(k, lock));
    k.x.writeUnlock(lock);
    expect(k.x.writeTrylock(lock)).toBe(0);
    expect(k.x.readTrylock(lock)).toBe(0);
    Atomics.store(k.words, board / 4 + 2, 1);
    await run;
  });
});

describe('rwlock readers at the head', () => {
  it('claim the lock too when writers keep passing them', async () => {
    const { k, lock, board } = stage('rwlockInit');
    k.x.writeLock(lock);
    const run = k.threads(1, actor, { lock, board, calls: [['readLock', 'readUnlock']] });
    await queueUp(k, lock, board, 1);
    Atomics.store(k.words, board / 4 + 2, 1);
    while (Atomics.load(k.words, board / 4 + 1) === 0) {
      k.x.writeUnlock(lock);
      k.x.writeLock(lock);
    }
    k.x.writeUnlock(lock);
    await run;
    expect(k.u32(lock)).toBe(0);
  });
});

describe('rwsem', () => {
  const HANDOFF = 4;

  it('downgrade_write lets the queued readers in and no writer in between', async () => {
    const { k, lock, board } = stage('rwsemInit');
    k.x.downWrite(lock);
    const run = k.threads(3, actor, {
      lock,
      board,
      calls: [
        ['downRead', 'upRead'],
        ['downWrite', 'upWrite'],
        ['downRead', 'upRead'],
      ],
    });
    await queueUp(k, lock, board, 3);
    k.x.downgradeWrite(lock);
    // All readers of the queue come in, also the one behind the writer: phases of readers and writers alternate.
    await until(() => k.u32(board + 4) === 2);
    expect(entered(k, board, 3)[1]).toBe(0);
    k.x.upRead(lock);
    Atomics.store(k.words, board / 4 + 2, 1);
    await until(() => k.u32(lock) >>> 8 === 1);
    expect(entered(k, board, 3)[1]).toBe(0);
    Atomics.store(k.words, board / 4 + 2, 3);
    await run;
    expect(entered(k, board, 3)[1]).toBe(3);
    expect(k.u32(lock)).toBe(0);
  });

  it('a downgraded lock is held for read: readers join, a writer waits', () => {
    const { k, lock } = stage('rwsemInit');
    k.x.downWrite(lock);
    k.x.downgradeWrite(lock);
    k.x.taskBind(1);
    expect(k.x.downReadTrylock(lock)).toBe(1);
    expect(k.x.downWriteTrylock(lock)).toBe(0);
    k.x.upRead(lock);
    k.x.taskBind(0);
    k.x.upRead(lock);
    expect(k.u32(lock)).toBe(0);
  });

  it('the first waiter asks for the hand-off in time; from then on nobody else is admitted, and it is served next', async () => {
    const { k, lock, board } = stage('rwsemInit');
    k.x.downRead(lock);
    const calls: [Call, Release][] = [
      ['downWrite', 'upWrite'],
      ['downRead', 'upRead'],
      ['downWrite', 'upWrite'],
    ];
    const run = k.threads(3, actor, { lock, board, calls });
    await queueUp(k, lock, board, 1);
    await until(() => (k.u32(lock) & HANDOFF) !== 0);
    k.x.taskBind(9);
    expect(k.x.downReadTrylock(lock)).toBe(0);
    expect(k.x.downWriteTrylock(lock)).toBe(0);
    k.x.taskBind(0);
    await queueUp(k, lock, board, 3);
    k.x.upRead(lock);
    await until(() => k.u32(board + 4) === 1);
    expect(entered(k, board, 3)).toEqual([1, 0, 0]);
    Atomics.store(k.words, board / 4 + 2, 3);
    await run;
    expect(k.u32(lock)).toBe(0);
  });

  it('one reader at the head takes every queued reader along', async () => {
    const { k, lock, board } = stage('rwsemInit');
    k.x.downWrite(lock);
    const calls: [Call, Release][] = [
      ['downRead', 'upRead'],
      ['downWrite', 'upWrite'],
      ['downRead', 'upRead'],
      ['downRead', 'upRead'],
    ];
    const run = k.threads(4, actor, { lock, board, calls });
    await queueUp(k, lock, board, 4);
    k.x.upWrite(lock);
    await until(() => k.u32(board + 4) === 3);
    expect(entered(k, board, 4)[1]).toBe(0);
    expect(k.u32(lock) >>> 8).toBe(3);
    Atomics.store(k.words, board / 4 + 2, 4);
    await run;
  });
});
