// Lock-free programs of SCTBench: CHESS's work-stealing queue, with a mutex and with an interlocked spin lock, and Vyukov's SafeStack.
import type { Program } from './source.js';

const LOCK = 0;
const HEAD = 1;
const TAIL = 2;
const MASK = 3;
const ELEMENTS = 4; // where the array begins
const FIELDS = 5; // four items, how often each was taken
const ARRAY = 16;

/** The queue with its bug: push lets in one element too many. A volatile read is a compare-and-exchange, a volatile write an exchange, as there. */
const queue = (prefix: string, take: string, release: string): string => `
function ${prefix}R(n: i32): i32 { return <i32>atomicCas32(at(n), 0, 0); }
function ${prefix}W(n: i32, value: i32): void { atomicXchg32(at(n), <u32>value); }
function ${prefix}element(n: i32): i32 { return get(${ELEMENTS}) + (n & get(${MASK})); }
function ${prefix}lock(): void { ${take} }
function ${prefix}unlock(): void { ${release} }
function ${prefix}steal(): i32 {
  ${prefix}lock();
  let found = -1;
  const head = ${prefix}R(${HEAD});
  ${prefix}W(${HEAD}, head + 1);
  if (head < ${prefix}R(${TAIL})) found = get(${prefix}element(head));
  else ${prefix}W(${HEAD}, head);
  ${prefix}unlock();
  return found;
}
function ${prefix}syncPop(): i32 {
  ${prefix}lock();
  let found = -1;
  const tail = ${prefix}R(${TAIL}) - 1;
  ${prefix}W(${TAIL}, tail);
  if (${prefix}R(${HEAD}) <= tail) found = get(${prefix}element(tail));
  else ${prefix}W(${TAIL}, tail + 1);
  if (${prefix}R(${HEAD}) > tail) {
    ${prefix}W(${HEAD}, 0);
    ${prefix}W(${TAIL}, 0);
    found = -1;
  }
  ${prefix}unlock();
  return found;
}
function ${prefix}pop(): i32 {
  const tail = ${prefix}R(${TAIL}) - 1;
  ${prefix}W(${TAIL}, tail);
  if (${prefix}R(${HEAD}) <= tail) return get(${prefix}element(tail));
  ${prefix}W(${TAIL}, tail + 1);
  return ${prefix}syncPop();
}
function ${prefix}syncPush(item: i32): void {
  ${prefix}lock();
  let head = ${prefix}R(${HEAD});
  const count = ${prefix}R(${TAIL}) - head;
  const mask = get(${MASK});
  head &= mask;
  ${prefix}W(${HEAD}, head);
  ${prefix}W(${TAIL}, head + count);
  if (count >= mask) {
    const before = get(${ELEMENTS});
    const after = before + mask + 1;
    for (let n = 0; n < count; n++) set(after + n, get(before + ((head + n) & mask)));
    set(${ELEMENTS}, after);
    set(${MASK}, 2 * (mask + 1) - 1);
    ${prefix}W(${HEAD}, 0);
    ${prefix}W(${TAIL}, count);
  }
  check(count < get(${MASK}), 2, count);
  const tail = ${prefix}R(${TAIL});
  set(${prefix}element(tail), item);
  ${prefix}W(${TAIL}, tail + 1);
  ${prefix}unlock();
}
function ${prefix}push(item: i32): void {
  const tail = ${prefix}R(${TAIL});
  if (tail < ${prefix}R(${HEAD}) + get(${MASK}) + 1) {
    set(${prefix}element(tail), item);
    ${prefix}W(${TAIL}, tail + 1);
  } else ${prefix}syncPush(item);
}
function ${prefix}count(item: i32): void { if (item >= 0) set(${FIELDS} + item, get(${FIELDS} + item) + 1); }`;

const workStealing = (
  name: string,
  about: string,
  locks: [string, string],
  published: Program['published'],
): Program => ({
  name,
  about,
  verdict: 'assertion',
  setup: `words(64); set(${MASK}, 1); set(${ELEMENTS}, ${ARRAY});`,
  functions: queue(name, ...locks),
  main: `for (let n = 0; n < 2; n++) { ${name}push(2 * n); ${name}push(2 * n + 1); ${name}count(${name}pop()); }
     for (let n = 0; n < 2; n++) ${name}count(${name}pop());
     while (atomicLoad32(at(10)) == 0) futexWait(at(10), 0, -1);
     for (let n = 0; n < 4; n++) check(get(${FIELDS} + n) == 1, 1, n);`,
  bodies: [`for (let n = 0; n < 2; n++) ${name}count(${name}steal()); atomicStore32(at(10), 1); futexWake(at(10), 1);`],
  published,
});

export const LOCK_FREE: readonly Program[] = [
  workStealing(
    'wsq',
    'work-stealing queue: an element too many, and thief and owner take the same one or none',
    [`lock(${LOCK});`, `unlock(${LOCK});`],
    { surw: 5.95, surwDeviation: 4.07, pct3: 48, pos: 12 },
  ),
  workStealing(
    'iwsq',
    'the same with an interlocked spin lock',
    [`while (atomicXchg32(at(${LOCK}), 1) != 0) cpuRelax();`, `atomicXchg32(at(${LOCK}), 0);`],
    { surw: 6.45, surwDeviation: 5.17, pct3: 48, pos: 14 },
  ),
];

// SafeStack's words: head, count, then of each of three elements the next one and its value.
export const SAFE_STACK: Program = {
  name: 'safestack',
  about:
    'a lock-free stack of three elements, three threads that each take and give back twice: ABA, after five preemptions at least',
  verdict: 'assertion',
  setup: 'words(8); set(1, 3); set(2, 1); set(3, 2); set(4, -1);',
  functions: `
function safePop(): i32 {
  while (<i32>atomicLoad32(at(1)) > 1) {
    const head = <i32>atomicLoad32(at(0));
    const next = <i32>atomicXchg32(at(2 + head), <u32>-1);
    if (next >= 0) {
      if (<i32>atomicCas32(at(0), <u32>head, <u32>next) == head) {
        atomicSub32(at(1), 1);
        return head;
      }
      atomicXchg32(at(2 + head), <u32>next);
    } else cpuRelax();
  }
  return -1;
}
function safePush(item: i32): void {
  let head = <i32>atomicLoad32(at(0));
  while (true) {
    atomicStore32(at(2 + item), <u32>head);
    const seen = <i32>atomicCas32(at(0), <u32>head, <u32>item);
    if (seen == head) break;
    head = seen;
  }
  atomicAdd32(at(1), 1);
}
function safe(me: i32): void {
  for (let n = 0; n < 2; n++) {
    let item = safePop();
    while (item < 0) { cpuRelax(); item = safePop(); }
    set(5 + item, me);
    check(get(5 + item) == me, 1, item);
    safePush(item);
  }
}`,
  bodies: [0, 1, 2].map((me) => `safe(${me});`),
  published: { surw: 368_921 },
};
