// RMP entries and failures in kernel logs: raw dumps of 16-byte entries, decoded ones, RMPUPDATE's codes, leaked ranges, RMP faults of the host.
// Sources: arch/x86/virt/svm/sev.c (dump_rmpentry, rmpupdate, snp_leak_pages), arch/x86/mm/fault.c, the SEV-SNP host trees of 2022.
import {
  PS_CONTEXT, PS_DEFAULT, PS_FIRMWARE, PS_GUEST_INVALID, PS_GUEST_VALID, PS_HV_FIXED, PS_HYPERVISOR, PS_METADATA, PS_PRE_GUEST, PS_PRE_SWAP,
  PS_RECLAIM, RMP_FAIL_INPUT, RMP_FAIL_INUSE, RMP_FAIL_OVERLAP, RMP_FAIL_PERMISSION, RMP_FAIL_SIZEMISMATCH,
} from '../kernel/abi/snp.js'; // prettier-ignore
import { hex, type Fact, type Grammar } from './log.js';

export interface RmpEntryFact extends Fact {
  kind: 'rmp-entry';
  pfn: number;
  lo: bigint;
  hi: bigint;
}

export interface RmpUpdateFact extends Fact {
  kind: 'rmpupdate-failed';
  pfn: number;
  level: number;
  /** The hardware's code. */
  code: number;
  /** Retries the kernel allowed itself, when it said so. */
  retries: number | undefined;
}

export interface RmpDecodedFact extends Fact {
  kind: 'rmp-decoded';
  pfn: number;
  assigned: boolean;
  immutable: boolean;
  is2m: boolean;
  gpa: bigint;
  asid: number;
  vmsa: boolean;
  validated: boolean;
}

export interface LeakFact extends Fact {
  kind: 'leak';
  /** Pages [start, end). */
  start: number;
  end: number;
}

export interface RmpFaultFact extends Fact {
  kind: 'rmp-fault';
  errorCode: number;
}

export interface UnassignedFact extends Fact {
  kind: 'rmp-unassigned';
  pfn: number;
  /** The 2M region that the kernel dumps, pages [start, end). */
  start: number;
  end: number;
}

export const rmpEntryGrammar: Grammar<RmpEntryFact> = {
  name: 'kernel log raw RMP entry',
  expected: '`PFN: 0x<hex>, [0x<16 digits> - 0x<16 digits>]`, or `PFN 0x<hex>, RMP entry: [...]`',
  resembles: /\bPFN:? 0x\S*, (?:RMP entry: )?\[/,
  read(text, line) {
    const found = /\bPFN:? 0x([0-9a-f]+), (?:RMP entry: )?\[0x([0-9a-f]{1,16}) - 0x([0-9a-f]{1,16})\]/i.exec(text);
    if (found === null) return undefined;
    return { kind: 'rmp-entry', line, pfn: hex(found[1]!), lo: BigInt(`0x${found[2]}`), hi: BigInt(`0x${found[3]}`) };
  },
};

export const rmpUpdateGrammar: Grammar<RmpUpdateFact> = {
  name: 'kernel log RMPUPDATE failed',
  expected:
    '`RMPUPDATE failed for PFN <hex>, pg_level: <n>, ret: <n>`, or `rmpupdate failed, ret: <n>, pfn: <hex>, npages: <n>, level: <n>, retrying (max: <n>)`',
  resembles: /\brmpupdate failed\b/i,
  read(text, line) {
    const now = /\bRMPUPDATE failed for PFN ([0-9a-f]+), pg_level: (\d+), ret: (\d+)/i.exec(text);
    if (now !== null) {
      const [, pfn, level, code] = now;
      return {
        kind: 'rmpupdate-failed',
        line,
        pfn: hex(pfn!),
        level: Number(level),
        code: Number(code),
        retries: undefined,
      };
    }
    const old =
      /\brmpupdate failed, ret: (\d+), pfn: ([0-9a-f]+), npages: \d+, level: (\d+), retrying \(max: (\d+)\)/i.exec(
        text,
      );
    if (old === null) return undefined;
    const [, code, pfn, level, retries] = old;
    return {
      kind: 'rmpupdate-failed',
      line,
      pfn: hex(pfn!),
      level: Number(level),
      code: Number(code),
      retries: Number(retries),
    };
  },
};

export const rmpDecodedGrammar: Grammar<RmpDecodedFact> = {
  name: 'kernel log decoded RMP entry',
  expected:
    '`RMPEntry paddr 0x<hex> [assigned=<0|1> immutable=<0|1> pagesize=<0|1> gpa=0x<hex> asid=<n> vmsa=<0|1> validated=<0|1>]`',
  resembles: /\bRMPEntry\b/,
  read(text, line) {
    const found =
      /\bpaddr 0x([0-9a-f]+) \[assigned=(\d) immutable=(\d) pagesize=(\d) gpa=0x([0-9a-f]+) asid=(\d+) vmsa=(\d) validated=(\d)\]/i.exec(
        text,
      );
    if (found === null) return undefined;
    const [, paddr, assigned, immutable, pagesize, gpa, asid, vmsa, validated] = found;
    return {
      kind: 'rmp-decoded',
      line,
      pfn: Math.floor(hex(paddr!) / 4096),
      assigned: assigned === '1',
      immutable: immutable === '1',
      is2m: pagesize === '1',
      gpa: BigInt(`0x${gpa}`),
      asid: Number(asid),
      vmsa: vmsa === '1',
      validated: validated === '1',
    };
  },
};

export const leakGrammar: Grammar<LeakFact> = {
  name: 'kernel log leaked pages',
  expected: '`Leaking PFN range 0x<hex>-0x<hex>`',
  resembles: /\bLeaking PFN range\b/,
  read(text, line) {
    const found = /\bLeaking PFN range (0x[0-9a-f]+)-(0x[0-9a-f]+)/i.exec(text);
    return found === null ? undefined : { kind: 'leak', line, start: hex(found[1]!), end: hex(found[2]!) };
  },
};

export const rmpFaultGrammar: Grammar<RmpFaultFact> = {
  name: 'kernel log RMP violation',
  read(text, line) {
    const found = /#PF: error_code\((0x[0-9a-f]+)\) - RMP violation/i.exec(text);
    return found === null ? undefined : { kind: 'rmp-fault', line, errorCode: hex(found[1]!) };
  },
};

export interface IommuFaultFact extends Fact {
  kind: 'iommu-rmp-fault';
  gpa: bigint;
}

export const iommuFaultGrammar: Grammar<IommuFaultFact> = {
  name: 'kernel log RMP fault of a device',
  read(text, line) {
    const found = /\bAMD-Vi: Event logged \[RMP_(?:PAGE_FAULT|HW_ERROR) .*\b(?:gpa|spa)=0x([0-9a-f]+)/i.exec(text);
    return found === null ? undefined : { kind: 'iommu-rmp-fault', line, gpa: BigInt(`0x${found[1]}`) };
  },
};

export const unassignedGrammar: Grammar<UnassignedFact> = {
  name: 'kernel log RMP dump of a region',
  read(text, line) {
    const found =
      /\bPFN 0x([0-9a-f]+) unassigned, dumping non-zero entries in 2M PFN region: \[(0x[0-9a-f]+) - (0x[0-9a-f]+)\]/i.exec(
        text,
      );
    if (found === null) return undefined;
    return { kind: 'rmp-unassigned', line, pfn: hex(found[1]!), start: hex(found[2]!), end: hex(found[3]!) };
  },
};

const CODES: Record<number, string> = {
  [RMP_FAIL_INPUT]: 'FAIL_INPUT',
  [RMP_FAIL_PERMISSION]: 'FAIL_PERMISSION: the firmware holds the page, or its 2M region has the end of the RMP table',
  [RMP_FAIL_INUSE]: 'FAIL_INUSE: another CPU or a VMRUN uses the entry',
  [RMP_FAIL_OVERLAP]: 'FAIL_OVERLAP: 4K and 2M entries overlap',
  [RMP_FAIL_SIZEMISMATCH]: 'FAIL_SIZEMISMATCH',
};

const STATES: Record<number, string> = {
  [PS_HYPERVISOR]: 'Hypervisor',
  [PS_HV_FIXED]: 'HV-Fixed',
  [PS_DEFAULT]: 'Default',
  [PS_RECLAIM]: 'Reclaim',
  [PS_FIRMWARE]: 'Firmware',
  [PS_CONTEXT]: 'Context',
  [PS_METADATA]: 'Metadata',
  [PS_PRE_GUEST]: 'Pre-Guest',
  [PS_PRE_SWAP]: 'Pre-Swap',
  [PS_GUEST_INVALID]: 'Guest-Invalid',
  [PS_GUEST_VALID]: 'Guest-Valid',
};

/** Decides the state of a page from its raw entry: the kernel's pageState, so that there is no second decoder. */
export type PageState = (lo: bigint, hi: bigint) => number;

/** What the RMP lines of a log say in our terms. */
export function explainRmp(facts: readonly Fact[], pageState: PageState): string[] {
  const entries = facts.filter((fact): fact is RmpEntryFact => fact.kind === 'rmp-entry');
  const lines = entries.length === 0 ? [] : entryLines(entries, pageState);
  for (const fact of facts) lines.push(...otherLines(fact));
  return lines;
}

/** Neighbours in the same state are one line. */
function entryLines(entries: readonly RmpEntryFact[], pageState: PageState): string[] {
  const lines: string[] = [];
  for (let n = 0; n < entries.length;) {
    const { pfn, lo, hi } = entries[n]!;
    const state = pageState(lo, hi);
    let end = n + 1;
    while (
      end < entries.length &&
      entries[end]!.pfn === pfn + end - n &&
      pageState(entries[end]!.lo, entries[end]!.hi) === state
    )
      end++;
    const [asid, gpa] = [Number((lo >> 51n) & 0x3ffn), lo & 0x7fffffffff000n];
    const owner = (lo & 1n) === 0n ? '' : `, asid ${asid}${asid === 0 ? '' : `, gpa 0x${gpa.toString(16)}`}`;
    const pages =
      end - n === 1 ? `pfn 0x${pfn.toString(16)}` : `pfns [0x${pfn.toString(16)}, 0x${(pfn + end - n).toString(16)})`;
    const count =
      pfn % 512 === 0 && (lo & 0xff8n) !== 0n
        ? `, ${(lo & 0xff8n) >> 3n} other assigned 4K entries in its 2M region`
        : '';
    lines.push(`${pages}: ${STATES[state] ?? `state ${state}`}${owner}${count}`);
    n = end;
  }
  return lines;
}

function otherLines(fact: Fact): string[] {
  const known = fact as RmpUpdateFact | RmpDecodedFact | LeakFact | RmpFaultFact | UnassignedFact | IommuFaultFact;
  switch (known.kind) {
    case 'rmpupdate-failed': {
      const retries = known.retries === undefined ? '' : `, retried up to ${known.retries} times`;
      return [
        `RMPUPDATE of pfn 0x${known.pfn.toString(16)}, level ${known.level}: ${CODES[known.code] ?? `code ${known.code}`}${retries}`,
      ];
    }
    case 'rmp-decoded': {
      const flags = (['assigned', 'immutable', 'is2m', 'vmsa', 'validated'] as const).filter((flag) => known[flag]);
      const tag =
        known.assigned && known.asid === 0 && known.gpa !== 0n
          ? `, tagged 0x${known.gpa.toString(16)}: a firmware page`
          : '';
      return [
        `pfn 0x${known.pfn.toString(16)}: ${flags.length === 0 ? 'hypervisor page' : flags.join(', ')}, asid ${known.asid}${tag}`,
      ];
    }
    case 'leak':
      return [
        `pages [0x${known.start.toString(16)}, 0x${known.end.toString(16)}) leaked: ${known.end - known.start} pages never return to the host`,
      ];
    case 'rmp-fault':
      return [`host write refused by the RMP, #PF error code 0x${known.errorCode.toString(16)}`];
    case 'iommu-rmp-fault':
      return [`access of a device refused by the RMP, address 0x${known.gpa.toString(16)}: the page is not the host's`];
    case 'rmp-unassigned':
      return [
        `pfn 0x${known.pfn.toString(16)} itself is not assigned: the reason lies elsewhere in its 2M region, or the page is in use`,
      ];
    default:
      return [];
  }
}
