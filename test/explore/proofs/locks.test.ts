// Proofs that ship: each lock with two threads, some with three, every state of it. The larger ones are in docs/verified.md (`npm run verify`).
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { PROOFS, PROOF_SOURCE } from '#bench/proofs.js';
import { type CompiledProgram, compileProgram } from '#src/explore/compile.js';
import type { ExploreResult } from '#src/explore/explore.js';
import { programTarget } from '#src/explore/program-target.js';
import { exploreStates } from '#src/explore/search/explore-states.js';

/** Hundreds of thousands of states: minutes. */
const LARGE = new Set(['rwsemwrr', 'rwsemwwr', 'rwlockwrr', 'rwlockwwr']);

/** The same checks without a lock, or with one that is let go of too early. */
const BROKEN = `
export function none_thread0(): void { alone(); }
export function none_thread1(): void { alone(); }
export function early_setup(): void { store32(LOCK, <u32>kmalloc(256)); rwsemInit(lock(), 0); }
export function early_thread0(): void { downRead(lock()); upRead(lock()); among(); }
export function early_thread1(): void { downWrite(lock()); alone(); upWrite(lock()); }
export function forgotten_setup(): void { store32(LOCK, <u32>kmalloc(256)); mutexInit(lock(), 0); }
export function forgotten_thread0(): void { mutexLock(lock()); alone(); }
export function forgotten_thread1(): void { mutexLock(lock()); alone(); mutexUnlock(lock()); }
export function nowait_setup(): void { store32(TOKEN, 1); store32(A, 1); store32(B, 2); }
export function nowait_thread0(): void { atomicStore32(TOKEN, 2); atomicStore32(A, 0); }
export function nowait_thread1(): void { rcuReadLock(); const at: usize = atomicLoad32(TOKEN) == 1 ? A : B; check(atomicLoad32(at) != 0, 5); rcuReadUnlock(); }
`;

const folder = mkdtempSync(path.join(tmpdir(), 'proofs-'));
let module: CompiledProgram;
beforeAll(async () => {
  const file = path.join(folder, 'proofs.ts');
  writeFileSync(file, PROOF_SOURCE + BROKEN);
  module = await compileProgram(file);
}, 60_000);
afterAll(() => rmSync(folder, { recursive: true }));

function prove(name: string): ExploreResult & { states: number } {
  const options = { name, prefix: `${name}_`, stepLimit: 2000, points: 'sync', frozenClock: true } as const;
  const limits = { states: 400_000, depth: 2000, bytes: 16 << 20, stop: () => false };
  return exploreStates(programTarget(module, options), limits);
}

describe('every state of', () => {
  it.each(PROOFS.filter(({ name }) => !LARGE.has(name)))('$name keeps its promise ($claim)', ({ name }) => {
    expect(prove(name)).toMatchObject({ verdict: 'no-violation', complete: true });
  });
});

describe('the same checks fail', () => {
  it.each([
    ['none', 'assertion', 'without a lock'],
    ['early', 'assertion', 'outside of the lock'],
    ['forgotten', 'deadlock', 'when a lock is never given back'],
    ['nowait', 'assertion', 'when nobody waits for the grace period'],
  ])('%s: %s, %s', (name, kind) => {
    expect(prove(name).violation?.kind).toBe(kind);
  });
});
