// The schema of a scenario file (YAML or JSON), and of config/schema/scenario.json.
import { z } from 'zod';
import { PROTOCOLS } from '../host/protocols.js';

const name = z.string().min(1);
const pages = z.number().int().min(0);
const gfn = z.number().int().min(0);
const word = z.string().regex(/^0x[0-9a-f]{1,16}$/i, 'a 64-bit word such as "0x8000000000000005"');

const operation = z.discriminatedUnion('op', [
  z.strictObject({
    op: z.literal('touch'),
    vm: name,
    vcpu: z.number().int().min(0).optional().describe('number of the vCPU, from 0'),
    gfn,
    write: z.boolean().optional(),
    private: z.boolean().optional().describe('C-bit set (default: true)'),
    value: z.number().int().min(0).optional().describe('what a write stores'),
  }),
  ...(['punch-hole', 'allocate'] as const).map((op) =>
    z.strictObject({ op: z.literal(op), file: name, start: pages, pages }),
  ),
  z.strictObject({
    op: z.literal('set-slot'),
    vm: name,
    slot: z.number().int().min(0),
    gfn,
    pages,
    file: name.optional(),
    start: pages.optional().describe('first page of the file'),
    flags: z.number().int().min(0).optional().describe('KVM_MEM_* (4: private, with a file)'),
    hva: pages.optional().describe('page of the shared half in the process'),
  }),
  z.strictObject({ op: z.literal('delete-slot'), vm: name, slot: z.number().int().min(0) }),
  ...(['set-private', 'set-shared'] as const).map((op) => z.strictObject({ op: z.literal(op), vm: name, gfn, pages })),
  z.strictObject({ op: z.literal('memory-failure'), pfn: pages }),
  z.strictObject({ op: z.literal('discard-shared'), vm: name, hva: pages, pages }),
  ...(['open-file', 'close-file'] as const).map((op) => z.strictObject({ op: z.literal(op), file: name })),
  z.strictObject({ op: z.literal('set-file-size'), file: name, pages }),
  z.strictObject({ op: z.literal('destroy-vm'), vm: name }),
  z.strictObject({
    op: z.literal('create-vcpu'),
    vm: name,
    noDescriptor: z.boolean().optional().describe('the process has no file descriptor left for it'),
  }),
  z.strictObject({
    op: z.literal('pvalidate'),
    vm: name,
    vcpu: z.number().int().min(0).optional(),
    gfn,
    validated: z.boolean().optional().describe('false: rescind (default: true)'),
  }),
  z.strictObject({
    op: z.literal('interrupt'),
    vm: name,
    vcpu: z.number().int().min(0).optional(),
    vector: z.number().int().min(0).max(31).optional(),
  }),
  z.strictObject({
    op: z.literal('launch-update'),
    vm: name,
    gfn,
    hva: pages.describe('page of the process that is copied'),
  }),
  z.strictObject({ op: z.literal('launch-finish'), vm: name }),
  z.strictObject({ op: z.literal('fault-file'), vm: name, file: name, page: pages }),
  z.strictObject({ op: z.literal('cache-gfn'), vm: name, gfn }),
  z.strictObject({ op: z.literal('write-cached'), vm: name, value: z.number().int().min(0) }),
  z.strictObject({ op: z.literal('write-user'), vm: name, hva: pages, value: z.number().int().min(0) }),
  z.strictObject({
    op: z.literal('ghcb-write'),
    vm: name,
    vcpu: z.number().int().min(0).optional(),
    offset: z.number().int().min(0).multipleOf(8).describe('byte of the GHCB (src/kernel/abi/kvm.ts GHCB_*)'),
    value: z.number().min(0),
  }),
  z.strictObject({ op: z.literal('vmgexit'), vm: name, vcpu: z.number().int().min(0).optional() }),
  z.strictObject({ op: z.literal('ap-create'), vm: name, vcpu: z.number().int().min(0), gfn }),
  z.strictObject({ op: z.literal('ap-destroy'), vm: name, vcpu: z.number().int().min(0) }),
  z.strictObject({ op: z.literal('psmash'), pfn: pages }),
  z.strictObject({
    op: z.literal('rmpupdate'),
    pfn: pages,
    level: z
      .union([z.literal(1), z.literal(2)])
      .optional()
      .describe('1: 4K (default), 2: 2M'),
    vm: name.optional().describe('assigned to this guest; without: back to the host'),
    gfn: gfn.optional(),
  }),
  z.strictObject({
    op: z.literal('rmp-entry'),
    pfn: pages,
    lo: word.describe("the raw entry's first 8 bytes, as a dump has them"),
    hi: word.optional(),
  }),
  z.strictObject({ op: z.literal('mark-in-use'), pfn: pages }),
  z.strictObject({ op: z.literal('host-write'), pfn: pages }),
  z.strictObject({ op: z.literal('firmware-page'), vm: name, gfn, pfn: pages }),
  z.strictObject({ op: z.literal('register-device'), vm: name, gfn }),
  z.strictObject({
    op: z.literal('unregister-device'),
    vm: name,
    gfn,
    noMemory: z.boolean().optional().describe('there is no memory for the bus without it: the whole bus goes'),
  }),
  z.strictObject({ op: z.literal('register-region'), vm: name, hva: pages, pages }),
  z.strictObject({ op: z.literal('unregister-region'), vm: name, hva: pages }),
  ...(['device-work', 'shadow-root', 'exit-process'] as const).map((op) =>
    z.strictObject({ op: z.literal(op), vm: name }),
  ),
  z.strictObject({ op: z.literal('own-slot'), vm: name, gfn, hva: pages }),
  z.strictObject({ op: z.literal('reclaim'), vm: name, hva: pages, pages }),
  z.strictObject({ op: z.literal('reap-shared'), vm: name, hva: pages, pages }),
  z.strictObject({
    op: z.literal('xa-store'),
    xarray: name,
    first: pages,
    last: pages.describe('inclusive'),
    value: pages.describe('0: nothing'),
  }),
  z.strictObject({ op: z.literal('xa-load'), xarray: name, index: pages }),
  z.strictObject({ op: z.literal('lock-write'), lock: name, value: z.number().int().min(0) }),
  z.strictObject({ op: z.literal('lock-read'), lock: name }),
]);

export const scenarioSchema = z.strictObject({
  name,
  about: z.string().default('').describe('what may go wrong, in a sentence'),
  host: z
    .strictObject({
      pages: z.number().int().min(16).max(8192).optional(),
      partitions: z.number().int().min(1).max(8).optional(),
      rmpTable: z
        .strictObject({ start: pages, pages: z.number().int().min(1) })
        .optional()
        .describe('where the RMP table itself lies, in pages'),
    })
    .optional(),
  protocol: z.enum(PROTOCOLS).optional(),
  hook: z.enum(['none', 'snp']).optional(),
  variants: z.array(z.string()).optional().describe('named mistakes, such as B05'),
  files: z
    .record(
      name,
      z.strictObject({
        pages: z.number().int().min(1),
        huge: z.boolean().optional(),
        stacked: z
          .boolean()
          .optional()
          .describe("the inode's mapping is not the file's own, as with a stacked file system"),
      }),
    )
    .optional(),
  vms: z
    .record(
      name,
      z.strictObject({
        vcpus: z.number().int().min(0).max(8).optional(),
        snp: z.boolean().optional(),
        irqchip: z.boolean().optional().describe('vCPUs have an APIC in the kernel'),
        process: z.boolean().optional().describe("the VMM's process can end"),
        gfns: z.number().int().min(1).optional().describe('gfns whose contents the guest-data oracle follows'),
      }),
    )
    .optional(),
  xarrays: z.array(name).optional().describe('XArrays, empty at first'),
  locks: z
    .record(name, z.enum(['rwsem', 'rwlock']))
    .optional()
    .describe('locks, each with a word behind it'),
  races: z.boolean().optional().describe('data races are failures, and plain accesses points'),
  setup: z.array(operation).optional().describe('made one after another before the threads start; none may fail'),
  threads: z.record(name, z.array(operation)).describe("each thread's calls, by the thread's name"),
  expect: z
    .array(
      z.union([
        z.strictObject({ file: name, pages }),
        z.strictObject({ vm: name, gfn, mapped: z.boolean() }),
        z.strictObject({ vm: name, hva: pages, value: z.number().int().min(0).describe('what the VMM reads there') }),
        z.strictObject({
          thread: name,
          call: z.number().int().min(0).describe("of the thread's calls, from 0"),
          result: z.number().int().describe('0, a positive KVM_EXIT_* or a negative errno'),
        }),
        z.strictObject({ vm: name, memoryErrors: pages }),
        z.strictObject({ leaked: pages }),
        z.strictObject({ psmashes: pages }),
      ]),
    )
    .optional()
    .describe('what must hold when every thread has ended, beside the oracles'),
});
