// The guest pages that violations speak of, read from their values (src/kernel/abi/oops.ts): what a failing run is looked at around.
import type { Violation } from '../host/errors.js';
import * as codes from '../kernel/abi/oops.js';
import type { RecentWindow } from './recent.js';

/** A page of a guest, and the violation (its index) that names it. */
export interface FailingPlace {
  violation: number;
  guest: string;
  gfn: number;
}

interface Owner {
  vm?: number;
  asid?: number;
  gfn: number;
}

/** Of an RMP entry: bits 12 to 50 are the guest address, 51 to 60 the ASID. */
function ownerInRmp(low: number, high: number): Owner {
  return { asid: (high >>> 19) & 0x3ff, gfn: Math.floor(low / 4096) + (high & 0x7ffff) * 2 ** 20 };
}

const VM_GFN = new Set<unknown>([
  codes.OOPS_STALE_TRANSLATION,
  codes.OOPS_STALE_OWNER,
  codes.OOPS_GUEST_FOREIGN_DATA,
  codes.OOPS_GUEST_LOST_WRITE,
  codes.OOPS_AUDIT_SPTE_FREE,
  codes.OOPS_AUDIT_SPTE_NO_SLOT,
  codes.OOPS_AUDIT_SPTE_ATTRIBUTE,
  codes.OOPS_AUDIT_SPTE_NOT_IN_FILE,
  codes.OOPS_AUDIT_SPTE_RMP,
  codes.OOPS_DEAD_ROOT,
  codes.OOPS_RANGE_WITHOUT_BEGIN,
  codes.OOPS_RANGE_SHRANK,
  codes.OOPS_RETRY_FOREVER,
  codes.OOPS_FAULT_LOOP,
  codes.OOPS_ATTRIBUTE_STORE,
]);

/** Whose pages a violation names: the guest by number or by ASID. */
function ownersOf({ details }: Violation): Owner[] {
  const code = details['code'];
  const [a = 0, b = 0, c = 0, d = 0, e = 0] = (details['values'] as number[] | undefined) ?? [];
  if (VM_GFN.has(code)) return [{ vm: a, gfn: b }];
  if (code === codes.OOPS_AUDIT_TLB_STALE) return [{ vm: a, gfn: c }];
  if (code === codes.OOPS_FREE_ASSIGNED || code === codes.OOPS_AUDIT_ASSIGNED_FREE) return [ownerInRmp(b, c)];
  if (code === codes.OOPS_AUDIT_ASSIGNED_ELSEWHERE) return [{ asid: b, gfn: c }];
  if (code === codes.OOPS_DOUBLE_ASSIGN) {
    return [
      { asid: d, gfn: e },
      { asid: b, gfn: c },
    ];
  }
  return [];
}

/** The places of all violations, in their order. */
export function failingPlaces(violations: readonly Violation[], { guests }: RecentWindow): FailingPlace[] {
  return violations.flatMap((violation, n) => {
    const shard = (violation.details['shard'] as number | undefined) ?? 0;
    return ownersOf(violation).flatMap(({ vm, asid, gfn }) => {
      const guest = guests.find(
        (each) => each.shard === shard && (vm === undefined ? each.asid === asid : each.vm === vm),
      );
      return guest === undefined ? [] : [{ violation: n, guest: guest.name, gfn }];
    });
  });
}
