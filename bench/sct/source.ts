// What the programs of bench/sct share, in AssemblyScript: words, a lock and a condition that are one point each where nobody else is in the way, so that
// a pthread call costs about what it costs in the published counts. Every read and write of a word is a point. Thread 0 is the original's main thread, which
// creates the others one after another, a point each: who is created late starts late, and that is half of what makes some of the bugs hard.

/** Lock words: 0 free, 1 taken, 2 taken and somebody may sleep. After Drepper, "Futexes Are Tricky". */
export const HEADER = `
import { check } from 'rmptorture/assert';
import { kzalloc } from 'rmptorture/heap';
import {
  atomicAdd32, atomicCas32, atomicLoad32, atomicStore32, atomicSub32, atomicXchg32, cpuRelax, futexWait, futexWake, load32, relaxOn, store32,
} from 'rmptorture/point';

/** The program's words; set once, before anything is explored. */
let V: usize = 0;
function words(count: i32): void { V = kzalloc(4 * count); }
/** A word for each thread, written when it is created. */
let CREATED: usize = 0;
// @ts-ignore: decorator
@inline
function at(n: i32): usize { return V + (<usize>n << 2); }
// @ts-ignore: decorator
@inline
function get(n: i32): i32 { return <i32>load32(at(n)); }
// @ts-ignore: decorator
@inline
function set(n: i32, value: i32): void { store32(at(n), <u32>value); }

function create(thread: i32): void { atomicStore32(CREATED + (<usize>thread << 2), 1); }
/** First of all that a thread does: it sleeps until it is created. */
function begin(thread: i32): void { relaxOn(CREATED + (<usize>thread << 2)); }

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
  /** `surw` is no measurement: in most of the trials the artifact's scheduler aborted at its start, and that was counted as the bug. */
  isVoid?: boolean;
  pct3?: number;
  pos?: number;
  rw?: number;
}

export interface Program {
  name: string;
  /** What the original is, and its bug. */
  about: string;
  /** How its bug shows; none: it has none, and every execution must end. */
  verdict: 'assertion' | 'deadlock' | 'livelock' | 'none';
  setup: string;
  /** What each thread does that main creates, in the order in which it does. */
  bodies: readonly string[];
  /** What main does then. */
  main?: string;
  /** Functions that the bodies call. */
  functions?: string;
  published: Published;
  /** Fails in every schedule, or in the one without preemptions. */
  always?: boolean;
}

/** `count` threads that do the same. */
export const times = (count: number, body: string): string[] => Array.from({ length: count }, () => body);

/** Threads of a program, main among them. */
export const threadsOf = ({ bodies }: Program): number => bodies.length + 1;

/** The exported functions of one program. */
export function programSource(program: Program): string {
  const { name, setup, bodies, main = '', functions = '' } = program;
  const threads = bodies.map(
    (body, n) => `export function ${name}_thread${n + 1}(): void { begin(${n + 1}); ${body} }`,
  );
  return [
    functions,
    `export function ${name}_setup(): void { CREATED = kzalloc(4 * ${threadsOf(program)}); ${setup} }`,
    `export function ${name}_thread0(): void { for (let n = 1; n <= ${bodies.length}; n++) create(n); ${main} }`,
    ...threads,
  ].join('\n');
}
