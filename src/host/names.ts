// Symbolic names of kernel objects for reports: `vm0.mmu_lock` instead of an address.
import * as kvm from '../kernel/abi/kvm.js';
import * as layout from '../kernel/abi/layout.js';
import * as names from '../kernel/abi/names.js';
import type { Shard } from './shard.js';

const PREFIXES: Record<number, string> = {
  [names.NT_VM]: 'vm',
  [names.NT_VCPU]: 'vcpu',
  [names.NT_FILE]: 'file',
  [names.NT_SLOT]: 'slot',
  [names.NT_PARTITION]: 'partition',
  [names.NT_TASK]: 'task',
  [names.NT_LOCK]: 'lock',
};

const VM_MEMBERS: [number, string][] = [
  [kvm.KVM_MMU_LOCK, 'mmu_lock'],
  [kvm.KVM_SRCU, 'srcu'],
  [kvm.KVM_SLOTS_LOCK, 'slots_lock'],
  [kvm.KVM_SLOTS_ARCH_LOCK, 'slots_arch_lock'],
  [kvm.KVM_LOCK, 'lock'],
  [kvm.KVM_MN_LOCK, 'mn_invalidate_lock'],
  [kvm.KVM_MN_RCUWAIT, 'mn_memslots_update_rcuwait'],
  [kvm.KVM_MEM_ATTR, 'mem_attr_array'],
];

const GLOBAL_LOCKS: [number, string][] = Object.entries(layout)
  .filter(([name, value]) => name.startsWith('LOCK_') && value >= layout.SH_LOCKS && value < layout.SH_OOPS)
  .map(([name, value]) => [value, name.slice(5).toLowerCase()]);

/** What a name needs of a shard. */
type Named = Pick<Shard, 'buffer' | 'words'>;

interface Entry {
  start: number;
  bytes: number;
  type: number;
  parent: number;
  index: number;
}

/** The entry of the name table that `address` lies in; objects contain others, so the smallest. */
function findEntry(shard: Named, address: number): Entry | undefined {
  const table = shard.words[layout.SH_NAMES / 4]! >>> 0;
  const count = shard.words[layout.SH_NAMES_COUNT / 4]!;
  let found: Entry | undefined;
  for (let n = 0; n < count; n++) {
    const view = new DataView(shard.buffer, table + n * names.NAME_SIZE, names.NAME_SIZE);
    const start = view.getUint32(names.NAME_ADDRESS, true);
    const bytes = view.getUint32(names.NAME_BYTES, true);
    const type = view.getUint32(names.NAME_TYPE, true);
    // A lock inside a VM is named by its place there: the VM's own entry tells it.
    if (start === 0 || address < start || address >= start + bytes || type === names.NT_KVM_LOCK) continue;
    if (found !== undefined && found.bytes <= bytes) continue;
    const parent = view.getUint32(names.NAME_PARENT, true);
    found = { start, bytes, type, parent, index: view.getUint32(names.NAME_INDEX, true) };
  }
  return found;
}

/** The name of the object at `address`, with the member if known; the address in hex when nothing is known of it. */
export function objectName(shard: Named, address: number): string {
  const global = GLOBAL_LOCKS.find(([at]) => at === address);
  if (global !== undefined) return global[1];
  const entry = findEntry(shard, address);
  if (entry === undefined) return `0x${address.toString(16)}`;
  const own = `${PREFIXES[entry.type] ?? 'object'}${entry.index}`;
  const full = entry.parent === 0 ? own : `${objectName(shard, entry.parent)}.${own}`;
  return `${full}${member(entry.type, address - entry.start)}`;
}

function member(type: number, offset: number): string {
  if (offset === 0) return '';
  const known = type === names.NT_VM ? VM_MEMBERS.find(([at]) => at === offset) : undefined;
  return known === undefined ? `+0x${offset.toString(16)}` : `.${known[1]}`;
}
