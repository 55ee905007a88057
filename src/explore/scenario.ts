// A scenario: a small host, what is set up on it, and the calls that each thread makes. Plain data, so that the same form can come from TypeScript, YAML
// or a torture run's report. Objects have names; pages and gfns are numbers of 4 KiB pages, ranges [start, start + pages).
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
  /** The VMM writes to page `hva` of its own memory. */
  | { op: 'write-user'; vm: string; hva: number; value: number }
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
  /** Stores `value` under the lock, or reads what is there. */
  | { op: 'lock-write'; lock: string; value: number }
  | { op: 'lock-read'; lock: string }
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
  /** Locks, each with a word behind it. */
  locks?: Record<string, 'rwsem' | 'rwlock'>;
  /** Two accesses of which one is plain and one a write, and that nothing orders, are a failure. Plain accesses are points then. */
  races?: boolean;
  /** Made one after another before the threads start; none may fail. */
  setup?: readonly Operation[];
  /** Each thread's calls, by the thread's name. Errors are allowed: the oracles judge. */
  threads: Record<string, readonly Operation[]>;
  expect?: readonly Expectation[];
}
