// The memory of a machine: the state of the model first, then what the scheduler keeps beside it (maps, saved state, stacks of the threads). All of
// it is one WebAssembly.Memory; what is not touched costs nothing.
import * as control from '../kernel/abi/control.js';

const PAGE = 65536;

export interface MachineMemory {
  memory: WebAssembly.Memory;
  words: Int32Array;
  bytes: Uint8Array;
  /** The model's state, [start, end) bytes. */
  stateStart: number;
  stateEnd: number;
  /** Byte n: what accesses to word n are announced, MAP_*. */
  map: Uint8Array;
  /** Address of a map in which nothing is announced. */
  silentMap: number;
  mapAddress: number;
}

/** Lays the memory out for `threads` threads and a state of `stateBytes`, and fills the control block. */
export function machineMemory(stateBytes: number, threads: number): MachineMemory {
  const stateStart = PAGE;
  const stateEnd = PAGE + Math.ceil(stateBytes / PAGE) * PAGE;
  let next = stateEnd;
  const place = (size: number): number => {
    const address = next;
    next += Math.ceil(size / 4096) * 4096;
    return address;
  };
  const saved = place(stateEnd - stateStart);
  const savedThreads = place(threads * (control.REGION_SIZE_BYTES + control.THREAD_SIZE));
  const regions = place(threads * control.REGION_SIZE_BYTES);
  const dirty = place(stateEnd >> control.BLOCK_SHIFT);
  const dirtyList = place((stateEnd >> control.BLOCK_SHIFT) * 4);
  const mapAddress = place(stateEnd >> 2);
  const silentMap = place(stateEnd >> 2);
  const pages = Math.ceil(next / PAGE);
  const memory = new WebAssembly.Memory({ initial: pages, maximum: 65536, shared: true });
  const words = new Int32Array(memory.buffer);
  const set = (address: number, value: number): void => {
    words[address / 4] = value;
  };
  set(control.CONTROL_MAP, silentMap);
  set(control.CONTROL_WORDS_MAP, mapAddress);
  set(control.CONTROL_DIRTY, dirty);
  set(control.CONTROL_DIRTY_LIST, dirtyList);
  set(control.CONTROL_STATE_START, stateStart);
  set(control.CONTROL_STATE_END, stateEnd);
  set(control.CONTROL_SAVED, saved);
  set(control.CONTROL_SAVED_THREADS, savedThreads);
  set(control.CONTROL_THREAD_COUNT, threads);
  for (let thread = 0; thread < threads; thread++) {
    const region = regions + thread * control.REGION_SIZE_BYTES;
    set(control.THREADS + thread * control.THREAD_SIZE + control.THREAD_REGION, region);
    set(region, region + 8);
    set(region + 4, region + control.REGION_SIZE_BYTES);
  }
  const bytes = new Uint8Array(memory.buffer);
  const map = bytes.subarray(mapAddress, mapAddress + (stateEnd >> 2));
  return { memory, words, bytes, stateStart, stateEnd, map, silentMap, mapAddress };
}
