// A scenario: a small host, what is set up on it, and the calls that each thread makes. Plain data, so that the same form can come from TypeScript, YAML
// or a torture run's report. Objects have names; pages and gfns are numbers of 4 KiB pages, ranges [start, start + pages).
import * as calls from '../kernel/abi/calls.js';
import { KVM_MEMORY_ATTRIBUTE_PRIVATE } from '../kernel/abi/kvm.js';
import { ACCESS_PRIVATE, ACCESS_WRITE } from '../kernel/abi/vcpu.js';
import { UsageError } from '../host/errors.js';
import type { Protocol } from '../host/protocols.js';

/** One call into the kernel. `vm`, `file`: names. */
export type Operation =
  /** A guest access until it is done; private by default. A write stores `value`. */
  | {
      op: 'touch';
      vm: string;
      vcpu?: number;
      gfn: number;
      write?: boolean;
      private?: boolean;
      value?: number;
    }
  | { op: 'punch-hole' | 'allocate'; file: string; start: number; pages: number }
  /** Creates, moves or changes a memslot; with a file it is private memory. */
  | {
      op: 'set-slot';
      vm: string;
      slot: number;
      gfn: number;
      pages: number;
      file?: string;
      start?: number;
      flags?: number;
      hva?: number;
    }
  | { op: 'delete-slot'; vm: string; slot: number }
  | { op: 'set-private' | 'set-shared'; vm: string; gfn: number; pages: number }
  | { op: 'memory-failure'; pfn: number }
  | { op: 'discard-shared'; vm: string; hva: number; pages: number }
  /** One more descriptor of the file, and one fewer; the last one releases it. */
  | { op: 'open-file' | 'close-file'; file: string }
  | { op: 'set-file-size'; file: string; pages: number }
  | { op: 'destroy-vm'; vm: string }
  | { op: 'create-vcpu'; vm: string; noDescriptor?: boolean }
  /** PVALIDATE of 4K, by the guest. */
  | { op: 'pvalidate'; vm: string; vcpu?: number; gfn: number; validated?: boolean }
  /** An interrupt for the vCPU, from another CPU. */
  | { op: 'interrupt'; vm: string; vcpu?: number; vector?: number }
  /** KVM_SEV_SNP_LAUNCH_UPDATE of one page: a copy of page `hva` of the VMM becomes the guest's private page. */
  | { op: 'launch-update'; vm: string; gfn: number; hva: number }
  /** The VMM touches a page of the file through its own mapping. */
  | { op: 'fault-file'; vm: string; file: string; page: number }
  /** The kernel keeps a gfn_to_pfn cache of the gfn; and writes through it. */
  | { op: 'cache-gfn'; vm: string; gfn: number }
  | { op: 'write-cached'; vm: string; value: number }
  /** KVM_SEV_SNP_LAUNCH_FINISH. */
  | { op: 'launch-finish'; vm: string }
  /** The guest starts vCPU `vcpu` with its private page `gfn` as the VMSA; stops it, and takes the page back. They return the hardware's code. */
  | { op: 'ap-create'; vm: string; vcpu: number; gfn: number }
  | { op: 'ap-destroy'; vm: string; vcpu: number }
  /** The guest writes to a vCPU's GHCB; the vCPU exits with what is there. */
  | { op: 'ghcb-write'; vm: string; vcpu?: number; offset: number; value: number }
  | { op: 'vmgexit'; vm: string; vcpu?: number }
  | RmpOperation
  /** The host writes to a page through its direct map. */
  | { op: 'host-write'; pfn: number }
  /** The page becomes immutable for this guest and gfn, as while firmware works on it. */
  | { op: 'firmware-page'; vm: string; gfn: number; pfn: number }
  | OtherOperation;

/** The RMP as the hardware has it, for what a log shows of one. */
export type RmpOperation =
  | { op: 'psmash'; pfn: number }
  /** The instruction, once: it returns the hardware's code. With `vm` the page is assigned to it at `gfn`, else it goes back to the host. */
  | { op: 'rmpupdate'; pfn: number; level?: 1 | 2; vm?: string; gfn?: number }
  /** Puts a raw entry in place: 64-bit words, hexadecimal. */
  | { op: 'rmp-entry'; pfn: number; lo: string; hi?: string }
  /** A VMRUN uses the page from now on. */
  | { op: 'mark-in-use'; pfn: number };

/** Calls to parts of KVM beside its memory. */
export type OtherOperation =
  /** An MMIO device of the kernel at a gfn without memory; `noMemory`: there is none for the bus without it, and the whole bus goes. */
  | { op: 'register-device'; vm: string; gfn: number }
  | { op: 'unregister-device'; vm: string; gfn: number; noMemory?: boolean }
  /** Encrypted regions of the VMM's memory. */
  | { op: 'register-region'; vm: string; hva: number; pages: number }
  | { op: 'unregister-region'; vm: string; hva: number }
  /** A driver that has mapped the VMM's memory works under its lock; the host's reaper takes pages away without sleeping for anybody. */
  | { op: 'device-work'; vm: string }
  | { op: 'reap-shared'; vm: string; hva: number; pages: number }
  /** KVM's own memslot, of one page: that of the APIC. */
  | { op: 'own-slot'; vm: string; gfn: number; hva: number }
  /** The VMM's process ends (of a guest with `process`); its VM may live on. */
  | { op: 'exit-process'; vm: string }
  /** Pages of the process go to swap. */
  | { op: 'reclaim'; vm: string; hva: number; pages: number }
  /** The guest uses shadow paging for the first time. */
  | { op: 'shadow-root'; vm: string }
  /** Stores `value` (0: nothing) at indices [first, last] of an XArray; looks an index up. */
  | { op: 'xa-store'; xarray: string; first: number; last: number; value: number }
  | { op: 'xa-load'; xarray: string; index: number };

/** What must hold when every thread has ended, beside the oracles. */
export type Expectation =
  /** So many pages the file holds. */
  | { file: string; pages: number }
  /** Whether the page tables map the gfn. */
  | { vm: string; gfn: number; mapped: boolean }
  /** What the VMM reads at a page of its own. */
  | { vm: string; hva: number; value: number }
  /** What a call of a thread (from 0) returned: 0, a KVM_EXIT_*, or a negative errno. */
  | { thread: string; call: number; result: number }
  /** So many memory errors have reached it. A statistic, as the next two: a search over states takes states that differ in them alone for one. */
  | { vm: string; memoryErrors: number }
  /** So many pages were taken out of circulation, because they could not be given back. */
  | { leaked: number }
  /** So many 2M entries of the RMP were split. */
  | { psmashes: number };

/** Guests, files, and what each thread calls: the subject of an exploration. */
export interface Scenario {
  name: string;
  /** What may go wrong here, in a sentence. */
  about: string;
  /** `rmpTable`: pages of the host where the RMP table itself lies. Pages are numbered from 16. */
  host?: { pages?: number; partitions?: number; rmpTable?: { start: number; pages: number } };
  protocol?: Protocol;
  hook?: 'none' | 'snp';
  variants?: readonly string[];
  /** `stacked`: the inode's mapping is not the file's own. */
  files?: Record<string, { pages: number; huge?: boolean; stacked?: boolean }>;
  /** `process`: the VMM's process can end. */
  vms?: Record<string, { vcpus?: number; snp?: boolean; irqchip?: boolean; process?: boolean; gfns?: number }>;
  /** Names of XArrays, empty at first. */
  xarrays?: readonly string[];
  /** Made one after another before the threads start; none may fail. */
  setup?: readonly Operation[];
  /** Each thread's calls, by the thread's name. Errors are allowed: the oracles judge. */
  threads: Record<string, readonly Operation[]>;
  expect?: readonly Expectation[];
}

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

function simpleCall(
  operation: Exclude<
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
        | 'xa-load';
    }
  >,
  file: (name: string) => number,
  vm: (name: string) => Guest,
): Call {
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
    { op: 'create-vcpu' | 'launch-update' | 'launch-finish' | 'cache-gfn' | 'write-cached' }
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

function otherCall(operation: Exclude<OtherOperation, { xarray: string }>, { address: kvm, process }: Guest): Call {
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
