// The last operations of each actor, as a failed run's result carries them: which thread did what to which pages, up to the operation that it was in the
// middle of. They lie in the tasks' rings (src/kernel/task.ts) and are read when the actors have ended.
import { errnoName } from '../host/errors.js';
import type { Shard } from '../host/shard.js';
import * as layout from '../kernel/abi/layout.js';
import * as program from '../kernel/abi/program.js';
import { ACCESS_PRIVATE, ACCESS_WRITE } from '../kernel/abi/vcpu.js';
import type { ActorProgram } from './actors.js';
import type { Guest } from './guests.js';
import { operationName } from './results.js';

const PAGE = 4096;

/** One operation of an actor. Pages are those of the guest's slot, from its start. */
export interface RecentOperation {
  op: string;
  guest: string;
  slot: number;
  page: number;
  pages: number;
  /** `ok`, an errno's name, or `pending`: the actor never came out of it. */
  result: string;
  startNs: number;
  /** Of a touch. */
  write?: boolean;
  private?: boolean;
  vcpu?: number;
  /** Of a slot: its second piece, or the move to its other place. */
  second?: boolean;
}

/** An actor's last operations, oldest first. */
interface RecentThread {
  thread: string;
  /** As violations name it. */
  task: string;
  kind: string;
  operations: RecentOperation[];
}

/** Where the memory of a guest lies, in pages. */
interface RecentGuest {
  name: string;
  /** Number of the VM and its ASID, as violations have them. */
  vm: number;
  asid: number;
  shard: number;
  vcpus: number;
  slots: { slot: number; gfn: number; pages: number; flags: number; private: boolean; first: number; hva: number }[];
}

/** The operations before a failure. */
export interface RecentWindow {
  guests: RecentGuest[];
  threads: RecentThread[];
}

/** What the actors did last. @context all of them have ended. */
export function recentWindow(
  shards: readonly Shard[],
  programs: readonly ActorProgram[],
  guests: readonly Guest[],
): RecentWindow {
  return {
    guests: guests.map((guest) => describeGuest(shards[guest.shard]!, guest)),
    threads: programs.flatMap((actor) => {
      const { buffer } = shards[actor.shard]!;
      const here = guests.filter(({ shard }) => shard === actor.shard);
      const task = new DataView(buffer).getUint32(actor.address + program.PR_TASK, true);
      if (task === 0) return [];
      const id = new DataView(buffer).getUint32(task + layout.TASK_ID, true);
      const operations = operationsOf(buffer, task, here, targetsOf(buffer, actor));
      return [{ thread: actor.name, task: `task${id}`, kind: actor.kind, operations }];
    }),
  };
}

function describeGuest(shard: Shard, guest: Guest): RecentGuest {
  const slots = guest.areas.map(({ slotId, gpa, size, flags, file, offset, hva }) => ({
    slot: slotId,
    gfn: gpa / PAGE,
    pages: size / PAGE,
    flags,
    private: file !== 0,
    first: offset / PAGE,
    hva: hva / PAGE,
  }));
  const { x } = shard;
  const { name, vm, vcpus } = guest;
  return { name, vm: x.sysVmId(vm), asid: x.sysVmAsid(vm), shard: guest.shard, vcpus: vcpus.length, slots };
}

/** Addresses [first, end) of a program's targets: a thread that runs several programs has all their operations in its ring. */
function targetsOf(buffer: SharedArrayBuffer, { address }: ActorProgram): [first: number, end: number] {
  const view = new DataView(buffer, address, program.PROGRAM_SIZE);
  const first = view.getUint32(program.PR_TARGETS, true);
  return [first, first + view.getUint32(program.PR_TARGET_COUNT, true) * program.TARGET_SIZE];
}

function operationsOf(
  buffer: SharedArrayBuffer,
  task: number,
  guests: readonly Guest[],
  [firstTarget, endTarget]: [number, number],
): RecentOperation[] {
  const view = new DataView(buffer);
  const begun = view.getUint32(task + layout.TASK_RING_NEXT, true);
  const found: RecentOperation[] = [];
  for (let n = Math.max(0, begun - layout.RING_MAX); n < begun; n++) {
    const entry = task + layout.TASK_RING + (n % layout.RING_MAX) * layout.RING_ENTRY_SIZE;
    const target = view.getUint32(entry + layout.RING_TARGET, true);
    if (target < firstTarget || target >= endTarget) continue;
    const operation = operationAt(view, entry, guests);
    if (operation !== undefined) found.push(operation);
  }
  return found;
}

/** The entry in words; undefined when its guest is not one of these (a ring left by an earlier load). */
function operationAt(view: DataView, entry: number, guests: readonly Guest[]): RecentOperation | undefined {
  const u32 = (at: number): number => view.getUint32(at, true);
  const target = u32(entry + layout.RING_TARGET);
  const guest = guests.find(({ vm }) => vm === u32(target + program.TG_VM));
  if (guest === undefined) return undefined;
  const op = u32(entry + layout.RING_OP);
  const ret = view.getInt32(entry + layout.RING_RET, true);
  const flags = u32(entry + layout.RING_FLAGS);
  const touch = {
    write: (flags & ACCESS_WRITE) !== 0,
    private: (flags & ACCESS_PRIVATE) !== 0,
    vcpu: u32(target + program.TG_VCPU_INDEX),
  };
  const isSlot = op === program.OP_SLOT_CREATE || op === program.OP_SLOT_DELETE || op === program.OP_SLOT_MOVE;
  return {
    op: operationName(op),
    guest: guest.name,
    slot: u32(target + program.TG_SLOT_ID),
    page: u32(entry + layout.RING_FIRST),
    pages: u32(entry + layout.RING_PAGES),
    result: ret === layout.RING_PENDING ? 'pending' : ret < 0 ? errnoName(ret) : 'ok',
    startNs: view.getFloat64(entry + layout.RING_START_NS, true),
    ...(op === program.OP_TOUCH ? touch : {}),
    ...(isSlot ? { second: flags !== 0 } : {}),
  };
}
