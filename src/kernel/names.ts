// Names of objects for reports: the kernel notes address, type, parent and number; the host composes `vm0.mmu_lock` from them.
// The table is append-mostly and read without a lock; a freed object's entry is reused.
import { LOCK_NAMES, SH_NAMES, SH_NAMES_COUNT, SH_NAMES_MAX } from './abi/layout';
import { NAME_ADDRESS, NAME_BYTES, NAME_INDEX, NAME_PARENT, NAME_SIZE, NAME_TYPE } from './abi/names';
import { atomicStore32, load32, store32 } from './point';
import { spinLock, spinUnlock } from './sync/spinlock';

/** Names the object at [address, address + bytes). A full table is not an error: the report falls back to the address. */
export function nameObject(address: usize, bytes: usize, type: u32, parent: usize, index: u32): void {
  spinLock(LOCK_NAMES);
  const count = load32(SH_NAMES_COUNT);
  let n: u32 = 0;
  while (n < count && load32(entryAddress(n) + NAME_ADDRESS) != 0) n++;
  if (n < load32(SH_NAMES_MAX)) {
    const entry = entryAddress(n);
    store32(entry + NAME_BYTES, <u32>bytes);
    store32(entry + NAME_TYPE, type);
    store32(entry + NAME_PARENT, <u32>parent);
    store32(entry + NAME_INDEX, index);
    atomicStore32(entry + NAME_ADDRESS, <u32>address);
    if (n == count) atomicStore32(SH_NAMES_COUNT, count + 1);
  }
  spinUnlock(LOCK_NAMES);
}

/** Takes the name of the object at this address away; none is no error. */
export function unnameObject(address: usize): void {
  spinLock(LOCK_NAMES);
  const count = load32(SH_NAMES_COUNT);
  for (let n: u32 = 0; n < count; n++) {
    if (load32(entryAddress(n) + NAME_ADDRESS) == <u32>address) {
      atomicStore32(entryAddress(n) + NAME_ADDRESS, 0);
      break;
    }
  }
  spinUnlock(LOCK_NAMES);
}

function entryAddress(n: u32): usize {
  return <usize>load32(SH_NAMES) + <usize>n * NAME_SIZE;
}
