// A load on guests of the library's user: the actors of a profile, on memslots that are there already. `host.run(workload({ ... }))`.
import { z } from 'zod';
import { UsageError, type Violation } from '../host/errors.js';
import type { Host, Workload } from '../host/host.js';
import { Vm } from '../host/objects.js';
import { callback, checkOptions, wanted } from '../host/options.js';
import { parseDuration } from '../host/units.js';
import { writeActors, writeBudget } from './actors.js';
import { actorComplaints } from './complaints.js';

import type { Area, Guest } from './guests.js';
import { collectActors, collectOperations, type ActorResult, type OperationResult } from './results.js';
import { actorSchema, budget, duration } from './schema.js';
import { judgeTrust, type Trust } from './trust.js';
import { runWindow, type TortureProgress } from './window.js';

const PAGE = 4096;
const LEAST_SPARE_ID = 64;

/** An actor as a profile describes it: `{ kind: 'vcpu', threads: 2, touch: { distribution: 'zipf' } }`. */
export type ActorOptions = z.input<typeof actorSchema>;

/** A load on guests that are there already. */
export interface WorkloadOptions {
  /** The guests to work on: their memslots and vCPUs. */
  vms: readonly Vm[];
  actors: readonly ActorOptions[];
  /** Recorded time, `15s` or a number of seconds; before it, not recorded, the warm-up. */
  duration: number | string;
  warmup?: number | string;
  /** Recorded operations of all threads together after which the load ends, if its time is not over before. */
  operations?: number;
  signal?: AbortSignal;
  /** Called a few times a second. */
  onProgress?: (progress: TortureProgress) => void;
}

/** What a load came to. */
export interface WorkloadResult {
  durationMs: number;
  operations: Record<string, OperationResult>;
  /** What each thread did; of open loops also how well it kept its rate. */
  actors: ActorResult[];
  /** Whether rates and latencies are the engine's or the machine's. */
  trust: Trust;
  /** Of the whole host so far. */
  violations: Violation[];
  /** It was stopped before its time, or a worker died. */
  partial: boolean;
}

const optionsSchema = z.strictObject({
  actors: z.array(actorSchema).min(1),
  duration,
  warmup: duration.default('1ms'),
  operations: budget.optional(),
  vms: z.array(wanted((vm) => vm instanceof Vm, 'a guest; createVm() makes one')).min(1, 'needs at least one guest'),
  signal: wanted((signal) => signal instanceof AbortSignal, 'an AbortSignal').optional(),
  onProgress: callback.optional(),
} satisfies Record<keyof WorkloadOptions, z.ZodType>);

function guestOf(vm: Vm, n: number): Guest {
  const areas = vm.slots.map((slot): Area => ({
    slotId: slot.id,
    flags: slot.flags,
    gpa: slot.startGfn * PAGE,
    size: slot.pageCount * PAGE,
    hva: slot.hva,
    file: slot.file?.address ?? 0,
    offset: slot.startIndex * PAGE,
  }));
  if (areas.length === 0)
    throw new UsageError('workload', `workload: vms[${n}] has no memslots; give it one with setMemslot`);
  const highestGfn = Math.max(...areas.map(({ gpa, size }) => (gpa + size) / PAGE));
  const spareId = Math.max(LEAST_SPARE_ID, Math.max(...areas.map(({ slotId }) => slotId)) + 1);
  const files = areas.flatMap(({ file }) => (file === 0 ? [] : [file]));
  const vcpus = vm.vcpus.map(({ address }) => address);
  return { name: `vm${n}`, shard: vm.shard, vm: vm.address, vcpus, areas, files, highestGfn, spareId };
}

/** A load for Host.run(). Throws UsageError when an option makes no sense. */
export function workload(options: WorkloadOptions): Workload<WorkloadResult> {
  checkOptions('workload', optionsSchema, options, 'workload: ');
  const { actors, warmup, duration: length, operations: most } = optionsSchema.parse(options);
  const [complaint] = actorComplaints({ actors });
  if (complaint !== undefined) throw new UsageError('workload', `workload: ${complaint.message}`);
  const { vms, signal, onProgress } = options;
  return {
    async runOn(host: Host): Promise<WorkloadResult> {
      vms.forEach((vm, n) => {
        if (vm.live() === host.shards[vm.shard]) return;
        throw new UsageError('workload', `workload: vms[${n}] lives on another host`);
      });
      const programs = writeActors(host.shards, actors, vms.map(guestOf));
      if (most !== undefined) writeBudget(host.shards, programs, most);
      const [warmupNs, durationNs] = [parseDuration(warmup), parseDuration(length)];
      const { durationMs, died, replies } = await runWindow(host, programs, {
        warmupNs,
        durationNs,
        signal,
        onProgress,
      });
      const operations = collectOperations(host.shards, programs, durationMs);
      const done = collectActors(host.shards, programs, durationMs);
      const trust = judgeTrust(done, replies);
      const violations = host.violations();
      return { durationMs, operations, actors: done, trust, violations, partial: died || signal?.aborted === true };
    },
  };
}
