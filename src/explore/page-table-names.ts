// Names of the TDP MMU's words: `vm0.spte[0x8]`, the entry that maps gfn 0x8, and members of roots. Tables have no entry in the kernel's table of names: they are
// found from the VM's list of roots, as the hardware finds them.
import * as kvm from '../kernel/abi/kvm.js';
import * as layout from '../kernel/abi/layout.js';
import * as names from '../kernel/abi/names.js';
import * as vcpu from '../kernel/abi/vcpu.js';
import { objectName } from '../host/names.js';
import type { Named, StateWord } from './state-names.js';

const TOP_LEVEL = 4;
const ENTRIES = 512;
const INDEX_BITS = 9;
/** A list of roots that is longer than this is none. */
const MOST_ROOTS = 16;
const ROOT_MEMBERS: Record<number, string> = {
  [vcpu.ROOT_TABLE]: 'table',
  [vcpu.ROOT_STATE]: 'role.invalid',
  [vcpu.ROOT_REFS]: 'root_count',
  [vcpu.ROOT_NEXT]: 'next',
  [vcpu.ROOT_GEN]: 'gen',
};

/** The word's name when it lies in a root or a page table of some VM's. */
export function tableName(state: Named, address: number): StateWord | undefined {
  const word = (at: number): number => state.words[at >>> 2]! >>> 0;
  const inside = (at: number): boolean =>
    at !== 0 && at % 8 === 0 && at + vcpu.SPT_TABLE_SIZE <= state.buffer.byteLength;
  for (const vm of vmsOf(state)) {
    let root = word(vm + vcpu.MMU_ROOTS);
    for (let n = 0; n < MOST_ROOTS && inside(root); n++, root = word(root + vcpu.ROOT_NEXT)) {
      const current = root === word(vm + kvm.KVM_TDP_ROOT);
      const owner = `${objectName(state, vm)}.${current ? '' : 'old_'}`;
      const member = ROOT_MEMBERS[address - root];
      if (member !== undefined) return { name: `${owner}root.${member}`, sort: 'other' };
      const table = word(root + vcpu.ROOT_TABLE);
      const found = inside(table) ? entryName(state, address, table, TOP_LEVEL, 0) : undefined;
      if (found !== undefined) return { name: `${owner}${found}`, sort: 'spte' };
    }
  }
  return undefined;
}

/** Addresses of the VMs that are named. */
function vmsOf(state: Named): number[] {
  const view = new DataView(state.buffer);
  const table = state.words[layout.SH_NAMES / 4]! >>> 0;
  return Array.from({ length: state.words[layout.SH_NAMES_COUNT / 4]! }, (_, n) => table + n * names.NAME_SIZE)
    .filter((at) => view.getUint32(at + names.NAME_TYPE, true) === names.NT_VM)
    .map((at) => view.getUint32(at + names.NAME_ADDRESS, true))
    .filter((at) => at !== 0);
}

/** `spte[0x8]`, or `spte[0x0/2]` above the lowest level, when the address lies in the table or below it. `gfn`: the table's first. */
function entryName(state: Named, address: number, table: number, level: number, gfn: number): string | undefined {
  const of = (n: number): number => gfn + n * 2 ** (INDEX_BITS * (level - 1));
  if (address >= table && address < table + vcpu.SPT_TABLE_SIZE) {
    const first = of((address - table) >>> 3).toString(16);
    return level === 1 ? `spte[0x${first}]` : `spte[0x${first}/${level}]`;
  }
  if (level === 1) return undefined;
  for (let n = 0; n < ENTRIES; n++) {
    const below = tableBelow(state, table + n * 8);
    const found = below === 0 ? undefined : entryName(state, address, below, level - 1, of(n));
    if (found !== undefined) return found;
  }
  return undefined;
}

/** The table that an entry points to, 0: to none. */
function tableBelow(state: Named, entry: number): number {
  const low = state.words[entry >>> 2]! >>> 0;
  const high = state.words[(entry >>> 2) + 1]! >>> 0;
  const isTable = (low & ((1 << vcpu.SPTE_PRESENT_BIT) | (1 << vcpu.SPTE_LARGE_BIT))) === 1 << vcpu.SPTE_PRESENT_BIT;
  if (!isTable) return 0;
  const table = (high % 2 ** (52 - 32)) * 2 ** (32 - vcpu.SPTE_PFN_SHIFT) + (low >>> vcpu.SPTE_PFN_SHIFT);
  return table !== 0 && table + vcpu.SPT_TABLE_SIZE <= state.buffer.byteLength ? table : 0;
}
