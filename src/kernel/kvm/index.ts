// The KVM side's exports, for the host and the tests.
export * from './attributes';
export * from './invalidate';
export * from './memslots';
export * from './memslots-arch';
export * from './memslots-tree';
export * from './notifier';
export * from './restrictedmem_kvm';
export * from './vm';
