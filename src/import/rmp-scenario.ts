// Refusals of the RMP in a kernel log as a scenario: the entries that the log shows, what it leaves open assumed, and the same RMPUPDATE or write of the host again.
import type { Operation, Scenario } from '../explore/scenario.js';
import { RMP_FAIL_INPUT, RMP_FAIL_INUSE, RMP_FAIL_OVERLAP, RMP_FAIL_PERMISSION } from '../kernel/abi/snp.js';
import type { Fact } from './log.js';
import type { RmpDecodedFact, RmpEntryFact, RmpFaultFact, RmpUpdateFact, UnassignedFact } from './rmp-log.js';
import { FIRST_PFN, type ImportedScenario, Renumbered } from './scenarios.js';

const ASSIGNED = 1n;
const LARGE = 2n;
const IMMUTABLE = 4n;
const COUNT = 0xff8n;
const COUNT_SHIFT = 3n;
const OWNER = 0x1ffffffffffff000n;
const ASID_SHIFT = 51n;
const REGION = 512;
/** A page that no scenario's host has. */
const NO_PAGE = 0x100000;

const word = (value: bigint): string => `0x${value.toString(16)}`;
const name = (pfn: number): string => `pfn 0x${pfn.toString(16)}`;
const regionOf = (pfn: number): number => pfn - (pfn % REGION);

/** A raw entry of the log; a decoded one as the raw one it stands for. */
interface Entry {
  lo: bigint;
  hi: bigint;
}

function entriesOf(facts: readonly Fact[]): Map<number, Entry> {
  const entries = new Map<number, Entry>();
  for (const fact of facts as readonly (RmpEntryFact | RmpDecodedFact)[]) {
    if (fact.kind === 'rmp-entry') entries.set(fact.pfn, fact);
    else if (fact.kind === 'rmp-decoded') entries.set(fact.pfn, { lo: rawOf(fact), hi: 0n });
  }
  return entries;
}

function rawOf({ assigned, is2m, immutable, gpa, asid, vmsa, validated }: RmpDecodedFact): bigint {
  const bit = (set: boolean, at: bigint): bigint => (set ? 1n << at : 0n);
  return (
    bit(assigned, 0n) |
    bit(is2m, 1n) |
    bit(immutable, 2n) |
    (gpa & 0x7fffffffff000n) |
    (BigInt(asid) << ASID_SHIFT) |
    bit(vmsa, 61n) |
    bit(validated, 62n)
  );
}

/** Builds one scenario of all refusals of a log. */
class Builder {
  readonly #entries: Map<number, Entry>;
  readonly #pages = new Renumbered();
  readonly #placed = new Set<number>();
  readonly setup: Operation[] = [];
  readonly calls: Operation[] = [];
  readonly expect: NonNullable<Scenario['expect']>[number][] = [];
  readonly notes: string[] = [];
  table: { start: number; pages: number } | undefined;

  constructor(entries: Map<number, Entry>) {
    this.#entries = entries;
  }

  get hostPages(): number {
    return this.#pages.end - FIRST_PFN;
  }

  /** The RMPUPDATE that a log line says was refused; it is expected to return the line's code. False: it cannot be shown. */
  update({ pfn, level: pageLevel, code }: RmpUpdateFact): boolean {
    const level = pageLevel === 2 ? 2 : 1;
    const page = code === RMP_FAIL_INPUT && !(level === 2 && pfn % REGION !== 0) ? NO_PAGE : this.#pages.page(pfn);
    if (page === undefined || !this.#cause(pfn, page, level, code)) return false;
    const assigns = code !== RMP_FAIL_OVERLAP || level === 2;
    this.calls.push({ op: 'rmpupdate', pfn: page, level, ...(assigns ? { vm: 'guest', gfn: 0 } : {}) });
    this.expect.push({ thread: 'host', call: this.calls.length - 1, result: code });
    this.notes.push(
      `${name(pfn)} of the log is page 0x${page.toString(16)} here; RMPUPDATE returns ${code}, as in the log (else the run fails).`,
    );
    return true;
  }

  /** The write that raised an RMP violation. */
  write(pfn: number): boolean {
    const page = this.#pages.page(pfn);
    if (page === undefined) return false;
    const region = regionOf(pfn);
    const assigned = [...this.#entries].some(([at, { lo }]) => regionOf(at) === region && (lo & ASSIGNED) !== 0n);
    this.#place(region);
    if (!assigned) {
      this.setup.push({ op: 'mark-in-use', pfn: page });
      this.notes.push(
        `Assumed: a VMRUN uses the page (a VMCB or an APIC page), since no entry of its region is assigned.`,
      );
    }
    this.calls.push({ op: 'host-write', pfn: page });
    this.notes.push(
      `${name(pfn)} of the log is page 0x${page.toString(16)} here; the write fails with host-page, as in the log.`,
    );
    return true;
  }

  /** What makes the hardware answer with the code: the log's own entries, or an assumption. */
  #cause(pfn: number, page: number, level: number, code: number): boolean {
    if (code === RMP_FAIL_INPUT) return true;
    if (code === RMP_FAIL_PERMISSION && this.#isBesideTable(pfn, page)) return true;
    this.#place(regionOf(pfn));
    const head = this.#entries.get(regionOf(pfn));
    const own = this.#entries.get(pfn);
    const gpa = BigInt(page) << 12n;
    if (code === RMP_FAIL_PERMISSION) {
      if ((own ?? { lo: 0n }).lo & IMMUTABLE) return true;
      this.#assume(page, (own?.lo ?? 0n) | IMMUTABLE, 'the page is immutable');
      return true;
    }
    if (code === RMP_FAIL_INUSE) {
      this.setup.push({ op: 'mark-in-use', pfn: page });
      this.notes.push(`Assumed: a VMRUN uses ${name(pfn)}, so that the refusal lasts.`);
      return true;
    }
    if (code !== RMP_FAIL_OVERLAP) return false;
    if (level === 1) {
      if (((head?.lo ?? 0n) & LARGE) === 0n) {
        const whole = ASSIGNED | LARGE | (1n << ASID_SHIFT) | ((gpa >> 21n) << 21n);
        this.#assume(regionOf(page), whole, 'the 2M region is one 2M entry, so that the overlap lasts');
      }
      return true;
    }
    const small = [...this.#entries].some(
      ([at, { lo }]) => regionOf(at) === regionOf(pfn) && at !== pfn && (lo & (ASSIGNED | LARGE)) === ASSIGNED,
    );
    if (!small)
      this.#assume(page + 1, ASSIGNED | (1n << ASID_SHIFT) | (gpa + 0x1000n), 'a 4K page of the region is assigned');
    return true;
  }

  #assume(page: number, lo: bigint, what: string): void {
    this.setup.push({ op: 'rmp-entry', pfn: page, lo: word(lo) });
    this.notes.push(`Assumed: ${what}. The log does not show its entry.`);
  }

  /** A page behind the RMP table's own last pages: the region's first entry is the firmware's and counts pages up to below this one. */
  #isBesideTable(pfn: number, page: number): boolean {
    const head = this.#entries.get(regionOf(pfn));
    if (head === undefined || this.table !== undefined) return false;
    const firmware = (head.lo & (ASSIGNED | IMMUTABLE | LARGE)) === (ASSIGNED | IMMUTABLE) && (head.lo & OWNER) === 0n;
    const pages = Number((head.lo & COUNT) >> COUNT_SHIFT) + 1;
    if (!firmware || pfn % REGION < pages) return false;
    this.table = { start: regionOf(page), pages };
    this.notes.push(`The ${pages} firmware pages at the start of its region are the end of an RMP table.`);
    return true;
  }

  /** Puts the log's entries of a region in place, once. */
  #place(region: number): void {
    if (this.#placed.has(region)) return;
    this.#placed.add(region);
    for (const [pfn, { lo, hi }] of this.#entries) {
      if (regionOf(pfn) !== region) continue;
      const counted = pfn === region ? lo & ~COUNT : lo;
      this.setup.push({
        op: 'rmp-entry',
        pfn: this.#pages.page(pfn)!,
        lo: word(counted),
        ...(hi === 0n ? {} : { hi: word(hi) }),
      });
    }
  }
}

/** The scenario of a log's refusals, if it has any that can be shown. */
export function rmpScenario(title: string, facts: readonly Fact[]): ImportedScenario | undefined {
  const builder = new Builder(entriesOf(facts));
  const seen = new Set<string>();
  const left: string[] = [];
  let violation: RmpFaultFact | undefined;
  for (const fact of facts as readonly (RmpUpdateFact | RmpFaultFact | UnassignedFact | RmpEntryFact)[]) {
    if (fact.kind === 'rmp-fault') violation = fact;
    if (fact.kind === 'rmpupdate-failed') {
      const key = `${fact.pfn} ${fact.level} ${fact.code}`;
      if (!seen.has(key) && !builder.update(fact)) left.push(`line ${fact.line}, ${name(fact.pfn)}, code ${fact.code}`);
      seen.add(key);
    } else if (violation !== undefined && (fact.kind === 'rmp-unassigned' || fact.kind === 'rmp-entry')) {
      if (!builder.write(fact.pfn)) left.push(`line ${fact.line}, ${name(fact.pfn)}`);
      violation = undefined;
    }
  }
  if (builder.calls.length === 0) return undefined;
  const { hostPages, table, setup, calls, expect } = builder;
  const scenario: Scenario = {
    name: title,
    about: 'refusals of the RMP that a kernel log shows, made again',
    host: { pages: hostPages, ...(table === undefined ? {} : { rmpTable: table }) },
    vms: { guest: { vcpus: 0, gfns: 16 } },
    ...(setup.length === 0 ? {} : { setup }),
    threads: { host: calls },
    ...(expect.length === 0 ? {} : { expect }),
  };
  return { scenario, notes: [...builder.notes, ...left.map((what) => `Left out: ${what}.`)] };
}
