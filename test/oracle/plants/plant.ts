// A planted bug: one mistake, and the one violation it must be reported as, by its code and the file that finds it. complete.test.ts holds the tables of
// them against all codes there are.
import { expect } from 'vitest';
import { KernelOops } from '#src/host/errors.js';
import { readViolations } from '#src/host/oops.js';
import type { ShardOptions } from '#src/host/shard.js';
import type { TestKernel } from '../../kernel/harness.js';
import { bootHost, createGuest, touch, type TestGuest } from '../guest.js';

/** Which check a case is about. */
export interface Proof {
  /** OOPS_* of abi/oops.ts. */
  code: number;
  /** The file under src/kernel that reports it. */
  at: string;
}

/** Values that the violation has to have (those left out are 0), and the mistake itself, with the call that meets it if a call does. */
export interface Mistake {
  values: readonly number[];
  make(): unknown;
}

export interface Plant extends Proof {
  title: string;
  options?: Partial<ShardOptions>;
  /** Comes before the mistake: what is done here is allowed, and where it can be the very call that will meet the mistake. */
  prepare(guest: TestGuest): Mistake;
}

export interface Found {
  code: number;
  values: readonly number[];
}

/** Every violation recorded so far. */
export function violationsIn(k: TestKernel): Found[] {
  return readViolations(k.buffer)
    .map(({ details }) => details as unknown as Found)
    .map(({ code, values }) => ({ code, values }));
}

/** Three pages of the guest are mapped, at gfns 1 to 3. */
export const PAGES = [1, 2, 3] as const;

/** Runs what may end in a violation. */
export async function untilOops(steps: () => unknown): Promise<void> {
  try {
    await steps();
  } catch (error) {
    const { code } = error as { code?: unknown };
    if (!(error instanceof KernelOops) && code !== 'EOOPS') throw error;
  }
}

/** Nothing is reported before the mistake, and exactly its violation after it: by the call that `make` ends with, or by the audit of the state it leaves. */
export async function provePlant({ code, options = {}, prepare }: Plant, byAudit: boolean): Promise<void> {
  const guest = createGuest(bootHost(options));
  for (const gfn of PAGES) touch(guest, gfn);
  const { k } = guest;
  const { values, make } = prepare(guest);
  expect(k.x.sysAudit()).toBe(0);
  expect(violationsIn(k)).toEqual([]);
  await untilOops(make);
  if (byAudit) expect([violationsIn(k), k.x.sysAudit()]).toEqual([[], 1]);
  expect(violationsIn(k)).toEqual([{ code, values: [...values, 0, 0, 0, 0, 0].slice(0, 5) }]);
}

/** Cases for `it.each`, by a title that a report shows whole. */
export function titled<P extends Proof & { title: string }>(plants: readonly P[]): [title: string, plant: P][] {
  return plants.map((plant) => [`${plant.code} by ${plant.at}: ${plant.title}`, plant]);
}
