// Faults, mappings and zaps of a KVM trace as a scenario: each vCPU's faults in their order, on a thread of its own, and who zapped beside them.
import type { Operation, Scenario } from '../explore/scenario.js';
import type { Fact } from './log.js';
import { type ImportedScenario, Renumbered } from './scenarios.js';
import {
  endlessGfns,
  type FaultFact,
  isSignExtended,
  isZap,
  largeOver,
  type SpteFact,
  type StuckFaultFact,
} from './trace-log.js';

const WRITE = 1n << 1n;
const PRIVATE = 1n << 34n;
const REGION = 512;
/** Gfns below this keep their numbers. */
const KEPT = 4096;
const MOST_VCPUS = 8;
const MOST_CALLS = 12;
const MOST_ZAPS = 64;
const FIRST_HVA = 4096;

interface Access {
  gfn: number;
  write: boolean;
  private: boolean;
}

/** The accesses of each task, in order. An exit and the page fault that comes of it are one; a fault that comes again at once is, too. */
function accessesOf(facts: readonly Fact[]): Map<number, Access[]> {
  const tasks = new Map<number, Access[]>();
  const add = (task: number, access: Access): void => {
    const list = tasks.get(task) ?? [];
    tasks.set(task, list);
    const last = list.at(-1);
    if (last?.gfn !== access.gfn) list.push(access);
    else last.write ||= access.write;
  };
  const faults = facts.filter((fact): fact is FaultFact => fact.kind === 'fault');
  for (const { pid, gfn, errorCode } of faults)
    add(pid, { gfn, write: (errorCode & WRITE) !== 0n, private: (errorCode & PRIVATE) !== 0n });
  for (const fact of facts as readonly (StuckFaultFact | SpteFact)[]) {
    if (fact.kind === 'stuck-fault') add(fact.tid, { gfn: fact.gfn, write: false, private: false });
    const asked = fact.kind === 'spte' && fact.event === 'requested' && !faults.some(({ pid }) => pid === fact.pid);
    if (asked) add(fact.pid, { gfn: fact.gfn, write: false, private: false });
  }
  return tasks;
}

/** Of a long trace the faults of pages that most vCPUs wanted: as many as a scenario can have, in their order. */
function mostContended(tasks: ReadonlyMap<number, readonly Access[]>): [number, Access[]][] {
  const wantedBy = new Map<number, number>();
  for (const list of tasks.values())
    for (const gfn of new Set(list.map((access) => access.gfn))) wantedBy.set(gfn, (wantedBy.get(gfn) ?? 0) + 1);
  const rank = ({ gfn }: Access): number => wantedBy.get(gfn)!;
  const chosen = [...tasks].map(([task, list]): [number, Access[]] => {
    if (list.length <= MOST_CALLS) return [task, [...list]];
    const least = list.map(rank).toSorted((a, b) => b - a)[MOST_CALLS - 1]!;
    return [task, list.filter((access) => rank(access) >= least).slice(0, MOST_CALLS)];
  });
  return chosen.toSorted(([, a], [, b]) => Math.max(...b.map(rank)) - Math.max(...a.map(rank))).slice(0, MOST_VCPUS);
}

/** New numbers of gfns: as they are where all are small. */
function numbering(gfns: readonly number[]): (gfn: number) => number | undefined {
  if (Math.max(...gfns) < KEPT) return (gfn) => gfn;
  const pages = new Renumbered();
  return (gfn) => pages.page(gfn);
}

/** Memslots of one 2M region each for the gfns: shared memory of the VMM. */
function sharedSlots(gfns: readonly number[]): { setup: Operation[]; hvaOf: (gfn: number) => number } {
  const regions = [...new Set(gfns.map((gfn) => Math.floor(gfn / REGION)))];
  const setup = regions.map((region, slot): Operation => ({
    op: 'set-slot',
    vm: 'guest',
    slot,
    gfn: region * REGION,
    pages: REGION,
    hva: FIRST_HVA + slot * REGION,
  }));
  return { setup, hvaOf: (gfn) => FIRST_HVA + regions.indexOf(Math.floor(gfn / REGION)) * REGION + (gfn % REGION) };
}

/** As sharedSlots, of one private file. */
function privateSlots(gfns: readonly number[]): { setup: Operation[]; pageOf: (gfn: number) => number; pages: number } {
  const regions = [...new Set(gfns.map((gfn) => Math.floor(gfn / REGION)))];
  const setup = regions.flatMap((region, slot): Operation[] => [
    {
      op: 'set-slot',
      vm: 'guest',
      slot,
      gfn: region * REGION,
      pages: REGION,
      flags: 4,
      file: 'memory',
      start: slot * REGION,
      hva: FIRST_HVA + slot * REGION,
    },
    { op: 'set-private', vm: 'guest', gfn: region * REGION, pages: REGION },
  ]);
  const pageOf = (gfn: number): number => regions.indexOf(Math.floor(gfn / REGION)) * REGION + (gfn % REGION);
  return { setup, pageOf, pages: regions.length * REGION };
}

const hex = (value: number): string => `0x${value.toString(16)}`;
const touch = (vcpu: number, { gfn, write, private: isPrivate }: Access): Operation => ({
  op: 'touch',
  vm: 'guest',
  vcpu,
  gfn,
  ...(write ? { write: true, value: 1 + (gfn % 0xffff) } : {}),
  ...(isPrivate ? {} : { private: false }),
});

/** Runs of neighbours. */
function runsOf(gfns: readonly number[]): { start: number; pages: number }[] {
  const runs: { start: number; pages: number }[] = [];
  for (const gfn of [...new Set(gfns)].toSorted((a, b) => a - b)) {
    const last = runs.at(-1);
    if (last !== undefined && last.start + last.pages === gfn) last.pages++;
    else runs.push({ start: gfn, pages: 1 });
  }
  return runs;
}

/** The scenario of a trace's faults, if it has any. */
export function traceScenario(title: string, facts: readonly Fact[]): ImportedScenario | undefined {
  const sptes = facts.filter((fact): fact is SpteFact => fact.kind === 'spte');
  const large = largeOver(sptes);
  if (large !== undefined) return mixedScenario(title, large, facts);
  const tasks = accessesOf(facts);
  const zapped = sptes.filter(isZap);
  const gfns = [...[...tasks.values()].flat(), ...zapped].map(({ gfn }) => gfn);
  if (gfns.length === 0 || tasks.size === 0) return undefined;
  return faultScenario(
    title,
    { tasks, zapped, endless: endlessGfns(sptes), signExtended: facts.some(isSignExtended) },
    numbering(gfns),
  );
}

/** The pages of zapped gfns are taken away: punched out of the private file, or discarded by the VMM. */
function zapCalls(
  zaps: readonly SpteFact[],
  pageOf: ((gfn: number) => number) | undefined,
  hvaOf: (gfn: number) => number,
): Operation[] {
  const calls = runsOf(zaps.map(({ gfn }) => gfn)).map(({ start, pages }): Operation =>
    pageOf === undefined
      ? { op: 'discard-shared', vm: 'guest', hva: hvaOf(start), pages }
      : { op: 'punch-hole', file: 'memory', start: pageOf(start), pages },
  );
  return calls.slice(0, MOST_CALLS);
}

/** What a trace shows. */
interface Shown {
  tasks: ReadonlyMap<number, readonly Access[]>;
  zapped: readonly SpteFact[];
  /** Gfns that are mapped again and again. */
  endless: readonly number[];
  signExtended: boolean;
}

function faultScenario(
  title: string,
  { tasks, zapped, endless, signExtended }: Shown,
  renumber: (gfn: number) => number | undefined,
): ImportedScenario {
  const notes: string[] = [];
  const told = new Set<number>();
  const numbered = <T extends { gfn: number }>(items: readonly T[]): T[] =>
    items.flatMap((item) => {
      const gfn = renumber(item.gfn);
      if (gfn === undefined) return [];
      if (gfn !== item.gfn && !told.has(gfn)) notes.push(`gfn ${hex(item.gfn)} of the log is gfn ${hex(gfn)} here.`);
      told.add(gfn);
      return [{ ...item, gfn }];
    });
  const kept = mostContended(tasks).map(([pid, list]) => ({ pid, list: numbered(list) }));
  const left = [...tasks.values()].flat().length - kept.reduce((sum, { list }) => sum + list.length, 0);
  if (left > 0)
    notes.push(
      `Left out: ${left} faults; kept are up to ${MOST_CALLS} of ${MOST_VCPUS} vCPUs, of pages that most of them wanted.`,
    );
  const zaps = numbered(zapped.slice(0, MOST_ZAPS));
  for (const gfn of endless)
    notes.push(
      `The log has gfn ${hex(gfn)} mapped again and again; what undid it is not in the log, and here one fault is enough.`,
    );
  const all = [...kept.flatMap(({ list }) => list), ...zaps].map(({ gfn }) => gfn);
  const isPrivate = kept.some(({ list }) => list.some((access) => access.private));
  if (isPrivate && kept.some(({ list }) => list.some((access) => !access.private)))
    notes.push('All pages start private: a touch of a shared one leaves to user space, which would convert it.');
  const memory = isPrivate ? privateSlots(all) : undefined;
  const shared = sharedSlots(all);
  const takeAway = zapCalls(zaps, memory?.pageOf, shared.hvaOf);
  if (takeAway.length > 0) notes.push('What the log shows zapped is taken away by a thread of its own.');
  if (signExtended)
    notes.push(
      'The sequence number has bit 31 set: with the variant it is kept in an int, and no fault ever ends (B30). It fails with progress or livelock.',
    );
  const vcpus = kept.map(({ pid, list }, vcpu) => [
    `vcpu ${vcpu} (task ${pid})`,
    list.map((each) => touch(vcpu, each)),
  ]);
  const scenario: Scenario = {
    name: title,
    about: `the faults that a trace shows of ${kept.length} ${kept.length === 1 ? 'vCPU' : 'vCPUs'}`,
    host: { pages: 1024 },
    ...(signExtended ? { variants: ['retry-forever'] } : {}),
    ...(memory === undefined ? {} : { files: { memory: { pages: memory.pages } } }),
    vms: { guest: { vcpus: kept.length, gfns: Math.max(...all) + 1 } },
    setup: memory?.setup ?? shared.setup,
    threads: {
      ...(Object.fromEntries(vcpus) as Scenario['threads']),
      ...(takeAway.length === 0 ? {} : { zap: takeAway }),
    },
  };
  return { scenario, notes };
}

/** A 2M mapping that was put over small ones: the pages that were zapped for it are private, the one that faulted is shared (B17). */
function mixedScenario(title: string, large: SpteFact, facts: readonly Fact[]): ImportedScenario {
  const region = large.gfn - (large.gfn % REGION);
  const within = (gfn: number): boolean => gfn >= region && gfn < region + REGION;
  const zapped = facts.filter((fact): fact is SpteFact => fact.kind === 'spte' && isZap(fact as SpteFact));
  const small = zapped.filter(({ gfn, level }) => within(gfn) && level === 1).map(({ gfn }) => gfn);
  const asked = (facts as readonly (FaultFact | SpteFact)[])
    .filter(
      (fact) => (fact.kind === 'fault' || (fact.kind === 'spte' && fact.event === 'requested')) && within(fact.gfn),
    )
    .map(({ gfn }) => gfn)
    .filter((gfn) => !small.includes(gfn));
  const shared = runsOf(asked.length === 0 ? [region + REGION - 1] : asked);
  const base = region < KEPT ? region : REGION;
  const here = (gfn: number): number => gfn - region + base;
  const scenario: Scenario = {
    name: title,
    about: 'a 2M mapping is put over pages that are private and pages that are shared',
    host: { pages: 2048 },
    variants: ['B17'],
    files: { memory: { pages: REGION, huge: true } },
    vms: { guest: { vcpus: 1, gfns: base + REGION } },
    setup: [
      {
        op: 'set-slot',
        vm: 'guest',
        slot: 0,
        gfn: base,
        pages: REGION,
        flags: 4,
        file: 'memory',
        start: 0,
        hva: FIRST_HVA,
      },
      { op: 'set-private', vm: 'guest', gfn: base, pages: REGION },
      ...shared.map(({ start, pages }): Operation => ({ op: 'set-shared', vm: 'guest', gfn: here(start), pages })),
    ],
    threads: {
      vcpu: [...new Set(small)]
        .slice(0, MOST_CALLS)
        .map((gfn) => touch(0, { gfn: here(gfn), write: true, private: true })),
    },
  };
  const notes = [
    ...(base === region ? [] : [`gfn ${hex(region)} of the log is gfn ${hex(base)} here.`]),
    `The log has a shared mapping of 2M put over private pages. Here large mappings are private ones: they swallow the shared page ${shared.map(({ start }) => hex(here(start))).join(', ')}.`,
    'It fails with one-owner or stale-mapping; without the variant (B17) it passes.',
  ];
  return { scenario, notes };
}
