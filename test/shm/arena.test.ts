// rmptorture/shm from outside: the arena itself, its limits, and what stopping and checking it do.
import { describe, expect, it } from 'vitest';
import { Arena, Mutex, RwSem } from '#src/shm/index.js';
import type * as Shm from '#src/shm/index.js';
import { threads } from './threads.js';

describe('an arena', () => {
  it('refuses options that make no sense, in one line', () => {
    expect(() => Arena.create({ bytes: 'lots' })).toThrow('"lots" is not a size');
    expect(() => Arena.create({ maxThreads: 0 })).toThrow('maxThreads: 0 is not a whole number from 1 to 1024');
    expect(() => Arena.create({ bytes: '8GiB' })).toThrow('at most 4000MiB');
  });

  it('says that it has no memory left', () => {
    expect(() => Arena.create({ bytes: '1MiB' }).alloc(64 << 20)).toThrow('ENOMEM');
  });

  it('is over an ordinary SharedArrayBuffer', () => {
    const arena = Arena.create({ bytes: '1MiB' });
    expect(arena.buffer).toBeInstanceOf(SharedArrayBuffer);
    expect(arena.alloc(8) % 64).toBe(0);
  });

  it('stopped, lets a thread leave a lock that nobody will release', async () => {
    const arena = Arena.create({ bytes: '1MiB' });
    const mutex = Mutex.create(arena);
    mutex.lock();
    const left = threads(
      arena,
      1,
      (shm, view, _index, address) => {
        try {
          shm.Mutex.at(view, address).lock();
          return 'taken';
        } catch (error) {
          return `${(error as Shm.RmpTortureError).code}: ${(error as Error).message}`;
        }
      },
      mutex.address,
    );
    while (arena.waiting().length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
    expect(arena.waiting()[0]).toMatch(
      /^task1 waiting for mutex lock0 for \d+ ms; class none, held by task0; it holds/,
    );
    arena.stop();
    expect(await left).toEqual(['ECANCELED: the arena was stopped']);
  });

  it('checked, finds locks of two kinds taken in either order, recursion, and a stranger unlocking', () => {
    const inverted = Arena.create({ bytes: '1MiB', checked: true });
    const a = Mutex.create(inverted, { lockClass: 0 });
    const b = RwSem.create(inverted, { lockClass: 1 });
    a.withLock(() => b.withRead(() => 1));
    b.writeLock();
    expect(() => a.lock()).toThrow(/lock order: .* taken under .*, but the reverse was seen before/);

    const recursive = Mutex.create(Arena.create({ bytes: '1MiB', checked: true }));
    recursive.lock();
    expect(() => recursive.lock()).toThrow('recursive locking of lock0');

    const stranger = Mutex.create(Arena.create({ bytes: '1MiB', checked: true }));
    expect(() => stranger.unlock()).toThrow('unlock of lock0');
    expect(() => Mutex.create(stranger.arena, { lockClass: 32 })).toThrow('lockClass: 32 is not a whole number');
  });
});
