// The profile's schema: the one source of validation, of the resolved defaults and of config/schema/profile.json.
import { z } from 'zod';
import { COST_NAMES, type CostName } from '../host/costs.js';
import { PROTOCOLS } from '../host/protocols.js';

/** Before the number of a text: it is above 0. */
const ABOVE_0 = '(?=[0.]*[1-9])';
const SIZE = 'expected a size above 0, such as 64GiB';
/** A size in bytes: a number, or text such as `64GiB`. */
const size = z.union(
  [
    z.number().int().positive(),
    z.string().regex(new RegExp(`^${ABOVE_0}\\d+(\\.\\d+)?\\s*(B|[KMGT]i?B)?$`, 'i'), SIZE),
  ],
  SIZE,
);
const DURATION = 'expected a duration such as 250ms, 15s or 1h';
export const duration = z.union(
  [z.number().positive().max(1e9), z.string().regex(/^\d+(\.\d+)?\s*(ns|us|ms|s|m|h)$/, DURATION)],
  DURATION,
);
const LASTING = 'expected a duration above 0, such as 250ms, 15s or 1h';
/** A duration in which something is to happen. */
const lasting = z.union(
  [duration.options[0], z.string().regex(new RegExp(`^${ABOVE_0}\\d+(\\.\\d+)?\\s*(ns|us|ms|s|m|h)$`), LASTING)],
  LASTING,
);
const RATE = 'expected a rate above 0, such as 2000/s or 5k/s';
const rate = z.union(
  [z.number().positive(), z.string().regex(new RegExp(`^${ABOVE_0}\\d+(\\.\\d+)?\\s*[kM]?(/(s|m))?$`), RATE)],
  RATE,
);
const rateOrNone = z.union(
  [z.number().min(0), z.string().regex(/^\d+(\.\d+)?\s*[kM]?(\/(s|m))?$/, 'expected a rate such as 2000/s or 5k/s')],
  'expected a rate such as 2000/s or 5k/s',
);
const fraction = z.number().min(0).max(1);
/** A number of operations. */
export const budget = z.number().int().min(1).max(Number.MAX_SAFE_INTEGER);

/** Threads of one actor at most. */
export const MAX_THREADS = 64;

const touch = z.strictObject({
  distribution: z
    .enum(['uniform', 'zipf', 'zipf-shuffled', 'sequential', 'hotspot', 'latest'])
    .default('uniform')
    .describe('which pages are touched'),
  insert: fraction.default(0.05).describe('latest: share of the accesses that go to a new page'),
  theta: z.number().gt(0).lt(1).default(0.99).describe('skew of the zipf distributions'),
  write: fraction.default(0.5).describe('share of the accesses that write'),
  hot: z
    .strictObject({ pages: fraction, share: fraction })
    .optional()
    .describe('hotspot: share of the pages that is hot, share of accesses that go there'),
  validate: fraction
    .default(0)
    .describe("share of a vCPU's accesses that are PVALIDATEs instead: it accepts the page or takes that back"),
  batch: z.number().int().min(1).max(4096).default(16).describe('accesses per area and step'),
});

const range = z.strictObject({
  pages: z
    .tuple([
      z
        .number()
        .int()
        .min(1)
        .max(1 << 24),
      z
        .number()
        .int()
        .min(1)
        .max(1 << 24),
    ])
    .refine(([least, most]) => least <= most, 'the first number must not be greater than the second')
    .default([1, 512])
    .describe('pages of one operation, [least, most]'),
  align: z
    .number()
    .int()
    .min(1)
    .max(1 << 18)
    .default(1)
    .describe('range starts are multiples of this many pages'),
  sizes: z
    .enum(['uniform', 'log-uniform'])
    .default('uniform')
    .describe('how lengths are drawn: each alike, or each power of two alike'),
  straddle: z
    .number()
    .int()
    .min(2)
    .max(1 << 18)
    .optional()
    .describe('ranges lie across a multiple of this many pages (512: two huge pages each)'),
});

export const ACTOR_KINDS = [
  'vcpu',
  'invalidator',
  'populator',
  'converter',
  'rebinder',
  'memory-failure',
  'discarder',
  'rmp-stormer',
  'lifecycle',
  'host-writer',
  'device',
  'reclaimer',
  'reaper',
  'interrupter',
  'page-state',
  'cache-writer',
  'mmio-device',
  'region',
  'mix',
] as const;
/** What an actor of kind `mix` can do: work on private memory that needs no slot of its own. */
export const MIX_KINDS = ['vcpu', 'invalidator', 'populator', 'converter', 'memory-failure'] as const;

const stage = z.strictObject({
  duration: duration.describe('length of the stage'),
  rate: rateOrNone.describe('operations per second and thread at its end; it goes there in a straight line'),
});

export const actorSchema = z
  .strictObject({
    kind: z.enum(ACTOR_KINDS),
    threads: z.number().int().min(1).max(MAX_THREADS).default(1).describe('real threads'),
    touch: touch.prefault({}),
    range: range.prefault({}),
    mix: z
      .partialRecord(z.enum(MIX_KINDS), z.number().min(0))
      .optional()
      .describe('kind mix: weight of each kind of step, such as { vcpu: 90, invalidator: 5, converter: 5 }'),
    rate: rate.optional().describe('operations per second and thread, open loop; without it the loop is closed'),
    stages: z
      .array(stage)
      .min(1)
      .max(64)
      .optional()
      .describe(
        'open loop whose rate changes: from `rate` (0 if not given) to the rate of each stage; the last one stays',
      ),
    arrival: z
      .enum(['constant', 'poisson'])
      .default('constant')
      .describe('intervals of an open loop and think times: all equal, or exponential with that mean'),
    burst: z
      .number()
      .int()
      .min(1)
      .max(1_000_000)
      .default(1)
      .describe('open loop: steps that are due at once; the rate stays'),
    think: duration.optional().describe('closed loop: mean pause after each step'),
    operations: budget.optional().describe('recorded operations after which a thread ends before its time'),
    hold: duration
      .optional()
      .describe('kind rmp-stormer: the longest time that it keeps an RMP entry locked (default 50us, at most 50ms)'),
    astray: fraction
      .optional()
      .describe('kind host-writer: share of its writes that meet pages of private files (default 0.1)'),
    cpus: z
      .array(z.number().int().min(0))
      .min(1)
      .optional()
      .describe('CPUs of the threads, dealt in turn (Linux, taskset)'),
  })
  .superRefine((actor, { addIssue }) => {
    const complain = (key: string, message: string): void => addIssue({ code: 'custom', path: [key], message });
    const open = actor.rate !== undefined || actor.stages !== undefined;
    if (open && actor.think !== undefined)
      complain('think', 'an open loop has no think time; leave out rate and stages, or this');
    if (!open && actor.burst > 1) complain('burst', 'only an open loop has bursts; add a rate, such as rate: 1k/s');
    if (!open && actor.think === undefined && actor.arrival === 'poisson') {
      complain('arrival', 'a closed loop without think time has no intervals; add rate, stages or think');
    }
    const weights = Object.values(actor.mix ?? {}).reduce((sum, weight) => sum + weight, 0);
    if (actor.kind === 'mix' && weights <= 0) {
      complain('mix', 'needs weights, of which one is above 0, such as { vcpu: 90, invalidator: 10 }');
    }
    if (actor.kind !== 'mix' && actor.mix !== undefined)
      complain('mix', `only kind mix has one, and this is kind ${actor.kind}`);
    if (actor.kind !== 'rmp-stormer' && actor.hold !== undefined)
      complain('hold', `only kind rmp-stormer holds entries, and this is kind ${actor.kind}`);
    if (actor.kind !== 'host-writer' && actor.astray !== undefined)
      complain('astray', `only kind host-writer writes astray, and this is kind ${actor.kind}`);
  });

const vm = z.strictObject({
  name: z.string().regex(/^[a-z0-9][a-z0-9._-]{0,31}$/i, 'letters, digits, dot, dash and underscore'),
  count: z.number().int().min(1).max(64).default(1),
  asid: z.union([z.literal('auto'), z.number().int().min(1).max(1006)]).default('auto'),
  vcpus: z.number().int().min(1).max(64).default(1),
  memory: size.optional().describe('one private slot of this size at guest address 0, instead of a memslot sequence'),
  memslots: z.string().optional().describe("a VMM's memslot sequence, relative to the profile"),
});

const occasional = (what: string, chance: number, length: string) =>
  z
    .strictObject({ chance: fraction.default(chance), length: duration.default(length) })
    .optional()
    .describe(`${what}, each for a log-uniform time up to length`);

export const perturbSchema = z.strictObject({
  meanPoints: z
    .number()
    .int()
    .min(0)
    .max(1_000_000)
    .default(2000)
    .describe('mean number of points between two perturbations; 0: none'),
  delay: duration.default('20us').describe('longest delay of an ordinary perturbation'),
  yield: fraction.default(0.125).describe('share of the delays that give the CPU away; the others spin'),
  longHold: occasional('share of the perturbations under a lock that hold it on', 0.01, '2ms'),
  victim: z
    .strictObject({
      threads: z.number().int().min(1).max(MAX_THREADS).default(1).describe('how many, drawn from the seed'),
      every: duration.default('100ms').describe('mean time between two pauses'),
      pause: z.tuple([duration, duration]).default(['1ms', '200ms']).describe('[shortest, longest], log-uniform'),
    })
    .optional()
    .describe('threads that are paused wherever they are, whatever they hold'),
  allocationFailure: fraction
    .optional()
    .describe('share of the allocations, of pages and of kernel memory, that fail in actors'),
  leave: z
    .strictObject({
      every: duration.default('500ms').describe("mean time after which an actor's thread leaves"),
      away: duration.default('20ms').describe('longest absence; then a thread, the same or another, goes on'),
    })
    .optional()
    .describe('threads leave the kernel and come back'),
  slowHook: occasional('share of the calls of the platform hook that take long', 0.1, '1ms'),
  slowIpi: occasional("share of a guest's accesses before which an IPI comes late", 0.001, '1ms'),
});
export type Perturb = z.infer<typeof perturbSchema>;

const cost = z
  .string('a time such as 400ns or 1.5us')
  .regex(/^\d+(\.\d+)?\s*(ns|us|ms|s)$/, 'a time such as 400ns or 1.5us');
const costsSchema = z.strictObject(
  Object.fromEntries(COST_NAMES.map((name) => [name, cost.optional()])) as Record<CostName, z.ZodOptional<typeof cost>>,
);

const SEED = 'expected a whole number below 2^64, decimal or 0x, in quotes from 2^53 on';
const SEED_TEXT = /^(0x[0-9a-f]{1,16}|\d{1,20})$/i;

function isSeed(text: string): boolean {
  return SEED_TEXT.test(text) && BigInt(text) < 2n ** 64n;
}

export const profileSchema = z
  .strictObject({
    host: z
      .strictObject({
        memory: size.default('4GiB'),
        partitions: z.number().int().min(1).max(64).default(2),
        layout: z
          .string()
          .optional()
          .describe("a real host's memory map, relative to the profile; it decides the size"),
        inUseWritable: z
          .boolean()
          .default(false)
          .describe('the CPU has HvInUseWrAllowed: pages that VMRUN uses may be written, so that AVIC may be on'),
        shardMemory: size.optional().describe('most memory of one shard; more is cut into several (default: 514GiB)'),
      })
      .prefault({}),
    protocol: z.enum(PROTOCOLS).default('rfc-v8'),
    hook: z.string().default('snp').describe('none, snp, or the path of a module that exports a function'),
    build: z.enum(['fast', 'fast-stat', 'perturbed']).default('perturbed'),
    variants: z.array(z.string()).default([]).describe('mistakes to bring back, such as B05, or as-posted'),
    perturb: z
      .union([z.literal('swarm'), perturbSchema], 'swarm, or a mapping such as { meanPoints: 500, delay: 50us }')
      .prefault({})
      .describe('build perturbed: what is injected; swarm: drawn from the seed'),
    costs: z
      .union([z.string(), costsSchema])
      .optional()
      .describe('what operations of the hardware take: inline, or a file, relative to the profile'),
    vms: z.array(vm).min(1),
    actors: z.array(actorSchema).min(1),
    stutter: z
      .strictObject({ run: lasting, pause: duration })
      .optional()
      .describe('all actors run for a time, pause for a time, and so on'),
    warmup: duration.default('1ms'),
    duration: lasting.default('15s'),
    operations: budget
      .optional()
      .describe('recorded operations of all threads together after which the run ends, if its time is not over before'),
    stuckAfter: duration
      .default('20s')
      .describe('a thread without progress for so long fails the run; one that does not leave then is terminated'),
    seed: z
      .union(
        [
          z.number().int(SEED).min(0, SEED),
          z.string().regex(SEED_TEXT, { error: SEED, abort: true }).refine(isSeed, SEED),
        ],
        SEED,
      )
      .optional()
      .describe('decimal or 0x, below 2^64; in quotes from 2^53 on'),
    trust: z
      .strictObject({
        runDelay: fraction.optional().describe('most that a thread may wait for a CPU, as a share of its time'),
        missed: fraction
          .optional()
          .describe('most steps of an open loop that a thread may have no time for, as a share'),
      })
      .optional()
      .describe('a run beyond these limits measured the machine: it is inconclusive'),
    thresholds: z
      .record(z.string(), z.string())
      .default({})
      .describe('operation.metric: limit, such as invalidate.p99: "< 5ms"'),
  })
  .describe('A load profile of rmptorture');

export type Profile = z.infer<typeof profileSchema>;
export type VmProfile = Profile['vms'][number];
export type ActorProfile = Profile['actors'][number];

/** A VMM's memslot sequence: config/memslots. */
const number = z.number().int().min(0);
export const memslotsSchema = z.strictObject({
  name: z.string(),
  files: z.array(z.strictObject({ id: number, size })).min(1),
  steps: z
    .array(
      z.strictObject({
        slot: number,
        flags: number,
        gpa: number,
        size: number,
        hva: number,
        file: number.optional(),
        offset: number.default(0),
        ret: z.number().int(),
        /** What KVM says since 6.8 where the log is of an older one. */
        retGuestMemfd: z.number().int().optional(),
      }),
    )
    .min(1),
});
export type MemslotSequence = z.infer<typeof memslotsSchema>;

/** JSON Schema of a profile, for editors. */
export function profileJsonSchema(): unknown {
  return z.toJSONSchema(profileSchema, { target: 'draft-2020-12', io: 'input' });
}
