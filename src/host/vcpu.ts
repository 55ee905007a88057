// A vCPU as an object: guest accesses from the calling thread, and why the vCPU left to user space.
import * as kvm from '../kernel/abi/kvm.js';
import * as vcpus from '../kernel/abi/vcpu.js';
import { count, flag, keysOf, word } from './arguments.js';
import type { Vm } from './objects.js';
import { object } from './options.js';

/** Why a vCPU left to user space. */
export interface VcpuExit {
  reason: 'memory-fault' | 'mmio' | 'shutdown' | 'interrupted' | 'internal-error' | 'unknown';
  /** Of a memory fault: where, and whether the guest wanted the page private. */
  gfn?: number;
  private?: boolean;
}

/** What a guest access gave. */
export interface TouchResult {
  /** The token read (reads only). */
  value: number;
  /** Errno of the exit to user space, if the access did not complete. */
  error: number;
  /** That exit. */
  exit?: VcpuExit;
}

/** What a guest access does. */
export interface TouchOptions {
  /** It writes; a read if not said. */
  write?: boolean;
  /** With the C-bit: the guest takes the page for its own, private memory. True if not said. */
  private?: boolean;
  /** What a write stores, 32 bits; 0 if not said. */
  value?: number;
}

const EXIT_REASONS: Record<number, VcpuExit['reason']> = {
  [kvm.KVM_EXIT_MMIO]: 'mmio',
  [kvm.KVM_EXIT_SHUTDOWN]: 'shutdown',
  [kvm.KVM_EXIT_INTR]: 'interrupted',
  [kvm.KVM_EXIT_INTERNAL_ERROR]: 'internal-error',
  [kvm.KVM_EXIT_MEMORY_FAULT]: 'memory-fault',
};
const READ: TouchOptions = {};

/** A virtual CPU of a guest. One thread at a time may run it. */
export class Vcpu {
  readonly address: number;
  readonly #vm: Vm;

  constructor(vm: Vm, address: number) {
    this.#vm = vm;
    this.address = address;
  }

  /**
   * One guest access of the page `gfn`, on the calling thread until it is done: it faults, and assigns and maps what is missing. `error` of the result is 0, or the errno
   * with which KVM_RUN returned, with `exit` for the reason: EFAULT with a memory fault where the guest wants the page private and its attribute is shared
   * or the other way round, or where no memory is behind it. That is no exception: a VMM would convert the page and try again. Throws UsageError for
   * arguments that make no sense.
   */
  touch(gfn: number, options: TouchOptions = READ): TouchResult {
    const { write = false, private: isPrivate = true, value: token = 0 } = object('touch', options);
    keysOf('touch', options, 'write', 'private', 'value');
    count('gfn', gfn);
    flag('write', write);
    flag('private', isPrivate);
    word('value', token);
    const { x, buffer } = this.#vm.live();
    const error = x.sysTouch(this.address, gfn, (write ? 1 : 0) | (isPrivate ? 2 : 0), token);
    const value = x.sysVcpuValue(this.address) >>> 0;
    return error === 0 ? { value, error } : { value, error, exit: this.#exit(buffer) };
  }

  #exit(buffer: SharedArrayBuffer): VcpuExit {
    const view = new DataView(buffer, this.address);
    const reason = EXIT_REASONS[view.getUint32(vcpus.VCPU_EXIT_REASON, true)] ?? 'unknown';
    if (reason !== 'memory-fault') return { reason };
    const gfn = Number(view.getBigUint64(vcpus.VCPU_EXIT_GPA, true) >> 12n);
    const flags = view.getUint32(vcpus.VCPU_EXIT_FLAGS, true);
    return { reason, gfn, private: (flags & kvm.KVM_MEMORY_EXIT_FLAG_PRIVATE) !== 0 };
  }
}
