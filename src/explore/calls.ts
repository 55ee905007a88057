// An operation of a scenario as the record that the kernel's interpreter of calls reads (src/kernel/program/operations.ts): names become addresses.
import * as calls from '../kernel/abi/calls.js';
import { KVM_MEMORY_ATTRIBUTE_PRIVATE } from '../kernel/abi/kvm.js';
import { ACCESS_PRIVATE, ACCESS_WRITE } from '../kernel/abi/vcpu.js';
import { UsageError } from '../host/errors.js';
import type { Operation, OtherOperation, RmpOperation } from './scenario.js';

/** A guest's VM and vCPUs, and the VMM's process (0: it is a part of the VM). */
interface Guest {
  address: number;
  vcpus: readonly number[];
  process: number;
}

/** Addresses of a scenario's objects. */
export interface ObjectTable {
  files: ReadonlyMap<string, number>;
  vms: ReadonlyMap<string, Guest>;
  xarrays: ReadonlyMap<string, number>;
  locks: ReadonlyMap<string, number>;
}

const FALLOC_KEEP_SIZE = 1;
const FALLOC_PUNCH_HOLE = 2;

/** One call as the kernel's list has it. */
export interface Call {
  code: number;
  args: readonly number[];
}

/** The call of an operation. Throws UsageError for an object that is not there. */
export function callOf(operation: Operation, objects: ObjectTable): Call {
  const file = (name: string): number => {
    const address = objects.files.get(name);
    if (address === undefined)
      throw new UsageError(operation.op, `${operation.op}: the scenario has no file '${name}'`);
    return address;
  };
  const vm = (name: string): Guest => {
    const found = objects.vms.get(name);
    if (found === undefined) throw new UsageError(operation.op, `${operation.op}: the scenario has no guest '${name}'`);
    return found;
  };
  switch (operation.op) {
    case 'touch': {
      const vcpu = vcpuOf(operation, vm);
      const flags = (operation.write === true ? ACCESS_WRITE : 0) | (operation.private === false ? 0 : ACCESS_PRIVATE);
      return { code: calls.CALL_TOUCH, args: [vcpu, operation.gfn, flags, operation.value ?? 0] };
    }
    case 'punch-hole':
    case 'allocate': {
      const mode = FALLOC_KEEP_SIZE | (operation.op === 'punch-hole' ? FALLOC_PUNCH_HOLE : 0);
      return { code: calls.CALL_FALLOCATE, args: [file(operation.file), mode, operation.start, operation.pages] };
    }
    case 'set-slot': {
      const { slot, gfn, pages, flags = 0, hva = 0, start = 0 } = operation;
      const backing = operation.file === undefined ? 0 : file(operation.file);
      return {
        code: calls.CALL_SET_MEMSLOT,
        args: [vm(operation.vm).address, slot, flags, gfn, pages, hva, backing, start],
      };
    }
    case 'delete-slot':
      return { code: calls.CALL_SET_MEMSLOT, args: [vm(operation.vm).address, operation.slot, 0, 0, 0, 0, 0, 0] };
    case 'set-private':
    case 'set-shared': {
      const attributes = operation.op === 'set-private' ? KVM_MEMORY_ATTRIBUTE_PRIVATE : 0;
      return {
        code: calls.CALL_SET_ATTRIBUTES,
        args: [vm(operation.vm).address, operation.gfn, operation.pages, attributes],
      };
    }
    case 'xa-store':
    case 'xa-load':
      return xarrayCall(operation, objects);
    case 'lock-write':
    case 'lock-read':
      return lockCall(operation, objects);
    default:
      return simpleCall(operation, file, vm);
  }
}

/** The vCPU that an operation names. */
function vcpuOf(
  { op, vm: name, vcpu = 0 }: { op: string; vm: string; vcpu?: number },
  vm: (name: string) => { vcpus: readonly number[] },
): number {
  const found = vm(name).vcpus[vcpu];
  if (found === undefined) throw new UsageError(op, `${op}: guest '${name}' has no vCPU ${vcpu}`);
  return found;
}

/** Operations that callOf does not make itself. */
type SimpleOperation = Exclude<
  Operation,
  {
    op:
      | 'touch'
      | 'punch-hole'
      | 'allocate'
      | 'set-slot'
      | 'delete-slot'
      | 'set-private'
      | 'set-shared'
      | 'xa-store'
      | 'xa-load'
      | 'lock-write'
      | 'lock-read';
  }
>;

function simpleCall(operation: SimpleOperation, file: (name: string) => number, vm: (name: string) => Guest): Call {
  switch (operation.op) {
    case 'memory-failure':
      return { code: calls.CALL_MEMORY_FAILURE, args: [operation.pfn] };
    case 'discard-shared':
      return discardCall(operation, vm(operation.vm));
    case 'open-file':
      return { code: calls.CALL_GET_FILE, args: [file(operation.file)] };
    case 'close-file':
      return { code: calls.CALL_PUT_FILE, args: [file(operation.file)] };
    case 'set-file-size':
      return { code: calls.CALL_SET_FILE_SIZE, args: [file(operation.file), operation.pages] };
    case 'destroy-vm':
      return { code: calls.CALL_DESTROY_VM, args: [vm(operation.vm).address] };
    case 'host-write':
      return { code: calls.CALL_HOST_WRITE, args: [operation.pfn] };
    case 'firmware-page':
      return { code: calls.CALL_FIRMWARE_PAGE, args: [vm(operation.vm).address, operation.gfn, operation.pfn] };
    case 'create-vcpu':
    case 'launch-update':
    case 'launch-finish':
    case 'cache-gfn':
    case 'write-cached':
    case 'write-user':
      return vmCall(operation, vm(operation.vm).address);
    case 'pvalidate':
    case 'ghcb-write':
    case 'vmgexit':
    case 'interrupt':
    case 'ap-create':
    case 'ap-destroy':
      return vcpuCall(operation, vcpuOf(operation, vm));
    case 'fault-file':
      return { code: calls.CALL_FAULT_FILE, args: [vm(operation.vm).address, file(operation.file), operation.page] };
    case 'psmash':
    case 'rmpupdate':
    case 'rmp-entry':
    case 'mark-in-use':
      return rmpCall(operation, vm);
    default:
      return otherCall(operation, vm(operation.vm));
  }
}

function vmCall(
  operation: Extract<
    Operation,
    { op: 'create-vcpu' | 'launch-update' | 'launch-finish' | 'cache-gfn' | 'write-cached' | 'write-user' }
  >,
  kvm: number,
): Call {
  switch (operation.op) {
    case 'create-vcpu':
      return {
        code: calls.CALL_CREATE_VCPU,
        args: [kvm, operation.noDescriptor === true ? 1 : 0],
      };
    case 'launch-update':
      return { code: calls.CALL_LAUNCH_UPDATE, args: [kvm, operation.gfn, operation.hva] };
    case 'cache-gfn':
      return { code: calls.CALL_CACHE_GFN, args: [kvm, operation.gfn] };
    case 'write-cached':
      return { code: calls.CALL_WRITE_CACHED, args: [kvm, operation.value] };
    case 'write-user':
      return { code: calls.CALL_WRITE_USER, args: [kvm, operation.hva, operation.value] };
    default:
      return { code: calls.CALL_LAUNCH_FINISH, args: [kvm] };
  }
}

function vcpuCall(
  operation: Extract<
    Operation,
    { op: 'pvalidate' | 'ghcb-write' | 'vmgexit' | 'interrupt' | 'ap-create' | 'ap-destroy' }
  >,
  vcpu: number,
): Call {
  switch (operation.op) {
    case 'pvalidate':
      return { code: calls.CALL_PVALIDATE, args: [vcpu, operation.gfn, operation.validated === false ? 0 : 1] };
    case 'ghcb-write':
      return { code: calls.CALL_GHCB_WRITE, args: [vcpu, operation.offset, operation.value] };
    case 'vmgexit':
      return { code: calls.CALL_VMGEXIT, args: [vcpu] };
    case 'ap-create':
      return { code: calls.CALL_AP_CREATE, args: [vcpu, operation.gfn] };
    case 'ap-destroy':
      return { code: calls.CALL_AP_DESTROY, args: [vcpu] };
    default:
      return { code: calls.CALL_INTERRUPT, args: [vcpu, operation.vector ?? 0] };
  }
}

function rmpCall(operation: RmpOperation, vm: (name: string) => Guest): Call {
  switch (operation.op) {
    case 'rmpupdate': {
      const { pfn, level = 1, vm: name, gfn = 0 } = operation;
      return { code: calls.CALL_RMPUPDATE, args: [pfn, level, name === undefined ? 0 : vm(name).address, gfn] };
    }
    case 'rmp-entry': {
      const [lo, hi] = [BigInt(operation.lo), BigInt(operation.hi ?? 0)];
      const low = (word: bigint): number => Number(word & 0xffffffffn);
      return { code: calls.CALL_RMP_ENTRY, args: [operation.pfn, low(lo), Number(lo >> 32n), low(hi)] };
    }
    case 'psmash':
      return { code: calls.CALL_PSMASH, args: [operation.pfn] };
    default:
      return { code: calls.CALL_MARK_IN_USE, args: [operation.pfn] };
  }
}

/** The VMM's process, which a guest has only when its scenario says so. */
function processOf({ op, vm }: { op: string; vm: string }, process: number): number {
  if (process === 0) throw new UsageError(op, `${op}: guest '${vm}' has no process; give it 'process: true'`);
  return process;
}

/** The process is asked where there is one: it may outlive the VM. */
function discardCall({ hva, pages }: { hva: number; pages: number }, { address, process }: Guest): Call {
  if (process === 0) return { code: calls.CALL_DISCARD_SHARED, args: [address, hva, pages] };
  return { code: calls.CALL_PROCESS_DISCARD, args: [process, hva, pages] };
}

function otherCall(
  operation: Exclude<OtherOperation, { xarray: string } | { lock: string }>,
  { address: kvm, process }: Guest,
): Call {
  switch (operation.op) {
    case 'register-device':
      return { code: calls.CALL_REGISTER_DEVICE, args: [kvm, operation.gfn] };
    case 'unregister-device':
      return { code: calls.CALL_UNREGISTER_DEVICE, args: [kvm, operation.gfn, operation.noMemory === true ? 1 : 0] };
    case 'register-region':
      return { code: calls.CALL_REGISTER_REGION, args: [kvm, operation.hva, operation.pages] };
    case 'unregister-region':
      return { code: calls.CALL_UNREGISTER_REGION, args: [kvm, operation.hva] };
    case 'device-work':
      return { code: calls.CALL_DEVICE_WORK, args: [kvm] };
    case 'reap-shared':
      return { code: calls.CALL_REAP_SHARED, args: [kvm, operation.hva, operation.pages] };
    case 'own-slot':
      return { code: calls.CALL_OWN_SLOT, args: [kvm, operation.gfn, operation.hva] };
    case 'exit-process':
      return { code: calls.CALL_PROCESS_EXIT, args: [processOf(operation, process)] };
    case 'reclaim':
      return {
        code: calls.CALL_PROCESS_RECLAIM,
        args: [processOf(operation, process), operation.hva, operation.pages],
      };
    default:
      return { code: calls.CALL_SHADOW_ROOT, args: [kvm] };
  }
}

function xarrayCall(operation: Extract<OtherOperation, { xarray: string }>, { xarrays }: ObjectTable): Call {
  const address = xarrays.get(operation.xarray);
  if (address === undefined)
    throw new UsageError(operation.op, `${operation.op}: the scenario has no XArray '${operation.xarray}'`);
  if (operation.op === 'xa-load') return { code: calls.CALL_XA_LOAD, args: [address, operation.index] };
  return { code: calls.CALL_XA_STORE, args: [address, operation.first, operation.last, operation.value] };
}

function lockCall(operation: Extract<OtherOperation, { lock: string }>, { locks }: ObjectTable): Call {
  const address = locks.get(operation.lock);
  if (address === undefined)
    throw new UsageError(operation.op, `${operation.op}: the scenario has no lock '${operation.lock}'`);
  if (operation.op === 'lock-read') return { code: calls.CALL_LOCK_READ, args: [address] };
  return { code: calls.CALL_LOCK_WRITE, args: [address, operation.value] };
}
