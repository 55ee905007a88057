// Reads the oops records of a shard and says them in words. The texts are in oops-texts.ts.
import * as codes from '../kernel/abi/oops.js';
import * as layout from '../kernel/abi/layout.js';
import type { Violation } from './errors.js';
import { objectName } from './names.js';
import { oopsText } from './oops-texts.js';

/** Names of the oracles in reports, by number. */
export const ORACLES: Readonly<Record<number, string>> = {
  [codes.ORACLE_HOST_PAGE]: 'host-page',
  [codes.ORACLE_STALE_MAPPING]: 'stale-mapping',
  [codes.ORACLE_BALANCE]: 'balance',
  [codes.ORACLE_CALLBACK]: 'callback',
  [codes.ORACLE_ONE_OWNER]: 'one-owner',
  [codes.ORACLE_GUEST_DATA]: 'guest-data',
  [codes.ORACLE_LOCKING]: 'locking',
  [codes.ORACLE_CONSERVATION]: 'conservation',
  [codes.ORACLE_PROGRESS]: 'progress',
  [codes.ORACLE_KERNEL_BUG]: 'kernel-bug',
  [codes.ORACLE_ASSERTION]: 'assertion',
};

/** Violations recorded in a shard so far, oldest first. */
export function readViolations(buffer: SharedArrayBuffer): Violation[] {
  const words = new Int32Array(buffer);
  const count = Math.min(Atomics.load(words, layout.SH_OOPS_COUNT / 4), layout.OOPS_MAX);
  const nameOf = (address: number): string => objectName({ buffer, words }, address);
  const found: Violation[] = [];
  for (let n = 0; n < count; n++) {
    const base = layout.SH_OOPS + n * layout.OOPS_SIZE;
    if (Atomics.load(words, (base + layout.OOPS_DONE) / 4) !== 1) continue;
    const view = new DataView(buffer, base, layout.OOPS_SIZE);
    const oracle = view.getUint32(layout.OOPS_ORACLE, true);
    const code = view.getUint32(layout.OOPS_CODE, true);
    const values = [0, 8, 16, 24, 32].map((at) => view.getFloat64(layout.OOPS_ARGS + at, true));
    found.push({
      oracle: ORACLES[oracle] ?? `oracle ${oracle}`,
      message: oopsText(code, values, nameOf),
      thread: `task${view.getUint32(layout.OOPS_TASK, true)}`,
      details: { code, values, timeNs: view.getFloat64(layout.OOPS_TIME_NS, true) },
    });
  }
  return found;
}
