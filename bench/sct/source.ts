// What the programs of bench/sct share, in AssemblyScript: words, a lock and a condition that are one point each where nobody else is in the way, so that
// a pthread call costs about what it costs in the published counts. Every read and write of a word is a point.

/** Lock words: 0 free, 1 taken, 2 taken and somebody may sleep. After Drepper, "Futexes Are Tricky". */
export const HEADER = `
import { check } from 'rmptorture/assert';
import { kzalloc } from 'rmptorture/heap';
import {
  atomicAdd32, atomicCas32, atomicLoad32, atomicStore32, atomicSub32, atomicXchg32, cpuRelax, futexWait, futexWake, load32, store32,
} from 'rmptorture/point';

/** The program's words; set once, before anything is explored. */
let V: usize = 0;
function words(count: i32): void { V = kzalloc(4 * count); }
// @ts-ignore: decorator
@inline
function at(n: i32): usize { return V + (<usize>n << 2); }
// @ts-ignore: decorator
@inline
function get(n: i32): i32 { return <i32>load32(at(n)); }
// @ts-ignore: decorator
@inline
function set(n: i32, value: i32): void { store32(at(n), <u32>value); }

function lock(n: i32): void {
  if (atomicCas32(at(n), 0, 1) == 0) return;
  while (atomicXchg32(at(n), 2) != 0) futexWait(at(n), 2, -1);
}
function unlock(n: i32): void {
  if (atomicXchg32(at(n), 0) == 2) futexWake(at(n), 1);
}
function wait(condition: i32, n: i32): void {
  const seen = atomicLoad32(at(condition));
  unlock(n);
  futexWait(at(condition), seen, -1);
  lock(n);
}
function signal(condition: i32): void {
  atomicAdd32(at(condition), 1);
  futexWake(at(condition), 1);
}
`;

/** Mean schedules to the first bug, and of how many trials it was found, as published: SURW's artifact, 20 trials of up to 10,000 schedules. */
export interface Published {
  surw?: number;
  /** Standard deviation of the 20 trials. */
  surwDeviation?: number;
  pct3?: number;
  pos?: number;
  rw?: number;
}

export interface Program {
  name: string;
  /** What the original is, and its bug. */
  about: string;
  verdict: 'assertion' | 'deadlock';
  setup: string;
  /** What each thread does. */
  bodies: readonly string[];
  /** Functions that the bodies call. */
  functions?: string;
  published: Published;
  /** Fails in every schedule, or in the one without preemptions. */
  always?: boolean;
}

/** `count` threads that do the same. */
export const times = (count: number, body: string): string[] => Array.from({ length: count }, () => body);

/** The exported functions of one program. */
export function programSource({ name, setup, bodies, functions = '' }: Program): string {
  const threads = bodies.map((body, n) => `export function ${name}_thread${n}(): void { ${body} }`);
  return [functions, `export function ${name}_setup(): void { ${setup} }`, ...threads].join('\n');
}
