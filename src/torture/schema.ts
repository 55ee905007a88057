// The profile's schema: the one source of validation, of the resolved defaults and of config/schema/profile.json.
import { z } from 'zod';
import { PROTOCOLS } from '../host/protocols.js';

/** A size in bytes: a number, or text such as `64GiB`. */
const size = z.union([
  z.number().int().positive(),
  z.string().regex(/^\d+(\.\d+)?\s*(B|[KMGT]i?B)?$/i, 'a size such as 64GiB'),
]);
export const duration = z.union([
  z.number().positive(),
  z.string().regex(/^\d+(\.\d+)?\s*(ns|us|ms|s|m|h)$/, 'a duration such as 250ms, 15s or 1h'),
]);
const rate = z.union([
  z.number().positive(),
  z.string().regex(/^\d+(\.\d+)?\s*[kM]?(\/(s|m))?$/, 'a rate such as 2000/s or 5k/s'),
]);
const fraction = z.number().min(0).max(1);

/** Threads of one actor at most. */
export const MAX_THREADS = 48;

const touch = z.strictObject({
  distribution: z
    .enum(['uniform', 'zipf', 'zipf-shuffled', 'sequential', 'hotspot'])
    .default('uniform')
    .describe('which pages are touched'),
  theta: z.number().gt(0).lt(1).default(0.99).describe('skew of the zipf distributions'),
  write: fraction.default(0.5).describe('share of the accesses that write'),
  hot: z
    .strictObject({ pages: fraction, share: fraction })
    .optional()
    .describe('hotspot: share of the pages that is hot, share of accesses that go there'),
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
});

export const actorSchema = z.strictObject({
  kind: z.enum(['vcpu', 'invalidator', 'populator', 'converter', 'rebinder', 'memory-failure', 'discarder']),
  threads: z.number().int().min(1).max(MAX_THREADS).default(1).describe('real threads'),
  touch: touch.prefault({}),
  range: range.prefault({}),
  rate: rate.optional().describe('operations per second and thread, open loop; without it the loop is closed'),
});

const vm = z.strictObject({
  name: z.string().regex(/^[a-z0-9][a-z0-9._-]{0,31}$/i, 'letters, digits, dot, dash and underscore'),
  count: z.number().int().min(1).max(64).default(1),
  asid: z.union([z.literal('auto'), z.number().int().min(1).max(1006)]).default('auto'),
  vcpus: z.number().int().min(1).max(64).default(1),
  memory: size.optional().describe('one private slot of this size at guest address 0, instead of a memslot sequence'),
  memslots: z.string().optional().describe("a VMM's memslot sequence, relative to the profile"),
});

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
        shardMemory: size.optional().describe('most memory of one shard; more is cut into several (default: 514GiB)'),
      })
      .prefault({}),
    protocol: z.enum(PROTOCOLS).default('rfc-v8'),
    hook: z.string().default('snp').describe('none, snp, or the path of a module that exports a function'),
    build: z.enum(['fast', 'fast-stat', 'perturbed']).default('perturbed'),
    variants: z.array(z.string()).default([]).describe('mistakes to bring back, such as B05, or as-posted'),
    perturb: z
      .strictObject({
        meanPoints: z
          .number()
          .int()
          .min(0)
          .max(1_000_000)
          .default(2000)
          .describe('mean number of points between two delays; 0: none'),
        delay: duration.default('20us').describe('longest injected delay'),
      })
      .prefault({}),
    vms: z.array(vm).min(1),
    actors: z.array(actorSchema).min(1),
    warmup: duration.default('1ms'),
    duration: duration.default('15s'),
    stuckAfter: duration
      .default('20s')
      .describe('a thread without progress for so long fails the run; one that does not leave then is terminated'),
    seed: z.union([z.number().int().min(0), z.string().regex(/^(0x[0-9a-f]+|\d+)$/i)]).optional(),
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
      }),
    )
    .min(1),
});
export type MemslotSequence = z.infer<typeof memslotsSchema>;

/** JSON Schema of a profile, for editors. */
export function profileJsonSchema(): unknown {
  return z.toJSONSchema(profileSchema, { target: 'draft-2020-12', io: 'input' });
}
