// Event traces of a run: a ring for each thread in shared memory (src/kernel/trace.ts), set up before the actors start, read when they have ended.
import * as layout from '../kernel/abi/layout.js';
import * as program from '../kernel/abi/program.js';
import * as trace from '../kernel/abi/trace.js';
import { UsageError } from '../host/errors.js';
import { objectName } from '../host/names.js';
import type { Shard } from '../host/shard.js';
import type { ActorProgram } from './actors.js';

/** One event, as the kernel wrote it; `a`, `b`, `c` by kind (src/kernel/abi/trace.ts). */
export interface TraceEvent {
  startNs: number;
  endNs: number;
  kind: number;
  a: number;
  b: bigint;
  c: bigint;
  ret: number;
}

/** What one thread did last, oldest first. */
export interface TraceThread {
  name: string;
  shard: number;
  /** Task of the shard. */
  task: number;
  events: TraceEvent[];
  /** Events that were overwritten. */
  lost: number;
}

export interface TraceLog {
  threads: TraceThread[];
  /** Monotonic clock when the actors were due to start. */
  startNs: number;
  /** Names of what events speak of by address, by shard. */
  nameOf: (shard: number, address: number) => string;
}

/**
 * Gives every task of the shards a ring of at least `events` events. Throws UsageError when the shards have no memory for them.
 * @context before the actors start.
 */
export function startTrace(shards: readonly Shard[], events: number): void {
  const capacity = 2 ** Math.ceil(Math.log2(events));
  for (const { x, words } of shards) {
    for (let task = 0; task < words[layout.SH_MAX_TASKS / 4]!; task++) {
      const ring = x.vmalloc(BigInt(trace.TRACE_HEADER + capacity * trace.EVENT_SIZE)) >>> 0;
      if (ring === 0) {
        throw new UsageError('--trace', `--trace ${events}: the host has no memory for so many events a thread; less`);
      }
      words[(ring + trace.TRACE_MASK) / 4] = capacity - 1;
      words[((x.taskAddress(task) >>> 0) + layout.TASK_TRACE) / 4] = ring;
    }
  }
}

/** What the actors' rings hold. @context the actors have ended. */
export function readTrace(shards: readonly Shard[], programs: readonly ActorProgram[]): TraceLog {
  let startNs = Infinity;
  const taskOf = ({ shard, address }: ActorProgram): number =>
    new DataView(shards[shard]!.buffer).getUint32(address + program.PR_TASK, true);
  const threads = programs.flatMap((actor): TraceThread[] => {
    const { buffer } = shards[actor.shard]!;
    const view = new DataView(buffer);
    const task = taskOf(actor);
    // Several programs may have had one thread, which has one ring.
    const together = programs.filter((each) => each.shard === actor.shard && taskOf(each) === task);
    if (task === 0 || together[0] !== actor) return [];
    startNs = Math.min(startNs, view.getFloat64(actor.address + program.PR_START_NS, true));
    const ring = view.getUint32(task + layout.TASK_TRACE, true);
    const total = Number(view.getBigUint64(ring + trace.TRACE_TOTAL, true));
    const capacity = view.getUint32(ring + trace.TRACE_MASK, true) + 1;
    const first = Math.max(0, total - capacity);
    const events: TraceEvent[] = [];
    for (let n = first; n < total; n++)
      events.push(eventAt(view, ring + trace.TRACE_HEADER + (n % capacity) * trace.EVENT_SIZE));
    // Events are written as they end: one inside another comes first.
    events.sort((one, other) => one.startNs - other.startNs || other.endNs - one.endNs);
    const id = view.getUint32(task + layout.TASK_ID, true);
    const name = together.map((each) => each.name).join('+');
    return [{ name, shard: actor.shard, task: id, events, lost: first }];
  });
  return { threads, startNs, nameOf: (shard, address) => objectName(shards[shard]!, address) };
}

function eventAt(view: DataView, at: number): TraceEvent {
  return {
    startNs: view.getFloat64(at + trace.EVENT_START_NS, true),
    endNs: view.getFloat64(at + trace.EVENT_END_NS, true),
    kind: view.getUint32(at + trace.EVENT_KIND, true),
    a: view.getUint32(at + trace.EVENT_A, true),
    b: view.getBigUint64(at + trace.EVENT_B, true),
    c: view.getBigUint64(at + trace.EVENT_C, true),
    ret: view.getInt32(at + trace.EVENT_RET, true),
  };
}
