// What every virtual thread stands at, in the control block of the machine's memory, and which of them can go on. This is what strategies see.
import * as control from '../kernel/abi/control.js';
import * as points from '../kernel/abi/point.js';
import { type MachineMemory, machineMemory } from './memory.js';
import type { View } from './strategy.js';

const THREAD_WORDS = control.THREAD_SIZE / 4;
const FIRST = control.THREADS / 4;
const TASK = control.THREAD_TASK / 4;
const ENTRY = control.THREAD_ENTRY / 4;
const REGION = control.THREAD_REGION / 4;
const STARTED = control.THREAD_STARTED / 4;
const STATUS = control.THREAD_STATUS / 4;
const KIND = control.THREAD_KIND / 4;
const ADDRESS = control.THREAD_ADDRESS / 4;
const BYTES = control.THREAD_BYTES / 4;
const LOW = control.THREAD_LOW / 4;
const HIGH = control.THREAD_HIGH / 4;
const RESULT = control.THREAD_RESULT / 4;
const WOKEN_BY = control.THREAD_WOKEN_BY / 4;

/** By kind of point: whether the operation changes memory or wakes somebody. */
const WRITES = new Uint8Array(32);
for (const kind of [
  points.POINT_STORE,
  points.POINT_ATOMIC_STORE,
  points.POINT_XCHG,
  points.POINT_CAS,
  points.POINT_CAS_RELAXED,
  points.POINT_ADD,
  points.POINT_SUB,
  points.POINT_OR,
  points.POINT_AND,
  points.POINT_FILL,
  points.POINT_COPY,
  points.POINT_FUTEX_WAKE,
])
  WRITES[kind] = 1;

/** Where a thread starts: its task (address) and its function's index in the module's table. */
export interface ThreadStart {
  task: number;
  entry: number;
}

export class ThreadTable implements View {
  readonly memory: MachineMemory;
  readonly threadCount: number;
  readonly enabled = new Int32Array(control.MAX_VIRTUAL_THREADS);
  enabledCount = 0;
  current = -1;
  step = 0;
  protected readonly words: Int32Array;
  readonly #place = new Int32Array(control.MAX_VIRTUAL_THREADS).fill(-1);

  constructor(stateBytes: number, threads: number) {
    this.memory = machineMemory(stateBytes, threads);
    this.words = this.memory.words;
    this.threadCount = threads;
  }

  isEnabled(thread: number): boolean {
    return this.#place[thread]! >= 0;
  }

  hasEnded(thread: number): boolean {
    return this.status(thread) === control.STATUS_FINISHED;
  }

  kind(thread: number): number {
    return this.words[FIRST + thread * THREAD_WORDS + KIND]!;
  }

  address(thread: number): number {
    return this.words[FIRST + thread * THREAD_WORDS + ADDRESS]! >>> 0;
  }

  bytes(thread: number): number {
    return this.words[FIRST + thread * THREAD_WORDS + BYTES]!;
  }

  low(thread: number): number {
    return this.words[FIRST + thread * THREAD_WORDS + LOW]!;
  }

  wokenBy(thread: number): number {
    return this.words[FIRST + thread * THREAD_WORDS + WOKEN_BY]!;
  }

  /** STATUS_* of abi/control.ts. */
  status(thread: number): number {
    return this.words[FIRST + thread * THREAD_WORDS + STATUS]!;
  }

  /** Address of its task. */
  task(thread: number): number {
    return this.words[FIRST + thread * THREAD_WORDS + TASK]!;
  }

  /** Address of the memory its stack is put into: {top u32, end u32, stack ...}. */
  region(thread: number): number {
    return this.words[FIRST + thread * THREAD_WORDS + REGION]!;
  }

  /** What the thread's last wait returns. */
  waitResult(thread: number): number {
    return this.words[FIRST + thread * THREAD_WORDS + RESULT]!;
  }

  writes(thread: number): boolean {
    const at = FIRST + thread * THREAD_WORDS;
    const kind = this.words[at + KIND]!;
    const compares = kind === points.POINT_CAS || kind === points.POINT_CAS_RELAXED;
    if (!compares || this.words[at + BYTES] !== 4) return WRITES[kind] === 1;
    return this.words[this.words[at + ADDRESS]! >>> 2] === this.words[at + HIGH];
  }

  protected setStart(thread: number, { task, entry }: ThreadStart): void {
    const at = FIRST + thread * THREAD_WORDS;
    this.words.fill(0, at + STARTED, at + THREAD_WORDS);
    this.words[at + TASK] = task;
    this.words[at + ENTRY] = entry;
  }

  protected setStatus(thread: number, status: number): void {
    this.words[FIRST + thread * THREAD_WORDS + STATUS] = status;
  }

  protected announce(thread: number, kind: number, address: number, bytes: number, low: number, high: number): void {
    const at = FIRST + thread * THREAD_WORDS;
    const { words } = this;
    words[at + KIND] = kind;
    words[at + ADDRESS] = address;
    words[at + BYTES] = bytes;
    words[at + LOW] = low;
    words[at + HIGH] = high;
  }

  protected setWoken(thread: number, result: number, wokenBy: number): void {
    const at = FIRST + thread * THREAD_WORDS;
    this.words[at + STATUS] = control.STATUS_READY;
    this.words[at + KIND] = 0;
    this.words[at + RESULT] = result;
    this.words[at + WOKEN_BY] = wokenBy;
  }

  protected noneEnabled(): void {
    this.enabledCount = 0;
    this.#place.fill(-1, 0, this.threadCount);
  }

  protected enable(thread: number): void {
    this.#place[thread] = this.enabledCount;
    this.enabled[this.enabledCount++] = thread;
  }

  protected disable(thread: number): void {
    const place = this.#place[thread]!;
    const last = this.enabled[--this.enabledCount]!;
    this.enabled[place] = last;
    this.#place[last] = place;
    this.#place[thread] = -1;
  }
}
