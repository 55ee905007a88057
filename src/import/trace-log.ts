// KVM's trace events as text (ftrace's trace file, trace-cmd report; wrapped by mailers or not) and the fault lines of a bpftrace script: who faulted
// where, what was installed, what was zapped. Sources: arch/x86/kvm/trace.h, mmu/mmutrace.h; the bpftrace lines follow Eric Wheeler's script of 2023.
import { hex, type Fact, type Grammar } from './log.js';

/** Where and when a trace line was written. */
interface TraceFact extends Fact {
  task: string;
  pid: number;
  cpu: number;
  timeUs: number;
}

export interface FaultFact extends TraceFact {
  kind: 'fault';
  /** Page fault, a nested-page-fault exit (npf), which is the same event seen earlier, or a probe on the function, which says nothing of time. */
  from: 'kvm_page_fault' | 'kvm_exit' | 'direct_page_fault';
  vcpu: number | undefined;
  gfn: number;
  errorCode: bigint;
}

export interface SpteFact extends TraceFact {
  kind: 'spte';
  event: 'requested' | 'set' | 'changed';
  gfn: number;
  level: number;
  pfn: number | undefined;
  old: bigint | undefined;
  new: bigint | undefined;
}

export interface UnmapFact extends TraceFact {
  kind: 'unmap';
  /** Host addresses [start, end). */
  start: bigint;
  end: bigint;
}

export interface OtherEventFact extends TraceFact {
  kind: 'event';
  event: string;
}

export interface StuckFaultFact extends Fact {
  kind: 'stuck-fault';
  tid: number;
  probe: string;
  hits: number;
  gfn: number;
  pfn: number | undefined;
  ret: number | undefined;
  /** mmu_invalidate_seq (mmu_notifier_seq of older kernels), and the open range. */
  seq: bigint;
  inProgress: number;
}

const PREFIX = /^\s*(.+)-(\d+)\s+\[(\d+)\]\s+(?:\S+\s+)?(\d+)\.(\d{6}): (\w+):\s*(.*)$/;
const REMOVED_SPTE = 0x5a0n;

function tracePrefix(text: string): { event: string; body: string; at: Omit<TraceFact, 'kind' | 'line'> } | undefined {
  const found = PREFIX.exec(text);
  if (found === null) return undefined;
  const [, task, pid, cpu, seconds, micros, event, body] = found;
  const timeUs = Number(seconds) * 1e6 + Number(micros);
  return { event: event!, body: body!, at: { task: task!.trim(), pid: Number(pid), cpu: Number(cpu), timeUs } };
}

const frame = (address: string): number => Number(BigInt(`0x${address}`) >> 12n);

function faultOf(event: string, body: string): Pick<FaultFact, 'from' | 'vcpu' | 'gfn' | 'errorCode'> | undefined {
  if (event === 'kvm_page_fault') {
    const found = /^(?:vcpu (\d+) rip 0x[0-9a-f]+ )?address (?:0x)?([0-9a-f]+) error_code (?:0x)?([0-9a-f]+)/i.exec(
      body,
    );
    if (found === null) return undefined;
    const vcpu = found[1] === undefined ? undefined : Number(found[1]);
    return { from: event, vcpu, gfn: frame(found[2]!), errorCode: BigInt(`0x${found[3]}`) };
  }
  const exit =
    /^(?:vcpu (\d+) )?reason npf rip 0x[0-9a-f]+ info1? (?:0x)?([0-9a-f]+) (?:info2 )?(?:0x)?([0-9a-f]+)/i.exec(body);
  if (event !== 'kvm_exit' || exit === null) return undefined;
  const vcpu = exit[1] === undefined ? undefined : Number(exit[1]);
  return { from: event, vcpu, gfn: frame(exit[3]!), errorCode: BigInt(`0x${exit[2]}`) };
}

function spteOf(event: string, body: string): Omit<SpteFact, keyof TraceFact> | undefined {
  const optional = (text: string | undefined): bigint | undefined =>
    text === undefined ? undefined : BigInt(`0x${text}`);
  if (event === 'kvm_mmu_spte_requested') {
    const found = /^gfn ([0-9a-f]+) pfn ([0-9a-f]+) level (\d)/i.exec(body);
    if (found === null) return undefined;
    return {
      event: 'requested',
      gfn: hex(found[1]!),
      pfn: hex(found[2]!),
      level: Number(found[3]),
      old: undefined,
      new: undefined,
    };
  }
  if (event === 'kvm_mmu_set_spte') {
    const found = /^gfn ([0-9a-f]+) spte ([0-9a-f]+) \([^)]*\) level (\d)/i.exec(body);
    if (found === null) return undefined;
    return {
      event: 'set',
      gfn: hex(found[1]!),
      pfn: undefined,
      level: Number(found[3]),
      old: undefined,
      new: optional(found[2]),
    };
  }
  const found = /^as id \d+ gfn ([0-9a-f]+) level (\d) old_spte ([0-9a-f]+) new_spte ([0-9a-f]+)/i.exec(body);
  if (event !== 'kvm_tdp_mmu_spte_changed' || found === null) return undefined;
  return {
    event: 'changed',
    gfn: hex(found[1]!),
    pfn: undefined,
    level: Number(found[2]),
    old: optional(found[3]),
    new: optional(found[4]),
  };
}

export const faultGrammar: Grammar<FaultFact> = {
  name: 'trace kvm_page_fault, kvm_exit npf',
  expected: '`kvm_page_fault: [vcpu <n> rip 0x<hex>] address <hex> error_code <hex>`',
  resembles: /\[\d+\].* kvm_page_fault:/,
  read(text, line) {
    const trace = tracePrefix(text);
    const fault = trace && faultOf(trace.event, trace.body);
    return fault && { kind: 'fault', line, ...trace.at, ...fault };
  },
};

export const spteGrammar: Grammar<SpteFact> = {
  name: 'trace kvm_mmu_spte_requested, kvm_mmu_set_spte, kvm_tdp_mmu_spte_changed',
  expected:
    '`gfn <hex> pfn <hex> level <n>`, `gfn <hex> spte <hex> (<rights>) level <n> at <hex>` or `as id <n> gfn <hex> level <n> old_spte <hex> new_spte <hex>`',
  resembles: /\[\d+\].* kvm_(?:mmu_spte_requested|mmu_set_spte|tdp_mmu_spte_changed):/,
  read(text, line) {
    const trace = tracePrefix(text);
    const spte = trace && spteOf(trace.event, trace.body);
    return spte && { kind: 'spte', line, ...trace.at, ...spte };
  },
};

export const unmapGrammar: Grammar<UnmapFact> = {
  name: 'trace kvm_unmap_hva_range',
  expected: '`kvm_unmap_hva_range: mmu notifier unmap range: 0x<hex> -- 0x<hex>`',
  resembles: /\[\d+\].* kvm_unmap_hva_range:/,
  read(text, line) {
    const trace = tracePrefix(text);
    const found = /^mmu notifier unmap range: (?:0x)?([0-9a-f]+) -- (?:0x)?([0-9a-f]+)/i.exec(trace?.body ?? '');
    if (trace?.event !== 'kvm_unmap_hva_range' || found === null) return undefined;
    return { kind: 'unmap', line, ...trace.at, start: BigInt(`0x${found[1]}`), end: BigInt(`0x${found[2]}`) };
  },
};

/** Events that we know and take no facts from. Whole lines only: a wrapped one is put together first. */
const OTHERS =
  /^(?:kvm_mmu_(?:prepare_zap_page|get_page)\b.*\b(?:sync|unsync)|kvm_fpu: (?:un)?load|kvm_entry: vcpu \d+|kvm_emulate_insn: [0-9a-f]+:[0-9a-f]+: .*\(\w+\)(?: failed)?|kvm_userspace_exit: reason \w+ \(\d+\))/;

export const otherEventGrammar: Grammar<OtherEventFact> = {
  name: 'trace of another KVM event',
  read(text, line) {
    const trace = tracePrefix(text);
    if (trace === undefined || !OTHERS.test(`${trace.event}: ${trace.body}`.replace(/^(kvm_mmu_\w+):/, '$1')))
      return undefined;
    return { kind: 'event', line, ...trace.at, event: trace.event };
  },
};

/** A fault line of a bpftrace script on direct_page_fault: no time, no CPU. */
export const probedFaultGrammar: Grammar<FaultFact> = {
  name: 'bpftrace fault line',
  expected: '`pid(<n>) comm(<name>) vcpu(<address>) gpa(<hex>) error_code(<hex>)`',
  resembles: /^\s*pid\(.*\bcomm\(/,
  read(text, line) {
    const found =
      /^\s*pid\((\d+)\) comm\((.*)\) vcpu\((?:0x)?[0-9a-f]+\) gpa\((?:0x)?([0-9a-f]+)\) error_code\((?:0x)?([0-9a-f]+)\)\s*$/i.exec(
        text,
      );
    if (found === null) return undefined;
    const [, pid, task, gpa, code] = found;
    const errorCode = BigInt(`0x${code}`);
    const at = { task: task!, pid: Number(pid), cpu: 0, timeUs: line };
    return { kind: 'fault', line, from: 'direct_page_fault', vcpu: undefined, gfn: frame(gpa!), errorCode, ...at };
  },
};

export const stuckFaultGrammar: Grammar<StuckFaultFact> = {
  name: 'bpftrace fault line with MMU seq',
  read(text, line) {
    const found =
      /\btid\[(\d+)\].*?\] (\w+) @ rip [0-9a-f]+ \((\d+) hits\), gpa = ([0-9a-f]+),.*?: MMU seq = ([0-9a-f]+), in-prog = ([0-9a-f]+)/i.exec(
        text,
      );
    if (found === null) return undefined;
    const [, tid, probe, hits, gpa, seq, open] = found;
    const pfn = /\bpfn = ([0-9a-f]+)/i.exec(text)?.[1];
    const ret = /\bret = (-?\d+)/.exec(text)?.[1];
    return {
      kind: 'stuck-fault',
      line,
      tid: Number(tid),
      probe: probe!,
      hits: Number(hits),
      gfn: frame(gpa!),
      pfn: pfn === undefined ? undefined : hex(pfn),
      ret: ret === undefined ? undefined : Number(ret),
      seq: BigInt(`0x${seq}`),
      inProgress: hex(open!),
    };
  },
};

const page = (gfn: number): string => `gfn 0x${gfn.toString(16)}`;

/** What the trace shows: pages that several vCPUs wanted at once, pages asked for again and again, ranges zapped. */
export function explainTrace(facts: readonly Fact[]): string[] {
  const faults = facts.filter((fact): fact is FaultFact => fact.kind === 'fault');
  const sptes = facts.filter((fact): fact is SpteFact => fact.kind === 'spte');
  const stuck = facts.filter((fact): fact is StuckFaultFact => fact.kind === 'stuck-fault');
  const unmaps = facts.filter((fact): fact is UnmapFact => fact.kind === 'unmap');
  return [...explainFaults(faults), ...explainSptes(sptes), ...explainUnmaps(unmaps), ...explainStuck(stuck)];
}

function group<T>(items: readonly T[], key: (item: T) => number): [number, T[]][] {
  const groups = new Map<number, T[]>();
  for (const item of items) {
    const same = groups.get(key(item));
    if (same === undefined) groups.set(key(item), [item]);
    else same.push(item);
  }
  return [...groups];
}

/** Least and greatest of many: a trace may have more lines than a call may have arguments. */
function boundsOf(values: readonly number[]): { least: number; most: number } {
  return values.reduce(({ least, most }, value) => ({ least: Math.min(least, value), most: Math.max(most, value) }), {
    least: Infinity,
    most: -Infinity,
  });
}

/** Pages that are told one by one. */
const PAGES_SHOWN = 20;

/** Pages by how many vCPUs wanted them, then by how often; the rest in one line. */
function explainFaults(faults: readonly FaultFact[]): string[] {
  const pages = group(faults, ({ gfn }) => gfn).map(([gfn, ofPage]) => ({
    gfn,
    ofPage,
    threads: new Set(ofPage.map(({ pid }) => pid)).size,
  }));
  const ranked =
    pages.length <= PAGES_SHOWN
      ? pages
      : pages.toSorted((a, b) => b.threads - a.threads || b.ofPage.length - a.ofPage.length);
  const rest = ranked.slice(PAGES_SHOWN);
  const contended = pages.filter(({ threads }) => threads > 1).length;
  const lines = ranked.slice(0, PAGES_SHOWN).map(({ gfn, ofPage, threads }) => {
    const times = boundsOf(ofPage.map(({ timeUs }) => timeUs));
    const codes = [...new Set(ofPage.map(({ errorCode }) => `0x${errorCode.toString(16)}`))].join(', ');
    const timed = ofPage.every(({ from }) => from !== 'direct_page_fault')
      ? ` within ${times.most - times.least} us`
      : '';
    const who = threads === 1 ? 'one vCPU' : `${threads} vCPUs${timed}`;
    return `${page(gfn)}: ${ofPage.length} fault lines of ${who}, error code ${codes}`;
  });
  if (rest.length === 0) return lines;
  const others = rest.reduce((sum, { ofPage }) => sum + ofPage.length, 0);
  return [
    `${faults.length} fault lines of ${pages.length} pages, ${contended} of them wanted by several vCPUs; the most wanted:`,
    ...lines,
    `and ${rest.length} more pages, ${others} fault lines`,
  ];
}

/** A present entry that is taken out. */
export function isZap({ event, new: to, old }: SpteFact): boolean {
  return event === 'changed' && (to === REMOVED_SPTE || to === 0n) && old !== 0n;
}

/** The first 2M mapping that was put over small entries: some below it are taken out in the same trace. */
export function largeOver(sptes: readonly SpteFact[]): SpteFact | undefined {
  return sptes.find(
    (large) =>
      isLarge(large) && sptes.some((small) => small.level === 1 && isZap(small) && small.gfn >> 9 === large.gfn >> 9),
  );
}

const isLarge = ({ event, level, new: to }: SpteFact): boolean =>
  event === 'changed' && level === 2 && to !== REMOVED_SPTE && to !== 0n;

/** A fault that is retried for ever with a sequence number whose bit 31 is set, and no invalidation open (B30). */
export function isSignExtended(fact: Fact): boolean {
  if (fact.kind !== 'stuck-fault') return false;
  const { seq, inProgress } = fact as StuckFaultFact;
  return (seq & 0x80000000n) !== 0n && inProgress === 0;
}

/** Pages mapped more than twice with hardly another page in between. */
const endless = (sptes: readonly SpteFact[]): [number, SpteFact[]][] =>
  group(
    sptes.filter(({ event }) => event === 'requested'),
    ({ gfn }) => gfn,
  ).filter(([, same]) => same.length > 2 && new Set(same.map(({ pfn }) => pfn)).size <= 2);

/** Gfns whose fault makes no progress. */
export function endlessGfns(sptes: readonly SpteFact[]): number[] {
  return endless(sptes).map(([gfn]) => gfn);
}

function explainSptes(sptes: readonly SpteFact[]): string[] {
  const again = endless(sptes);
  const zapped = sptes.filter(isZap);
  const large = sptes.filter(isLarge);
  const gfns = boundsOf(zapped.map(({ gfn }) => gfn));
  return [
    ...again.map(
      ([gfn, same]) =>
        `${page(gfn)}: mapped ${same.length} times over, with no other page in between: a fault that makes no progress`,
    ),
    ...large.map(({ gfn }) => `${page(gfn)}: a 2M mapping is put over its 512 pages`),
    ...(zapped.length === 0
      ? []
      : [`${zapped.length} present entries zapped, between ${page(gfns.least)} and ${page(gfns.most)}`]),
  ];
}

function explainUnmaps(unmaps: readonly UnmapFact[]): string[] {
  if (unmaps.length === 0) return [];
  const pages = unmaps.map(({ start, end }) => Number((end - start) >> 12n));
  const { least, most } = boundsOf(pages);
  return [
    `${unmaps.length} ranges taken away by the host's mm (mmu notifier), ${least === most ? `${most}` : `${least} to ${most}`} pages each`,
  ];
}

function explainStuck(stuck: readonly StuckFaultFact[]): string[] {
  return group(stuck, ({ tid }) => tid).flatMap(([tid, lines]) => {
    const last = lines.at(-1)!;
    const hits = last.hits - lines[0]!.hits;
    return [
      `thread ${tid}: ${hits} faults of ${page(last.gfn)} in these lines (${last.hits} in all), mmu_invalidate_seq 0x${last.seq.toString(16)}, ${last.inProgress === 0 ? 'no invalidation open' : `${last.inProgress} invalidations open`}`,
      ...(isSignExtended(last)
        ? [
            '  the sequence has bit 31 set: kept in an int it is sign-extended, never equals the counter again, and the fault is retried for ever (B30)',
          ]
        : []),
    ];
  });
}
