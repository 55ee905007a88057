// Names of kernel objects for reports, which would have addresses otherwise: `vm0.mmu_lock`.
import * as kvm from '../kernel/abi/kvm.js';
import * as layout from '../kernel/abi/layout.js';
import * as mm from '../kernel/abi/mm.js';
import * as names from '../kernel/abi/names.js';
import * as vcpu from '../kernel/abi/vcpu.js';
import type { Shard } from './shard.js';

const PREFIXES: Record<number, string> = {
  [names.NT_VM]: 'vm',
  [names.NT_VCPU]: 'vcpu',
  [names.NT_FILE]: 'file',
  [names.NT_SLOT]: 'slot',
  [names.NT_PARTITION]: 'partition',
  [names.NT_TASK]: 'task',
  [names.NT_LOCK]: 'lock',
  [names.NT_PROCESS]: 'process',
};

/** Parts of a file, one of a kind: without a number. */
const PARTS: Record<number, string> = {
  [names.NT_RM]: 'rm',
  [names.NT_SHMEM]: 'memfd',
};

const MEMBERS: Record<number, [number, string][]> = {
  [names.NT_VM]: [
    [kvm.KVM_MMU_LOCK, 'mmu_lock'],
    [kvm.KVM_SRCU, 'srcu'],
    [kvm.KVM_SLOTS_LOCK, 'slots_lock'],
    [kvm.KVM_SLOTS_ARCH_LOCK, 'slots_arch_lock'],
    [kvm.KVM_LOCK, 'lock'],
    [kvm.KVM_DEVICE_LOCK, 'device_lock'],
    [kvm.KVM_BUS, 'buses'],
    [kvm.KVM_ENC_REGIONS, 'regions_list'],
    [kvm.KVM_MN_LOCK, 'mn_invalidate_lock'],
    [kvm.KVM_MN_RCUWAIT, 'mn_memslots_update_rcuwait'],
    [kvm.KVM_MEM_ATTR, 'mem_attr_array'],
    [kvm.KVM_INVALIDATE_SEQ, 'mmu_invalidate_seq'],
    [kvm.KVM_INVALIDATE_START, 'mmu_invalidate_range_start'],
    [kvm.KVM_INVALIDATE_END, 'mmu_invalidate_range_end'],
    [kvm.KVM_INVALIDATE_IN_PROGRESS, 'mmu_invalidate_in_progress'],
    [kvm.KVM_MMU_NOTIFIER, 'mmu_notifier'],
    [kvm.KVM_MN_ACTIVE, 'mn_active_invalidate_count'],
    [kvm.KVM_MEMSLOTS, 'memslots[0]'],
    [kvm.KVM_MEMSLOTS + 4, 'memslots[1]'],
    [kvm.KVM_TDP_ROOT, 'tdp_root'],
    [kvm.KVM_ONLINE_VCPUS, 'online_vcpus'],
    [kvm.KVM_BUGGED, 'vm_bugged'],
    [kvm.KVM_USERS, 'users_count'],
    [kvm.KVM_MMAP_LOCK, 'mmap_lock'],
    [vcpu.MMU_VALID_GEN, 'mmu_valid_gen'],
    [vcpu.MMU_ROOTS, 'tdp_mmu_roots'],
    [vcpu.MMU_PAGES_LOCK, 'tdp_mmu_pages_lock'],
    [vcpu.MMU_TABLES, 'tdp_mmu_pages'],
    [vcpu.KVM_SHARED_PAGES, 'shared_pages'],
  ],
  [names.NT_VCPU]: [
    [vcpu.VCPU_MUTEX, 'mutex'],
    [vcpu.VCPU_MODE, 'mode'],
    [vcpu.VCPU_REQUESTS, 'requests'],
    [vcpu.VCPU_IPI_WAITERS, 'ipi_waiters'],
    [vcpu.VCPU_ROOT, 'root'],
    [vcpu.VCPU_TLB_TAG, 'tlb_tag'],
    [vcpu.VCPU_VMSA_PFN, 'vmsa_pfn'],
    [vcpu.VCPU_STATE_PROTECTED, 'guest_state_protected'],
    [vcpu.VCPU_GHCB, 'ghcb'],
  ],
  [names.NT_PARTITION]: [
    [mm.ZONE_LOCK, 'lock'],
    [mm.ZONE_FREE_PAGES, 'free_pages'],
  ],
  [names.NT_RM]: [
    [mm.RM_LOCK, 'lock'],
    [mm.RM_BINDINGS, 'bindings'],
  ],
  [names.NT_PROCESS]: [
    [kvm.PROCESS_MEMORY, 'i_pages'],
    [kvm.PROCESS_NOTIFIERS + mm.MN_LIST_FIRST, 'notifiers'],
    [kvm.PROCESS_NOTIFIERS + mm.MN_LIST_LOCK, 'notifiers_lock'],
    [kvm.PROCESS_NOTIFIERS + mm.MN_LIST_SRCU, 'notifiers_srcu'],
  ],
  [names.NT_SHMEM]: [
    [mm.SHMEM_I_PAGES, 'i_pages'],
    [mm.SHMEM_NRPAGES, 'nrpages'],
    [mm.SHMEM_I_SIZE, 'i_size'],
    [mm.SHMEM_REFS, 'refs'],
  ],
};
/** Of these members a word inside is named, too: `mmu_lock+0x10`. */
const STRUCTS = /lock|srcu|rcuwait|bindings|i_pages|mem_attr_array|shared_pages|mutex/;
const STRUCT_BYTES = 64;

const GLOBAL_LOCKS: [number, string][] = Object.entries(layout)
  .filter(([name, value]) => name.startsWith('LOCK_') && value >= layout.SH_LOCKS && value < layout.SH_OOPS)
  .map(([name, value]) => [value, name.slice(5).toLowerCase()]);

/** The name of one of the kernel's own locks, which are spinlocks and mutexes. */
export function globalLockName(address: number): string | undefined {
  return GLOBAL_LOCKS.find(([at]) => at === address)?.[1];
}

/** What a name needs of a shard. */
type Named = Pick<Shard, 'buffer' | 'words'>;

interface Entry {
  start: number;
  bytes: number;
  type: number;
  parent: number;
  index: number;
}

/** The name table's entries that are in use. */
function entries(shard: Named): Entry[] {
  const table = shard.words[layout.SH_NAMES / 4]! >>> 0;
  const count = shard.words[layout.SH_NAMES_COUNT / 4]!;
  const found: Entry[] = [];
  for (let n = 0; n < count; n++) {
    const view = new DataView(shard.buffer, table + n * names.NAME_SIZE, names.NAME_SIZE);
    const start = view.getUint32(names.NAME_ADDRESS, true);
    if (start === 0) continue;
    const bytes = view.getUint32(names.NAME_BYTES, true);
    const type = view.getUint32(names.NAME_TYPE, true);
    const parent = view.getUint32(names.NAME_PARENT, true);
    found.push({ start, bytes, type, parent, index: view.getUint32(names.NAME_INDEX, true) });
  }
  return found;
}

/** The entry that `address` lies in; objects contain others, so the smallest. */
function findEntry(shard: Named, address: number): Entry | undefined {
  return entries(shard)
    .filter(({ start, bytes, type }) => {
      // A lock inside a VM is named by its place there: the VM's own entry tells it.
      return address >= start && address < start + bytes && type !== names.NT_KVM_LOCK;
    })
    .toSorted((a, b) => a.bytes - b.bytes)[0];
}

/** The name of the object at `address`, with the member if known; the address in hex when nothing is known of it. */
export function objectName(shard: Named, address: number): string {
  const global = globalLockName(address);
  const entry = findEntry(shard, address);
  // Words of the header are a program's own, where it has named them.
  if (global !== undefined && entry?.type !== names.NT_USER) return global;
  if (entry === undefined) return slotName(shard, address) ?? `0x${address.toString(16)}`;
  if (entry.type === names.NT_USER)
    return `${userText(shard, entry.index)}${member(entry.type, address - entry.start)}`;
  const own = PARTS[entry.type] ?? `${PREFIXES[entry.type] ?? 'object'}${entry.index}`;
  const full = entry.parent === 0 ? own : `${objectName(shard, entry.parent)}.${own}`;
  return `${full}${member(entry.type, address - entry.start)}`;
}

/** A name that a program has given: AssemblyScript's string at `address`. */
function userText({ buffer, words }: Named, address: number): string {
  const length = words[address / 4 - 1]! / 2;
  return String.fromCharCode(...new Uint16Array(buffer, address, length));
}

/** A memslot without an entry, as those with high ids are: the struct itself says which it is, also for a time after it was freed. */
function slotName(shard: Named, address: number): string | undefined {
  if (address % 4 !== 0 || address > shard.buffer.byteLength - kvm.SLOT_SIZE) return undefined;
  const view = new DataView(shard.buffer, address, kvm.SLOT_SIZE);
  const magic = view.getUint32(kvm.SLOT_MAGIC, true);
  if (magic !== kvm.SLOT_MAGIC_VALUE && magic !== kvm.SLOT_MAGIC_FREED) return undefined;
  const vm = view.getUint32(kvm.SLOT_KVM, true);
  const known = entries(shard).some(({ start, type }) => start === vm && type === names.NT_VM);
  return `${known ? `${objectName(shard, vm)}.` : ''}slot${view.getUint32(kvm.SLOT_ID, true)}`;
}

function member(type: number, offset: number): string {
  const members = MEMBERS[type] ?? [];
  const known = members.find(([at]) => at === offset);
  if (known !== undefined) return `.${known[1]}`;
  const around = members.findLast(([at, name]) => at < offset && offset < at + STRUCT_BYTES && STRUCTS.test(name));
  if (around !== undefined) return `.${around[1]}+0x${(offset - around[0]).toString(16)}`;
  return offset === 0 ? '' : `+0x${offset.toString(16)}`;
}

/** Addresses of the locks that have a name of their own. */
export function namedLocks(shard: Named): number[] {
  const own = entries(shard).flatMap(({ start, type }) => {
    if (type === names.NT_KVM_LOCK || type === names.NT_LOCK) return [start];
    return type === names.NT_RM ? [start + mm.RM_LOCK] : [];
  });
  return [...GLOBAL_LOCKS.map(([at]) => at), ...own];
}
