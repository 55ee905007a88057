// rmptorture/shm under arguments that make no sense: each call is refused in one line that says what would be right, and nothing is changed.
import { describe, expect, it } from 'vitest';
import {
  Arena,
  Barrier,
  Histogram,
  Mutex,
  Ring,
  RwLock,
  RwSem,
  SpinLock,
  Srcu,
  UsageError,
  XArray,
} from '#src/shm/index.js';

const arena = Arena.create({ bytes: '4MiB' });
const mutex = Mutex.create(arena);
const srcu = Srcu.create(arena);
const array = XArray.create(arena);
const ring = Ring.create(arena, 2, 1);
const histogram = Histogram.create(arena);
const bad = (value: unknown): never => value as never;

function refused(call: () => unknown): string {
  try {
    call();
  } catch (error) {
    expect(error).toBeInstanceOf(UsageError);
    expect((error as Error).message).not.toContain('\n');
    return (error as Error).message;
  }
  return 'accepted';
}

describe('is refused', () => {
  const calls: [string, () => unknown, string][] = [
    [
      'Arena.create(null)',
      () => Arena.create(bad(null)),
      'Arena.create: null stands where an object of options is wanted',
    ],
    ['a text as options', () => Arena.create(bad('16MiB')), "Arena.create: '16MiB' stands where an object"],
    ['a misspelt key', () => Arena.create(bad({ byts: 1 })), "Arena.create: unknown key 'byts'; did you mean 'bytes'?"],
    ['a key of nothing', () => Arena.create(bad({ xyzzy: 1 })), 'known are bytes, maxThreads, checked'],
    ['a text as a flag', () => Arena.create(bad({ checked: 'no' })), "checked: 'no' is not true or false"],
    ['bytes of no kind', () => Arena.create(bad({ bytes: null })), 'bytes: null is not a size such as 64GiB'],
    ['half a thread', () => Arena.create({ maxThreads: 0.5 }), 'maxThreads: 0.5 is not a whole number from 1 to 1024'],
    ['Arena.attach({})', () => Arena.attach(bad({})), 'Arena.attach: {} is not what handle() of an arena gives'],
    ['Arena.attach()', () => Arena.attach(bad(undefined)), 'Arena.attach: undefined is not what handle()'],
    ['a handle of parts', () => Arena.attach(bad({ shard: { id: 'x', build: 'fast' } })), 'is not what handle() of'],
    [
      'memory beyond 2^53',
      () => arena.alloc(2 ** 64 + 64),
      'alloc: 18446744073709552000 is not a positive whole number',
    ],
    ['memory by a text', () => arena.alloc(bad('64')), "alloc: '64' is not a positive whole number"],
    ['waiting for a text', () => arena.waiting(bad('x')), "waiting: 'x' is not a number of milliseconds"],
    ['a time limit in a text', () => mutex.tryLock(bad('5')), "timeoutMs: '5' is not a number of at least 0"],
    ['withLock(5)', () => mutex.withLock(bad(5)), 'section: 5 is not a function'],
    ['withRead()', () => srcu.withRead(bad(undefined)), 'section: undefined is not a function'],
    ['an index of no section', () => srcu.readUnlock(2), 'index: 2 is not what readLock() returned, 0 or 1'],
    [
      'a lock class in a text',
      () => Mutex.create(arena, bad({ lockClass: '1' })),
      "lockClass: '1' is not a whole number",
    ],
    ['a misspelt lock class', () => RwSem.create(arena, bad({ lockclass: 1 })), "did you mean 'lockClass'?"],
    [
      'lock options that are null',
      () => SpinLock.create(arena, bad(null)),
      'SpinLock.create: null stands where an object',
    ],
    ['half a party', () => Barrier.create(arena, 1.5), 'parties: 1.5 is not a whole number from 1 to 1024'],
    ['a mark in a text', () => array.setMark(0, bad('1')), "mark: '1' is not 0, 1 or 2"],
    ['ring options that are none', () => Ring.create(arena, 2, 1, bad(1)), 'Ring.create: 1 stands where an object'],
    ['a ring for two', () => Ring.create(arena, 2, 1, bad({ oneProducer: 1 })), 'oneProducer: 1 is not true or false'],
    ['a record that is null', () => ring.push(bad(null)), 'record: null is not a Uint8Array'],
    ['a record of an array', () => ring.pushWait(bad([1])), 'record: [ 1 ] is not a Uint8Array'],
    ['a value that is a bigint', () => histogram.record(bad(5n)), 'value: 5n is not a number from 0 up to 2^53'],
    ['a value that is null', () => histogram.record(bad(null)), 'value: null is not a number'],
    ['a precision in a text', () => Histogram.create(arena, bad({ precision: '5' })), "precision: '5' is not a whole"],
    ['a share above 1', () => histogram.percentile(99), 'percentile: 99 is not a share from 0 to 1, such as 0.99'],
    ['no tick a halving', () => histogram.toHdrText({ ticks: 0 }), 'ticks: 0 is not a whole number from 1 to 1000'],
    ['a scale of 0', () => histogram.toHdrText({ scale: 0 }), 'scale: 0 is not a number above 0'],
    ['merging a number', () => Histogram.merge(bad([5])), 'merge: [ 5 ] is not a list of histograms'],
    ['merging nothing at all', () => histogram.summary().merge(bad({})), 'merge: {} is not the summary of a histogram'],
  ];
  it.each(calls)('%s', (_, call, message) => {
    expect(refused(call)).toContain(message);
  });

  it.each([Mutex, SpinLock, RwSem, RwLock, Srcu, XArray, Histogram])('%o in what is no arena', (kind) => {
    expect(refused(() => kind.create(bad({})))).toBe(`${kind.name}.create: {} stands where an Arena is wanted`);
    expect(refused(() => kind.at(bad(null), 64))).toBe('at: null stands where an Arena is wanted');
  });

  it('a ring and a barrier in what is no arena', () => {
    expect(refused(() => Ring.create(bad({}), 2, 1))).toBe('Ring.create: {} stands where an Arena is wanted');
    expect(refused(() => Barrier.create(bad({}), 1))).toBe('Barrier.create: {} stands where an Arena is wanted');
  });
});

describe('memory', () => {
  it('that alloc() did not give is not freed, whatever the address', () => {
    const address = arena.alloc(200);
    new Uint8Array(arena.buffer, address, 200).fill(255);
    for (const wrong of [3, 0, 64, -64, 81_920, address + 8, address + 64, arena.buffer.byteLength, Number.NaN, '64']) {
      expect(refused(() => arena.free(bad(wrong), 5))).toMatch(/is not an address that alloc\(\) gave/);
    }
    expect(refused(() => arena.free(address, 199))).toBe(`free: ${address} was allocated with 200 bytes, not 199`);
    const next = arena.alloc(5);
    expect(next % 64).toBe(0);
    expect(next).toBeGreaterThan(address);
    arena.free(address, 200);
    expect(refused(() => arena.free(address, 200))).toMatch(/or it has been freed/);
    expect(arena.alloc(200)).toBe(address);
  });

  it('that is freed holds no object any more', () => {
    const gone = Mutex.create(arena);
    arena.free(gone.address, 64);
    expect(refused(() => Mutex.at(arena, gone.address))).toMatch(/is not the address of an object in this arena/);
    expect(refused(() => Ring.at(arena, mutex.address))).toMatch(/is not the address of an object/);
    const [emptied, folded] = [Ring.create(arena, 2, 8), Histogram.create(arena)];
    emptied.free();
    folded.free();
    expect(refused(() => emptied.free())).toMatch(/^free: the object at \d+ has been freed$/);
    expect(refused(() => folded.free())).toMatch(/^free: the object at \d+ has been freed$/);
  });

  it('is not lost when only half of an object found room', () => {
    const small = Arena.create({ bytes: '1MiB' });
    const [first, ...rest] = Array.from({ length: 50 }, () => {
      expect(() => Ring.create(small, 2 ** 20, 65_536)).toThrow('ENOMEM');
      expect(() => Ring.create(small, 2 ** 12, 8192)).toThrow('ENOMEM');
      expect(() => Histogram.create(small, { precision: 12 })).toThrow('ENOMEM');
      const address = small.alloc(64);
      small.free(address, 64);
      return address;
    });
    expect(rest.every((address) => address === first)).toBe(true);
  });
});

it('lets a thread that has left do nothing more', () => {
  const left = Arena.create({ bytes: '1MiB' });
  const lock = Mutex.create(left);
  const address = left.alloc(8);
  left.detach();
  const why = 'arena: this thread has left it by detach()';
  for (const call of [
    () => left.detach(),
    () => Mutex.create(left),
    () => lock.lock(),
    () => lock.tryLock(),
    () => left.alloc(8),
    () => left.free(address, 8),
  ]) {
    expect(refused(call)).toContain(why);
  }
  const back = Arena.attach(left.handle());
  expect(back.thread).toBe(0);
  back.free(address, 8);
  expect(Mutex.at(back, lock.address).tryLock()).toBe(true);
});
