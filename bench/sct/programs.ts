// All programs, and the module that they are compiled to.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { type CompiledProgram, compileProgram } from '../../src/explore/compile.js';
import { programTarget } from '../../src/explore/program-target.js';
import type { Target } from '../../src/explore/target.js';
import { CHESS } from './chess.js';
import { CONVUL } from './convul.js';
import { CS } from './cs.js';
import { LOCK_FREE, SAFE_STACK } from './lock-free.js';
import { INSPECT } from './inspect.js';
import { HEADER, type Program, programSource } from './source.js';

export const PROGRAMS: readonly Program[] = [...CS, ...LOCK_FREE, ...INSPECT, ...CONVUL];

/** Longest execution; only those that spin come near it. */
const STEP_LIMIT = 4000;
/** SafeStack's: its threads turn round while others hold the last elements. */
const SAFE_STACK_STEPS = 400;

/** Compiles every program, SafeStack too, into one module. */
export async function compileAll(): Promise<CompiledProgram> {
  const folder = mkdtempSync(path.join(tmpdir(), 'sct-'));
  try {
    const file = path.join(folder, 'programs.ts');
    writeFileSync(file, [HEADER, ...[...PROGRAMS, ...CHESS, SAFE_STACK].map(programSource)].join('\n'));
    return await compileProgram(file);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

export function targetOf(module: CompiledProgram, { name }: Program): Target {
  const stepLimit = name === SAFE_STACK.name ? SAFE_STACK_STEPS : STEP_LIMIT;
  return programTarget(module, { name, prefix: `${name}_`, points: 'all', stepLimit });
}
