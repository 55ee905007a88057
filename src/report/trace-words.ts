// What trace events are called and what their arguments mean, for both forms in which a trace is written.
import * as layout from '../kernel/abi/layout.js';
import * as trace from '../kernel/abi/trace.js';
import { errnoName } from '../host/errors.js';
import { lockClassName } from '../host/lock-classes.js';
import { operationName } from '../torture/results.js';
import type { TraceEvent } from '../torture/trace.js';

/** What there is to say of an event beside its time. */
export interface Words {
  name: string;
  /** Of the kernel, where it has such an event. */
  category: 'operation' | 'mmu' | 'invalidation' | 'rmp' | 'lock' | 'rcu';
  args: Record<string, string | number>;
}

const hex = (value: bigint | number): string => `0x${value.toString(16)}`;
const gfns = ({ b, c }: TraceEvent): Record<string, string> => ({ start: hex(b), end: hex(c) });
const ret = (value: number): Record<string, string | number> =>
  value === 0 ? {} : { ret: value < 0 ? errnoName(value) : value };

const WAITS: Record<number, string> = {
  [layout.WAIT_SPIN]: 'spinlock',
  [layout.WAIT_MUTEX]: 'mutex',
  [layout.WAIT_RWSEM_READ]: 'rwsem read',
  [layout.WAIT_RWSEM_WRITE]: 'rwsem write',
  [layout.WAIT_READ_LOCK]: 'rwlock read',
  [layout.WAIT_WRITE_LOCK]: 'rwlock write',
  [layout.WAIT_RCUWAIT]: 'rcuwait',
  [layout.WAIT_IPI]: 'IPI',
  [layout.WAIT_BARRIER]: 'barrier',
  [layout.WAIT_JOB]: 'job',
  [layout.WAIT_RING]: 'ring',
};

/** Describes an event. `nameOf` names an address of its shard. */
export function wordsOf(event: TraceEvent, nameOf: (address: number) => string): Words {
  const { kind, a, b, c } = event;
  const at = (): string => nameOf(Number(b));
  if (kind >= trace.EV_OPERATION) {
    const pages = b === 0n ? {} : { pages: Number(b) };
    return {
      name: operationName(kind - trace.EV_OPERATION),
      category: 'operation',
      args: { ...pages, ...ret(event.ret) },
    };
  }
  switch (kind) {
    case trace.EV_FAULT:
      return {
        name: 'kvm_page_fault',
        category: 'mmu',
        args: { vm: a >>> 8, vcpu: a & 0xff, gfn: hex(b), error_code: hex(c), ...ret(event.ret) },
      };
    case trace.EV_INVALIDATE_BEGIN:
    case trace.EV_INVALIDATE_END:
      return { name: 'invalidation open', category: 'invalidation', args: { vm: a } };
    case trace.EV_INVALIDATE_RANGE:
      return { name: 'invalidate_range_add', category: 'invalidation', args: { vm: a, ...gfns(event) } };
    case trace.EV_UNMAP:
      return { name: 'kvm_unmap_gfn_range', category: 'mmu', args: { vm: a, ...gfns(event), flush: event.ret } };
    case trace.EV_HOOK:
      return {
        name: 'invalidate_restricted_mem',
        category: 'invalidation',
        args: { vm: a >>> 8, slot: a & 0xff, ...gfns(event) },
      };
    case trace.EV_NOTIFIER_START:
      return { name: 'kvm_unmap_hva_range', category: 'invalidation', args: { vm: a, ...gfns(event) } };
    case trace.EV_NOTIFIER_END:
      return { name: 'invalidate_range_end', category: 'invalidation', args: { vm: a, ...gfns(event) } };
    case trace.EV_FLUSH:
      return { name: 'kvm_flush_remote_tlbs', category: 'mmu', args: { vm: a } };
    case trace.EV_RMPUPDATE:
      return { name: 'rmpupdate', category: 'rmp', args: { pfn: hex(a), state: hex(b), ...ret(event.ret) } };
    case trace.EV_PSMASH:
      return { name: 'psmash', category: 'rmp', args: { pfn: hex(a), ...ret(event.ret) } };
    case trace.EV_GRACE_PERIOD:
      return { name: 'grace period', category: 'rcu', args: { of: b === 0n ? 'rcu' : at() } };
    case trace.EV_WAIT:
      return { name: `wait ${at()}`, category: 'lock', args: { kind: WAITS[a] ?? a } };
    default:
      return { name: `hold ${at()}`, category: 'lock', args: { class: lockClassName(a), sampled: '1 of 64' } };
  }
}
