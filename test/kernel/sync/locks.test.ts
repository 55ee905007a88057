// What every lock owes its users, on real threads with shadow counts of the tests' own: exclusion, sharing, trylock, owner words, and that
// no waiter is passed over for ever. One table of locks, one set of tests.
import { describe, expect, it } from 'vitest';
import { LC_USER } from '#src/kernel/abi/classes.js';
import { LOCK_OWNER, OWNER_MASK, OWNER_READER } from '#src/kernel/abi/sync.js';
import { V_PLANT_BUSTED_LOCK } from '#src/kernel/abi/variants.js';
import { bootKernel, type TestKernel } from '../harness.js';
import { LOCKS, type LockKind, type Mode, READER_LOCKS, until, waitersOf } from './support.js';

interface Plan {
  kind: LockKind;
  lock: number;
  shadow: number;
  rounds: number;
}

interface Flood extends Omit<Plan, 'rounds'> {
  few: Mode;
  many: Mode;
}

/**
 * Threads in the lock, each entering at random for read or write. The shadow word has the writers inside in its upper half and the readers
 * in its lower; the word behind it is raised without atomics. Returns the entries that met somebody they should not have met.
 */
function mix(k: TestKernel, index: number, { kind, lock, shadow, rounds }: Plan): { writes: number; bad: number } {
  const inside = shadow / 4;
  let writes = 0;
  let bad = 0;
  for (let n = 0; n < rounds; n++) {
    const mode = kind.read !== undefined && (n + index) % 3 !== 0 ? kind.read : kind.write;
    const share = mode === kind.write ? 0x10000 : 1;
    if (n % 5 === 4) {
      if (k.x[mode.tryLock](lock) === 0) continue;
    } else k.x[mode.lock](lock);
    const met = Atomics.add(k.words, inside, share);
    if (share === 1 ? met >= 0x10000 : met !== 0) bad++;
    if (share !== 1) {
      k.words[inside + 1] = k.words[inside + 1]! + 1;
      writes++;
    }
    Atomics.sub(k.words, inside, share);
    k.x[mode.unlock](lock);
  }
  return { writes, bad };
}

/** Thread 0 enters 30 times in mode `few`; the others enter in mode `many` without a pause until it has done so. */
function flood(k: TestKernel, index: number, { lock, shadow, few, many }: Flood): number {
  const mode = index === 0 ? few : many;
  const done = shadow / 4;
  let n = 0;
  for (; index === 0 ? n < 30 : Atomics.load(k.words, done) === 0; n++) {
    k.x[mode.lock](lock);
    for (let m = 0; m < 200; m++) Atomics.load(k.words, done + 1);
    k.x[mode.unlock](lock);
  }
  Atomics.store(k.words, done, 1);
  return n;
}

function bootLock(kind: LockKind, variants: number[] = []): { k: TestKernel; lock: number; shadow: number } {
  const k = bootKernel({ variants, perturbMeanPoints: 60, perturbNs: 20_000 });
  const lock = k.alloc(64);
  k.x[kind.init](lock, LC_USER);
  return { k, lock, shadow: k.alloc(64) };
}

describe.each(LOCKS)('$name', (kind) => {
  it('excludes: a writer is alone, readers meet readers only, no raise of a plain counter is lost', async () => {
    const { k, lock, shadow } = bootLock(kind);
    const runs = await k.threads(4, mix, { kind, lock, shadow, rounds: 1000 });
    expect(runs.map((run) => run.bad)).toEqual([0, 0, 0, 0]);
    expect(k.words[shadow / 4 + 1]).toBe(runs.reduce((sum, run) => sum + run.writes, 0));
    expect(k.u32(lock)).toBe(0);
  });

  it('trylock fails while another task holds it for write, and a failed trylock leaves no trace', () => {
    const { k, lock } = bootLock(kind);
    k.x[kind.write.lock](lock);
    const word = k.u32(lock);
    k.x.taskBind(1);
    expect(k.x[kind.write.tryLock](lock)).toBe(0);
    if (kind.read !== undefined) expect(k.x[kind.read.tryLock](lock)).toBe(0);
    expect(k.u32(lock)).toBe(word);
    k.x.taskBind(0);
    k.x[kind.write.unlock](lock);
    expect(k.u32(lock)).toBe(0);
  });

  it('the owner word names the writer while it holds the lock', () => {
    const { k, lock } = bootLock(kind);
    k.x.taskBind(3);
    k.x[kind.write.lock](lock);
    expect(k.u32(lock + LOCK_OWNER)).toBe(4);
    k.x[kind.write.unlock](lock);
    expect(k.u32(lock + LOCK_OWNER)).toBe(0);
    expect(k.x[kind.write.tryLock](lock)).toBe(1);
    expect(k.u32(lock + LOCK_OWNER)).toBe(4);
  });

  it('a waiting task is visible to the watchdog, and is gone from there when it has the lock', async () => {
    const { k, lock } = bootLock(kind);
    k.x[kind.write.lock](lock);
    const waiter = k.threads(
      1,
      (w, _, { kind: { write }, lock: l }) => {
        w.x[write.lock](l);
        w.x[write.unlock](l);
      },
      { kind, lock },
    );
    await until(() => waitersOf(k, lock) === 1);
    k.x[kind.write.unlock](lock);
    await waiter;
    expect(waitersOf(k, lock)).toBe(0);
  });

  it('a waiter gets the lock although its holder takes it again at once, over and over', async () => {
    const { k, lock, shadow } = bootLock(kind);
    k.x[kind.write.lock](lock);
    const waiter = k.threads(
      1,
      (w, _, { kind: { write }, lock: l, shadow: s }) => {
        w.x[write.lock](l);
        Atomics.store(w.words, s / 4, 1);
        w.x[write.unlock](l);
      },
      { kind, lock, shadow },
    );
    await until(() => waitersOf(k, lock) === 1);
    while (Atomics.load(k.words, shadow / 4) === 0) {
      k.x[kind.write.unlock](lock);
      k.x[kind.write.lock](lock);
    }
    k.x[kind.write.unlock](lock);
    await waiter;
    expect(k.u32(lock)).toBe(0);
  });
});

describe.each(READER_LOCKS)('$name, shared', (kind) => {
  it('readers share; the owner word names the last one in and says that it is a reader', () => {
    const { k, lock } = bootLock(kind);
    k.x[kind.read.lock](lock);
    k.x.taskBind(1);
    k.x[kind.read.lock](lock);
    expect(k.u32(lock + LOCK_OWNER) & OWNER_READER).toBe(OWNER_READER);
    expect(k.u32(lock + LOCK_OWNER) & OWNER_MASK).toBe(2);
    k.x.taskBind(2);
    expect(k.x[kind.read.tryLock](lock)).toBe(1);
    expect(k.x[kind.write.tryLock](lock)).toBe(0);
  });

  it('writers make progress under a flood of readers that overlap without end', async () => {
    const { k, lock, shadow } = bootLock(kind);
    const [writes] = await k.threads(4, flood, { kind, lock, shadow, few: kind.write, many: kind.read });
    expect(writes).toBe(30);
  });

  it('readers make progress while writers take the lock over and over', async () => {
    const { k, lock, shadow } = bootLock(kind);
    const [reads] = await k.threads(4, flood, { kind, lock, shadow, few: kind.read, many: kind.write });
    expect(reads).toBe(30);
  });
});

it('the busted mutex excludes nobody, and the shadow count catches it', async () => {
  const kind = LOCKS.find(({ name }) => name === 'mutex')!;
  const { k, lock, shadow } = bootLock(kind, [V_PLANT_BUSTED_LOCK]);
  let bad = 0;
  for (let tries = 0; tries < 20 && bad === 0; tries++) {
    const runs = await k.threads(3, mix, { kind, lock, shadow, rounds: 20_000 });
    bad = runs.reduce((sum, run) => sum + run.bad, 0);
  }
  expect(bad).toBeGreaterThan(0);
});

describe.each(LOCKS.slice(0, 2))('$name hand-off', (kind) => {
  it('a waiter that lost the lock too often is handed it: the lock is never free in between', async () => {
    const HANDOFF = 0x200;
    const { k, lock, shadow } = bootLock(kind);
    k.x[kind.write.lock](lock);
    const waiter = k.threads(
      1,
      (w, _, { kind: { write }, lock: l, shadow: s }) => {
        w.x[write.lock](l);
        Atomics.store(w.words, s / 4, 1);
        while (Atomics.load(w.words, s / 4 + 1) === 0);
        w.x[write.unlock](l);
      },
      { kind, lock, shadow },
    );
    await until(() => waitersOf(k, lock) === 1);
    // Take it back at once until the waiter has reserved it, or was quick enough to get it in the ordinary way.
    while ((Atomics.load(k.words, lock / 4) & HANDOFF) === 0 && Atomics.load(k.words, shadow / 4) === 0) {
      k.x[kind.write.unlock](lock);
      if (k.x[kind.write.tryLock](lock) === 0) break;
      await until(() => true);
    }
    if ((Atomics.load(k.words, lock / 4) & HANDOFF) !== 0) {
      k.x[kind.write.unlock](lock);
      expect(k.x[kind.write.tryLock](lock)).toBe(0);
      expect(Atomics.load(k.words, lock / 4) & 1).toBe(1);
    }
    await until(() => Atomics.load(k.words, shadow / 4) === 1);
    expect(k.x[kind.write.tryLock](lock)).toBe(0);
    Atomics.store(k.words, shadow / 4 + 1, 1);
    await waiter;
    expect(k.u32(lock)).toBe(0);
  });
});
