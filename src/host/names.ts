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

/** The name of the object at `address`, with the member if known; the address in hex when nothing is known of it. */
export function objectName(shard: Shard, address: number): string {
  const global = GLOBAL_LOCKS.find(([at]) => at === address);
  if (global !== undefined) return global[1];
  const table = shard.words[layout.SH_NAMES / 4]! >>> 0;
  const count = shard.words[layout.SH_NAMES_COUNT / 4]!;
  for (let n = 0; n < count; n++) {
    const view = new DataView(shard.buffer, table + n * names.NAME_SIZE, names.NAME_SIZE);
    const start = view.getUint32(names.NAME_ADDRESS, true);
    if (start === 0 || address < start || address >= start + view.getUint32(names.NAME_BYTES, true)) continue;
    const type = view.getUint32(names.NAME_TYPE, true);
    const parent = view.getUint32(names.NAME_PARENT, true);
    const own = `${PREFIXES[type] ?? 'object'}${view.getUint32(names.NAME_INDEX, true)}`;
    const full = parent === 0 ? own : `${objectName(shard, parent)}.${own}`;
    return `${full}${member(type, address - start)}`;
  }
  return `0x${address.toString(16)}`;
}

function member(type: number, offset: number): string {
  if (offset === 0) return '';
  const known = type === names.NT_VM ? VM_MEMBERS.find(([at]) => at === offset) : undefined;
  return known === undefined ? `+0x${offset.toString(16)}` : `.${known[1]}`;
}
