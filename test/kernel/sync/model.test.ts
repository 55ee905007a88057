// rwsem and rwlock against a plain model: any sequence of tries, releases and downgrades by several tasks, without contention, gives the
// results, the lock word and the owner word that the model gives.
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { LC_USER } from '#src/kernel/abi/classes.js';
import { LOCK_OWNER, OWNER_MASK, OWNER_READER } from '#src/kernel/abi/sync.js';
import { bootKernel } from '../harness.js';
import { READER_LOCKS } from './support.js';

const TASKS = 5;
type Step = { task: number; action: 'read' | 'write' | 'release' | 'downgrade' | 'block-read' | 'block-write' };
const step = fc.record({
  task: fc.nat(TASKS - 1),
  action: fc.constantFrom<Step['action']>('read', 'write', 'release', 'downgrade', 'block-read', 'block-write'),
});

/** Word of the lock for a number of readers, or a writer; nobody waits. */
const WORDS = {
  rwsem: (readers: number, writer: boolean) => readers * 256 + (writer ? 1 : 0),
  rwlock: (readers: number, writer: boolean) => readers * 0x400 + (writer ? 0xff : 0),
};

describe.each(READER_LOCKS)('$name as a state machine', (kind) => {
  const k = bootKernel();
  const lock = k.alloc(64);

  const play = (steps: Step[]): void => {
    k.x[kind.init](lock, LC_USER);
    const held = new Map<number, 'read' | 'write'>();
    const free = (): boolean => held.size === 0;
    const open = (): boolean => ![...held.values()].includes('write');
    for (const { task, action } of steps) {
      k.x.taskBind(task);
      const mine = held.get(task);
      if (action === 'release' && mine !== undefined) {
        k.x[kind[mine].unlock](lock);
        held.delete(task);
      } else if (action === 'downgrade' && mine === 'write' && kind.name === 'rwsem') {
        k.x.downgradeWrite(lock);
        held.set(task, 'read');
      } else if (mine === undefined && (action === 'read' || action === 'write')) {
        const expected = action === 'read' ? open() : free();
        expect(k.x[kind[action].tryLock](lock)).toBe(expected ? 1 : 0);
        if (expected) held.set(task, action);
      } else if (mine === undefined && action === 'block-read' && open()) {
        k.x[kind.read.lock](lock);
        held.set(task, 'read');
      } else if (mine === undefined && action === 'block-write' && free()) {
        k.x[kind.write.lock](lock);
        held.set(task, 'write');
      }
      const writer = [...held].find(([, mode]) => mode === 'write');
      expect(k.u32(lock)).toBe(
        WORDS[kind.name as keyof typeof WORDS](writer === undefined ? held.size : 0, writer !== undefined),
      );
      const owner = k.u32(lock + LOCK_OWNER);
      if (writer !== undefined) expect(owner).toBe(writer[0] + 1);
      else if (held.size > 0) expect(owner & OWNER_READER).toBe(OWNER_READER);
      if (held.size === 1 && held.has(task) && mine === undefined) expect(owner & OWNER_MASK).toBe(task + 1);
    }
    for (const [task, mode] of held) {
      k.x.taskBind(task);
      k.x[kind[mode].unlock](lock);
    }
    expect(k.u32(lock)).toBe(0);
  };

  it('agrees with the model after every step', () => {
    fc.assert(fc.property(fc.array(step, { maxLength: 60 }), play), { seed: 20, numRuns: 300 });
  });
});
