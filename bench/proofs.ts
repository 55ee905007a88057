// Programs over the kernel's own locks, for the proofs of docs/verified.md: what each lock promises, as a check that fails as soon as one interleaving
// breaks the promise. AssemblyScript, compiled with the sync layer; every atomic access is a point.

/** Shared words, and room for two locks, in the part of the state that programs may use. */
const HEADER = `
import { check } from 'rmptorture/assert';
import { kmalloc } from 'rmptorture/heap';
import { atomicAdd32, atomicLoad32, atomicStore32, atomicSub32, load32, store32 } from 'rmptorture/point';
import {
  downgradeWrite, downRead, downReadTrylock, downWrite, downWriteTrylock, mutexInit, mutexLock, mutexTrylock, mutexUnlock, prepareToRcuwait, finishRcuwait,
  rcuReadLock, rcuReadUnlock, rcuwaitInit, rcuwaitSleep, rcuwaitWakeUp, readLock, readUnlock, rwlockInit, rwsemInit, spinLock, spinLockInit, spinTrylock,
  spinUnlock, srcuInit, srcuReadLock, srcuReadUnlock, synchronizeRcu, synchronizeSrcu, upRead, upWrite, writeLock, writeUnlock,
} from 'rmptorture/sync';
import { xaInit, xaLoad, xaMkValue, xaStoreRange } from 'rmptorture/xarray';

const A: usize = 65672; // plain data, behind the lock
const B: usize = 65676;
const INSIDE: usize = 65680; // who is inside: writers count 16
const TOKEN: usize = 65684;
const LOCK: usize = 65692; // address of the lock

/** Alone inside: nobody else may be there. */
function alone(): void {
  check(atomicAdd32(INSIDE, 16) == 0, 1, atomicLoad32(INSIDE));
  store32(A, load32(A) + 1);
  store32(B, load32(B) + 1);
  atomicSub32(INSIDE, 16);
}

/** Inside with other readers, never with a writer; what a writer changes together is seen together. */
function among(): void {
  check(atomicAdd32(INSIDE, 1) < 16, 2, atomicLoad32(INSIDE));
  check(load32(A) == load32(B), 3, load32(A), load32(B));
  atomicSub32(INSIDE, 1);
}

function lock(): usize { return load32(LOCK); }
`;

/** Threads of a program by what each does. */
function threads(prefix: string, bodies: readonly string[], setup: string, finish = ''): string {
  const lines = bodies.map((body, n) => `export function ${prefix}_thread${n}(): void { ${body} }`);
  return [
    `export function ${prefix}_setup(): void { store32(LOCK, <u32>kmalloc(256)); ${setup} }`,
    ...lines,
    finish === '' ? '' : `export function ${prefix}_finish(): void { ${finish} }`,
  ].join('\n');
}

const MUTEX = 'mutexLock(lock()); alone(); mutexUnlock(lock());';
const MUTEX_TRY = 'if (mutexTrylock(lock())) { alone(); mutexUnlock(lock()); }';
const SPIN = 'spinLock(lock()); alone(); spinUnlock(lock());';
const SPIN_TRY = 'if (spinTrylock(lock())) { alone(); spinUnlock(lock()); }';
const DOWN_WRITE = 'downWrite(lock()); alone(); upWrite(lock());';
const DOWN_READ = 'downRead(lock()); among(); upRead(lock());';
const WRITE_TRY = 'if (downWriteTrylock(lock())) { alone(); upWrite(lock()); }';
const READ_TRY = 'if (downReadTrylock(lock())) { among(); upRead(lock()); }';
const DOWNGRADE = 'downWrite(lock()); alone(); downgradeWrite(lock()); among(); upRead(lock());';
const WRITE_LOCK = 'writeLock(lock()); alone(); writeUnlock(lock());';
const READ_LOCK = 'readLock(lock()); among(); readUnlock(lock());';
/** Follows the pointer that is published, and reads what it leads to: 1 or 2, never 0, which is what the updater leaves behind a grace period. */
const SRCU_READER =
  'const idx = srcuReadLock(lock()); const at: usize = atomicLoad32(TOKEN) == 1 ? A : B; check(atomicLoad32(at) != 0, 4); srcuReadUnlock(lock(), idx);';
const SRCU_UPDATER = 'atomicStore32(TOKEN, 2); synchronizeSrcu(lock()); atomicStore32(A, 0);';
const RCU_READER =
  'rcuReadLock(); const at: usize = atomicLoad32(TOKEN) == 1 ? A : B; check(atomicLoad32(at) != 0, 5); rcuReadUnlock();';
const RCU_UPDATER = 'atomicStore32(TOKEN, 2); synchronizeRcu(); atomicStore32(A, 0);';
const PUBLISHED = 'store32(TOKEN, 1); store32(A, 1); store32(B, 2);';
const WAITER =
  'prepareToRcuwait(lock()); while (atomicLoad32(A) == 0) rcuwaitSleep(lock()); finishRcuwait(lock()); check(atomicLoad32(B) == 1, 6);';
const WAKER = 'atomicStore32(B, 1); atomicStore32(A, 1); rcuwaitWakeUp(lock());';

/** Blocks of 4 and of 8 that end at 191: a reader meets siblings that change their head under it (the kernel's cbc02854331e, B59). */
const XA_READER =
  'const entry = xaLoad(lock(), 191); check(entry == 0 || entry == xaMkValue(1) || entry == xaMkValue(2), 8, entry);';
const XA_STORE_8 = 'xaStoreRange(lock(), 184, 191, xaMkValue(2));';
const XA_STORE_4 = 'xaStoreRange(lock(), 188, 191, xaMkValue(1));';
const XA_ERASE = 'xaStoreRange(lock(), 184, 191, 0);';
const XA_SETUP = `xaInit(lock(), 0); ${XA_STORE_4}`;

const both = (count: number): string =>
  `check(load32(A) == ${count} && load32(B) == ${count}, 7, load32(A), load32(B));`;

export interface Proof {
  name: string;
  /** What the program shows when every interleaving passes. */
  claim: string;
  bodies: readonly string[];
  setup: string;
  finish?: string;
}

const init = {
  mutex: 'mutexInit(lock(), 0);',
  spin: 'spinLockInit(lock(), 0);',
  rwsem: 'rwsemInit(lock(), 0);',
  rwlock: 'rwlockInit(lock(), 0);',
};

export const PROOFS: readonly Proof[] = [
  {
    name: 'mutex2',
    claim: 'mutex: two threads exclude one another, none sleeps for ever',
    bodies: [MUTEX, MUTEX],
    setup: init.mutex,
    finish: both(2),
  },
  {
    name: 'mutex2x2',
    claim: 'mutex: taken twice by each of two threads',
    bodies: [MUTEX + MUTEX.replace('const', 'let'), MUTEX + MUTEX],
    setup: init.mutex,
    finish: both(4),
  },
  { name: 'mutex3', claim: 'mutex: three threads', bodies: [MUTEX, MUTEX, MUTEX], setup: init.mutex, finish: both(3) },
  {
    name: 'mutex3x2',
    claim: 'mutex: three threads, one of which comes twice and so overtakes the others',
    bodies: [MUTEX, MUTEX + MUTEX, MUTEX],
    setup: init.mutex,
    finish: both(4),
  },
  { name: 'mutextry', claim: 'mutex: a trylock beside a lock', bodies: [MUTEX, MUTEX_TRY], setup: init.mutex },
  { name: 'spin2', claim: 'spinlock: two threads', bodies: [SPIN, SPIN], setup: init.spin, finish: both(2) },
  { name: 'spin3', claim: 'spinlock: three threads', bodies: [SPIN, SPIN, SPIN], setup: init.spin, finish: both(3) },
  { name: 'spintry', claim: 'spinlock: a trylock beside a lock', bodies: [SPIN, SPIN_TRY], setup: init.spin },
  {
    name: 'rwsemww',
    claim: 'rw_semaphore: two writers',
    bodies: [DOWN_WRITE, DOWN_WRITE],
    setup: init.rwsem,
    finish: both(2),
  },
  { name: 'rwsemwr', claim: 'rw_semaphore: a writer and a reader', bodies: [DOWN_WRITE, DOWN_READ], setup: init.rwsem },
  {
    name: 'rwsemwrr',
    claim: 'rw_semaphore: a writer and two readers',
    bodies: [DOWN_WRITE, DOWN_READ, DOWN_READ],
    setup: init.rwsem,
  },
  {
    name: 'rwsemwwr',
    claim: 'rw_semaphore: two writers and a reader, with the hand-over',
    bodies: [DOWN_WRITE, DOWN_WRITE, DOWN_READ],
    setup: init.rwsem,
    finish: both(2),
  },
  {
    name: 'rwsemdown',
    claim: 'rw_semaphore: a downgrade lets no writer in between',
    bodies: [DOWNGRADE, DOWN_WRITE],
    setup: init.rwsem,
    finish: both(2),
  },
  {
    name: 'rwsemtry',
    claim: 'rw_semaphore: trylocks of both kinds beside a writer',
    bodies: [DOWN_WRITE, WRITE_TRY, READ_TRY],
    setup: init.rwsem,
  },
  {
    name: 'rwlockww',
    claim: 'rwlock: two writers',
    bodies: [WRITE_LOCK, WRITE_LOCK],
    setup: init.rwlock,
    finish: both(2),
  },
  { name: 'rwlockwr', claim: 'rwlock: a writer and a reader', bodies: [WRITE_LOCK, READ_LOCK], setup: init.rwlock },
  {
    name: 'rwlockwrr',
    claim: 'rwlock: a writer and two readers',
    bodies: [WRITE_LOCK, READ_LOCK, READ_LOCK],
    setup: init.rwlock,
  },
  {
    name: 'rwlockwwr',
    claim: 'rwlock: two writers and a reader',
    bodies: [WRITE_LOCK, WRITE_LOCK, READ_LOCK],
    setup: init.rwlock,
    finish: both(2),
  },
  {
    name: 'srcu2',
    claim: 'SRCU: no reader outlives the grace period that it could see the old version in',
    bodies: [SRCU_UPDATER, SRCU_READER],
    setup: `${PUBLISHED} srcuInit(lock(), 0);`,
  },
  {
    name: 'srcu3',
    claim: 'SRCU: two readers',
    bodies: [SRCU_UPDATER, SRCU_READER, SRCU_READER],
    setup: `${PUBLISHED} srcuInit(lock(), 0);`,
  },
  {
    name: 'rcu2',
    claim: 'RCU: no reader outlives the grace period',
    bodies: [RCU_UPDATER, RCU_READER],
    setup: PUBLISHED,
  },
  { name: 'rcu3', claim: 'RCU: two readers', bodies: [RCU_UPDATER, RCU_READER, RCU_READER], setup: PUBLISHED },
  {
    name: 'xarray2',
    claim: 'XArray: a reader beside a store of a larger block sees either block',
    bodies: [XA_READER, XA_STORE_8],
    setup: XA_SETUP,
  },
  {
    name: 'xarray2x3',
    claim: 'XArray: a reader beside blocks that change, go and come',
    bodies: [XA_READER, XA_STORE_8 + XA_ERASE + XA_STORE_4],
    setup: XA_SETUP,
  },
  {
    name: 'xarray3',
    claim: 'XArray: a reader and two writers',
    bodies: [XA_READER, XA_STORE_8, XA_ERASE],
    setup: XA_SETUP,
  },
  {
    name: 'rcuwait',
    claim: 'rcuwait: the wake-up is not lost',
    bodies: [WAITER, WAKER],
    setup: 'rcuwaitInit(lock());',
  },
];

/** One module with all of them. */
export const PROOF_SOURCE = [
  HEADER,
  ...PROOFS.map(({ name, bodies, setup, finish }) => threads(name, bodies, setup, finish)),
].join('\n');
