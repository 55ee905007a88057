// The sync layer's exports, for the host and the tests.
export * from './barrier';
export * from './bench';
export * from './init';
export * from './lockdep';
export * from './lockstat';
export * from './mutex';
export * from './rcu';
export * from './rcuwait';
export * from './rwlock';
export * from './rwsem';
export * from './spinlock';
export * from './srcu';
export { nap } from './word';
