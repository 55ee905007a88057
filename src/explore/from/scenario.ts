// Builds scenarios from the failing operation window of a torture run: the same protocol, hook and variants, one guest, one slot of a few pages: the failing one,
// its neighbours, the ends of what was under way. Ranges keep their order relations to these pages (a hole that ended at the failing page still does), and everything else
// of the guest falls away. What the run's page tables held when the window began is not known, so that it is tried both ways.
import type { Operation, Scenario } from '../scenario.js';
import type { FailingRun, WindowOperation, WindowSlot } from './window.js';

/** How much of the window goes into a scenario. */
export interface Cut {
  /** The last operations of each thread. */
  operations: number;
  threads: number;
  /** Whether the guest has used its pages before. */
  mapped: boolean;
  /** Pages where operations under way began and ended are kept, beside those of the failing thread: of every thread. */
  wide: boolean;
}

/** From the smallest to the largest: small ones are explored faster. */
export const CUTS: readonly Cut[] = [
  { operations: 1, threads: 3, mapped: true, wide: false },
  { operations: 1, threads: 3, mapped: false, wide: false },
  { operations: 2, threads: 4, mapped: true, wide: false },
  { operations: 2, threads: 4, mapped: false, wide: true },
  { operations: 5, threads: 4, mapped: true, wide: true },
  { operations: 5, threads: 6, mapped: false, wide: true },
];

const GUEST = 'guest';
const FILE = 'memory';
const FIRST_GFN = 8;
const MOVED_GFN = 64;
const FIRST_HVA = 64;
const SPARE_ID = 64;
const HOST_PAGES = 64;
const MOST_PAGES = 12;
const FIRST_VALUE = 100;
/** PFN of the first page that a scenario's host gives out. */
const FIRST_PFN = 16;

/** Where it failed. */
export interface Focus {
  guest: string;
  slot: WindowSlot;
  /** The failing page, from the slot's start. */
  page: number;
}

/** The page that the first violation names; without one, that of the operation that the failing thread did not come out of. */
export function focusOf({ recent, places, violations }: FailingRun): Focus | undefined {
  for (const { guest, gfn } of places) {
    const slots = recent.guests.find(({ name }) => name === guest)?.slots ?? [];
    const slot = slots.find((each) => gfn >= each.gfn && gfn < each.gfn + each.pages);
    if (slot !== undefined) return { guest, slot, page: gfn - slot.gfn };
  }
  const failed = recent.threads.find(({ task }) => task === violations[0]!.thread);
  const last = failed?.operations.at(-1) ?? recent.threads.flatMap(({ operations }) => operations).at(-1);
  if (last === undefined) return undefined;
  const slot = recent.guests.find(({ name }) => name === last.guest)?.slots.find((each) => each.slot === last.slot);
  return slot === undefined ? undefined : { guest: last.guest, slot, page: last.page + last.pages - 1 };
}

/** The scenario of one cut through the window; undefined when fewer than two threads have anything to do in it. */
export function scenarioOfWindow(run: FailingRun, focus: Focus, cut: Cut): Scenario | undefined {
  const scale = new Scale(focus, endsOfUnderWay(run, focus, cut.wide));
  const picked = pickThreads(run, scale, cut);
  const vcpus = new Set<number>();
  const threads: Record<string, Operation[]> = {};
  let value = 0;
  for (const { thread, operations } of picked) {
    const calls = operations.flatMap((each) => {
      if (each.vcpu !== undefined) vcpus.add(each.vcpu);
      return scale.operation(each, ++value);
    });
    if (calls.length > 0) threads[thread] = calls;
  }
  if (Object.keys(threads).length < 2) return undefined;
  const first = run.violations[0]!;
  return {
    name: `from-torture-${first.oracle}`,
    about: `the end of a torture run that failed with '${first.message}', around page ${focus.page} of slot ${focus.slot.slot} of ${focus.guest}`,
    host: { pages: HOST_PAGES },
    protocol: run.protocol,
    hook: run.hook === 'none' ? 'none' : 'snp',
    variants: run.profile.variants,
    ...(focus.slot.private ? { files: { [FILE]: { pages: scale.pages } } } : {}),
    vms: { [GUEST]: { vcpus: Math.max(0, ...vcpus) + 1, gfns: MOVED_GFN * 2 } },
    setup: setUp(scale, picked, cut.mapped),
    threads,
  };
}

/** First and last pages of the failing thread's last operation on the slot, or of the last one of each thread that did not come out of it. */
function endsOfUnderWay({ recent, violations }: FailingRun, focus: Focus, wide: boolean): number[] {
  return recent.threads.flatMap(({ task, operations }) => {
    const last = operations.at(-1);
    if (last === undefined || last.guest !== focus.guest || last.slot !== focus.slot.slot) return [];
    const failed = task === violations[0]!.thread;
    const counts = failed || (wide && last.result === 'pending');
    return counts && !last.op.startsWith('slot_') ? [last.page, last.page + last.pages - 1] : [];
  });
}

interface Picked {
  thread: string;
  kind: string;
  operations: WindowOperation[];
}

/** Threads with operations near the failing page: the failing one first, one of each kind before a second of any, vCPUs last. */
function pickThreads({ recent, violations }: FailingRun, scale: Scale, cut: Cut): Picked[] {
  const failed = violations[0]!.thread;
  const near = recent.threads
    .map(({ thread, task, kind, operations }) => ({
      thread,
      kind,
      failed: task === failed,
      operations: scale.near(operations, cut.operations),
    }))
    .filter(({ operations }) => operations.length > 0);
  const seen = new Map<string, number>();
  const rank = ({ kind, failed: first }: (typeof near)[number]): number => {
    const before = seen.get(kind) ?? 0;
    seen.set(kind, before + 1);
    return first ? -1 : before * 2 + (kind === 'vcpu' ? 1 : 0);
  };
  return near
    .map((thread) => ({ thread, rank: rank(thread) }))
    .toSorted((a, b) => a.rank - b.rank)
    .slice(0, cut.threads)
    .map(({ thread }) => thread);
}

/**
 * The slot as it was before the picked operations, every page private but those that are made private first of all; mapped when the guest has used each.
 */
function setUp(scale: Scale, picked: readonly Picked[], mapped: boolean): Operation[] {
  const all = picked.flatMap(({ operations }) => operations);
  const firstSlot = all.find(({ op }) => op.startsWith('slot_'));
  const setup = scale.slots(firstSlot);
  if (!scale.isPrivate) return setup;
  // Slot by slot: a mistake that shows when a conversion spans two must not show here.
  for (const slot of scale.slots(firstSlot))
    if (slot.op === 'set-slot') setup.push({ op: 'set-private', vm: GUEST, gfn: slot.gfn, pages: slot.pages });
  if (mapped) setup.push(...scale.touches(0, scale.pages, true));
  const first = picked.flatMap(({ operations }) => operations.find(({ op }) => op.startsWith('to_')) ?? []);
  for (const conversion of first.filter(({ op }) => op === 'to_private')) {
    const { start, pages } = scale.range(conversion);
    setup.push({ op: 'set-shared', vm: GUEST, gfn: FIRST_GFN + start, pages });
    if (mapped) setup.push(...scale.touches(start, pages, false));
  }
  return setup;
}

/** Maps pages of the run's slot that are kept to those of the scenario's. */
class Scale {
  readonly #focus: Focus;
  readonly #kept: readonly number[];

  constructor(focus: Focus, ends: readonly number[]) {
    this.#focus = focus;
    const { page, slot } = focus;
    const near = [...new Set([page - 1, page, page + 1, ...ends])].filter((each) => each >= 0 && each < slot.pages);
    const closest = near.toSorted((a, b) => Math.abs(a - page) - Math.abs(b - page)).slice(0, MOST_PAGES);
    this.#kept = closest.toSorted((a, b) => a - b);
  }

  get pages(): number {
    return this.#kept.length;
  }

  get isPrivate(): boolean {
    return this.#focus.slot.private;
  }

  /** The first kept page at or behind `page`, by its new number. */
  #index(page: number): number {
    const index = this.#kept.findIndex((kept) => kept >= page);
    return index === -1 ? this.#kept.length : index;
  }

  range({ page, pages }: { page: number; pages: number }): { start: number; pages: number } {
    const start = this.#index(page);
    return { start, pages: this.#index(page + pages) - start };
  }

  /**
   * The thread's last `most` operations on kept pages. One that has none there gets its last one, moved to the failing page (a range: so that it ends
   * there): what it did there may have left the ring. The pieces of a slot stay together: one that is created was deleted before.
   */
  near(operations: readonly WindowOperation[], most: number): WindowOperation[] {
    const here = operations.filter(({ guest, slot }) => guest === this.#focus.guest && slot === this.#focus.slot.slot);
    const slots = here.filter(({ op }) => op.startsWith('slot_'));
    if (slots.length > 0) return fromDelete(slots, most);
    const near = here.filter((each) => this.range(each).pages > 0).slice(-most);
    if (near.length > 0) return near;
    const last = here.at(-1);
    if (last === undefined) return [];
    if (last.op === 'touch') return [{ ...last, page: this.#focus.page, write: true, private: this.isPrivate }];
    return [{ ...last, page: Math.max(0, this.#focus.page - last.pages + 1) }];
  }

  /** A write to each of the pages [start, start + pages). */
  touches(start: number, pages: number, isPrivate: boolean): Operation[] {
    return Array.from({ length: pages }, (_, n) => ({
      op: 'touch',
      vm: GUEST,
      gfn: FIRST_GFN + start + n,
      write: true,
      value: FIRST_VALUE + start + n,
      ...(isPrivate ? {} : { private: false }),
    }));
  }

  /** The slot in the pieces that it had before its first picked operation. */
  slots(first: WindowOperation | undefined): Operation[] {
    const { pages } = this.#focus.slot;
    const split =
      first === undefined || first.op === 'slot_move' ? 0 : first.second === true ? first.page : first.pages;
    const cut = split > 0 && split < pages ? this.#index(split) : this.pages;
    const pieces: Operation[] = [];
    if (cut > 0) pieces.push(this.#piece(false, 0, cut));
    if (cut < this.pages) pieces.push(this.#piece(true, cut, this.pages - cut));
    return pieces;
  }

  #id(second: boolean): number {
    return this.#focus.slot.slot + (second ? SPARE_ID : 0);
  }

  #piece(second: boolean, start: number, pages: number, gfn = FIRST_GFN): Operation {
    const backing = this.isPrivate ? { file: FILE, start } : {};
    const { flags } = this.#focus.slot;
    return {
      op: 'set-slot',
      vm: GUEST,
      slot: this.#id(second),
      gfn: gfn + start,
      pages,
      flags,
      hva: FIRST_HVA + start,
      ...backing,
    };
  }

  /** An operation of the run as one of the scenario; none when nothing of it is left. */
  operation(from: WindowOperation, value: number): Operation[] {
    const { start, pages } = this.range(from);
    if (pages === 0) return [];
    const gfn = FIRST_GFN + start;
    switch (from.op) {
      case 'touch': {
        const stores = from.write === true ? { write: true, value } : {};
        const shared = from.private === false ? { private: false } : {};
        return [{ op: 'touch', vm: GUEST, vcpu: from.vcpu ?? 0, gfn, ...stores, ...shared }];
      }
      case 'punch_hole':
        return [{ op: 'punch-hole', file: FILE, start, pages }];
      case 'allocate':
        return [{ op: 'allocate', file: FILE, start, pages }];
      case 'to_private':
        return [{ op: 'set-private', vm: GUEST, gfn, pages }];
      case 'to_shared':
        return [{ op: 'set-shared', vm: GUEST, gfn, pages }];
      case 'memory_failure':
        return [{ op: 'memory-failure', pfn: FIRST_PFN + start }];
      case 'discard':
        return [{ op: 'discard-shared', vm: GUEST, hva: FIRST_HVA + start, pages }];
      case 'slot_delete':
        return [{ op: 'delete-slot', vm: GUEST, slot: this.#id(from.second === true) }];
      case 'slot_create':
        return [this.#piece(from.second === true, start, pages)];
      case 'slot_move':
        return [this.#piece(false, 0, this.pages, from.second === true ? MOVED_GFN : FIRST_GFN)];
      default:
        return [];
    }
  }
}

/** The last `most` slot operations, and those before them back to a delete: a slot is deleted before it is created. */
function fromDelete(slots: readonly WindowOperation[], most: number): WindowOperation[] {
  let from = Math.max(0, slots.length - most);
  while (from > 0 && slots[from]!.op === 'slot_create') from--;
  if (from > 0 && slots[from]!.op === 'slot_delete' && slots[from]!.second === true) from--;
  return slots.slice(from);
}
