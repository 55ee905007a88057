// The library's calls under arguments that make no sense: each is refused in one line that says what would be right, and nothing is changed.
import { inspect } from 'node:util';
import { afterAll, describe, expect, it } from 'vitest';
import { attachHost, Host, runTorture, UsageError, workload } from '#src/index.js';

const host = await Host.create({ memory: '64MiB' });
const other = await Host.create({ memory: '64MiB' });
const file = host.createRestrictedMem({ size: '1MiB' });
const vm = host.createVm();
vm.setMemslot({ id: 0, startGfn: 0, pageCount: 256, file });
const stranger = other.createVm();
stranger.setMemslot({ id: 0, startGfn: 0, pageCount: 16 });
const joined = attachHost(other.handle());
const bad = (value: unknown): never => value as never;

afterAll(async () => {
  host.audit();
  await Promise.all([host.close(), other.close()]);
});

/** The one line with which a call is refused. */
async function refused(call: () => unknown): Promise<string> {
  let error: unknown;
  try {
    await call();
  } catch (reason) {
    error = reason;
  }
  expect(error).toBeInstanceOf(UsageError);
  const { message } = error as UsageError;
  expect(message).not.toContain('\n');
  return message;
}

describe('Host.create()', () => {
  const options: [unknown, RegExp][] = [
    [null, /^Host\.create: null stands where an object of options is wanted$/],
    ['64GiB', /^Host\.create: '64GiB' stands where an object of options is wanted$/],
    [{ memry: '1GiB' }, /^Host\.create: unknown key 'memry'; did you mean 'memory'\?$/],
    [{ xyzzy: 1 }, /^Host\.create: unknown key 'xyzzy'; known are memory, partitions, /],
    [{ memory: true }, /^memory: true is not a size such as 64GiB or a number of bytes$/],
    [{ seed: 5 }, /^seed: 5 is not a bigint from 0n to 2n \*\* 64n - 1n, such as 7n$/],
    [{ seed: 'x' }, /^seed: 'x' is not a bigint/],
    [{ seed: 1n << 70n }, /^seed: 1180591620717411303424n is not a bigint/],
    [{ variants: 'B01' }, /^variants: 'B01' is not a list of names, such as \['B05'\]$/],
    [{ debug: 5 }, /^debug: 5 is not a text$/],
    [{ onLog: 5 }, /^onLog: 5 is not a function$/],
    [{ oracles: 'no' }, /^oracles: 'no' is not true or false$/],
    [{ costs: 5 }, /^costs: 5 stands where an object of options is wanted$/],
    [{ costs: null }, /^costs: null stands where/],
    [{ shardMemory: 0 }, /^shardMemory: 0 is too little for one shard; at least 1GiB$/],
    [{ shardMemory: '64MiB' }, /^shardMemory: 64MiB is too little/],
    [{ perturb: null }, /^perturb: /],
    [{ perturb: { meanPoints: -1, delayNs: 1 } }, /^perturb\.meanPoints: -1 is not a whole number from 0 to/],
    [{ perturb: { meanPoints: 1, delayNs: 'x' } }, /^perturb\.delayNs: 'x' is not a number of nanoseconds from 0/],
    [{ perturb: { meanPoints: 1, delayNs: 5e9 } }, /^perturb\.delayNs: 5000000000 is not a number of nanoseconds/],
    [{ perturb: { meanPoints: 1, delayNs: 1, yieldShare: 2 } }, /^perturb\.yieldShare: 2 is not a share from 0 to 1$/],
    [
      { perturb: { meanPoints: 1, delayNs: 1, slowIpi: { chance: 1 } } },
      /^perturb\.slowIpi\.lengthNs: undefined is not/,
    ],
    [
      { perturb: { meanPoints: 1, delayNs: 1, longhold: {} } },
      /^perturb: unknown key 'longhold'; did you mean 'longHold'/,
    ],
    [{ stuckAfter: null }, /^stuckAfter: null is not a duration such as 250ms or a number of seconds$/],
  ];
  it.each(options.map(([wrong, message]) => [inspect(wrong), wrong, message] as const))(
    'refuses %s',
    async (_, wrong, message) => {
      const created: Host[] = [];
      expect(await refused(async () => created.push(await Host.create(bad(wrong))))).toMatch(message);
      expect(created).toEqual([]);
    },
  );

  it('takes what is undefined as not said', async () => {
    const plain = await Host.create(bad({ memory: '64MiB', workers: undefined, build: undefined, seed: undefined }));
    expect(plain.createVm().vcpu(0).touch(0).error).not.toBe(0);
    await plain.close();
  });
});

describe('files and guests', () => {
  it.each<[string, () => unknown, string]>([
    ['files of no page', () => host.createRestrictedMem({ size: 0 }), 'size: 0 bytes is not from one page to 4096TiB'],
    ['files larger than any guest', () => host.createRestrictedMem({ size: '999999TiB' }), 'is not from one page to'],
    ['a misspelt key of a file', () => host.createRestrictedMem(bad({ size: 4096, hugh: 1 })), "did you mean 'huge'?"],
    ['a text as a flag', () => host.createRestrictedMem(bad({ size: 4096, huge: 'no' })), "huge: 'no' is not true or"],
    ['a file without options', () => host.createRestrictedMem(bad(undefined)), 'createRestrictedMem: undefined stands'],
    ['a shard in a text', () => host.createRestrictedMem(bad({ size: 4096, shard: '0' })), "shard: '0' is not a whole"],
    ['a misspelt key of a guest', () => host.createVm(bad({ vcpu: 2 })), "createVm: unknown key 'vcpu'; did you mean"],
    ['a guest that may be SNP', () => host.createVm(bad({ snp: 1 })), 'snp: 1 is not true or false'],
    [
      'a guest of nothing',
      () => host.createVm(bad(null)),
      'createVm: null stands where an object of options is wanted',
    ],
    [
      'a slot on what is no file',
      () => vm.setMemslot(bad({ id: 1, startGfn: 512, pageCount: 1, file: {} })),
      'file: {} is no file; createRestrictedMem() makes one',
    ],
    [
      'a misspelt key of a slot',
      () => vm.setMemslot(bad({ id: 1, startGfn: 512, pageCount: 1, fil: file })),
      "did you mean 'file'?",
    ],
    [
      'an id that is two numbers',
      () => vm.setMemslot({ id: 65_536, startGfn: 512, pageCount: 1 }),
      'id: 65536 is not a whole number from 0 to 65535',
    ],
    ['a slot to delete that is two', () => vm.deleteMemslot(65_536), 'id: 65536 is not a whole number from 0 to 65535'],
    [
      'a region on what is no file',
      () => vm.setUserMemoryRegion(bad({ slot: 1, gpa: 0, size: 4096, hva: 0, file: 3 })),
      'file: 3 is no file',
    ],
    [
      'attributes of neither kind',
      () => vm.setAttributes(bad({ startGfn: 0, pageCount: 1 })),
      'private: undefined is not true or false',
    ],
    [
      'a misspelt attribute',
      () => vm.setAttributes(bad({ startGfn: 0, pageCount: 1, privat: true })),
      "did you mean 'private'?",
    ],
    ['a vCPU by a name', () => vm.vcpu(bad('0')), "vcpu: '0': this guest has vCPUs 0 to 0"],
    [
      'an access of null',
      () => vm.vcpu(0).touch(3, bad(null)),
      'touch: null stands where an object of options is wanted',
    ],
    [
      'a misspelt access',
      () => vm.vcpu(0).touch(3, bad({ wirte: true })),
      "touch: unknown key 'wirte'; did you mean 'write'?",
    ],
    ['an access that may write', () => vm.vcpu(0).touch(3, bad({ write: 'no' })), "write: 'no' is not true or false"],
    [
      'a misspelt hole',
      () => file.punchHole(bad({ startIndex: 0, pageCount: 1, fanOut: true })),
      "did you mean 'fanout'?",
    ],
    [
      'a hole that may be spread',
      () => file.punchHole(bad({ startIndex: 0, pageCount: 1, fanout: 1 })),
      'fanout: 1 is not true',
    ],
    [
      'a misspelt allocation',
      () => file.allocate(bad({ startIndex: 0, pageCount: 1, fanout: true })),
      "allocate: unknown key 'fanout'",
    ],
    ['a file of no handle', () => joined.file(bad({})), 'address: undefined is not a whole number from 1'],
    ['a file of null', () => joined.file(bad(null)), 'file: null stands where an object of options is wanted'],
    [
      'a guest of half a handle',
      () => joined.vm(bad({ address: 64, shard: 0 })),
      'vcpus: undefined is not a list of addresses',
    ],
    [
      'a file of a shard that is not',
      () => joined.file({ address: 64, shard: 9 }),
      'shard: 9 is not a whole number from 0 to 0',
    ],
    ['no host to join', () => attachHost(bad(undefined)), 'attachHost: undefined is not what handle() of a host gives'],
    ['a host of no shards', () => attachHost(bad({ shards: [] })), 'attachHost: { shards: [] } is not what handle()'],
    ['a hook that is no function', () => attachHost(host.handle(), bad(5)), 'attachHost: the hook 5 is not a function'],
  ])('refuse %s', async (_, call, message) => {
    const before = JSON.stringify([host.stats().pages, vm.slots.length]);
    expect(await refused(call)).toContain(message);
    expect(JSON.stringify([host.stats().pages, vm.slots.length])).toBe(before);
  });
});

describe('loads', () => {
  const load = { vms: [vm], actors: [{ kind: 'vcpu' as const }], duration: '1s' };
  const run = { profilePath: '.', seed: 1n, again: '' };
  const least = { vms: [{ name: 'g', memory: '1MiB' }], actors: [{ kind: 'vcpu' }] };

  it.each<[string, () => unknown, string]>([
    ['nothing to run', async () => host.run(bad(undefined)), 'run: undefined is no workload; make one with workload('],
    ['what is no workload', async () => host.run(bad({})), 'run: {} is no workload'],
    ['no actors of the pool', async () => host.runActors(bad(undefined)), 'actors: undefined is not a list of actors'],
    [
      'actors without a program',
      async () => host.runActors(bad([{ name: 'a' }])),
      'actors.0.program: undefined is not',
    ],
    [
      'actors of a shard that is not',
      async () => host.runActors([{ name: 'a', program: 2 ** 20, shard: 3 }]),
      'shard: 3 is not a whole number from 0 to 0',
    ],
    ['a load without options', () => workload(bad(null)), 'workload: null stands where an object of options is wanted'],
    ['a load without guests', () => workload(bad({ ...load, vms: undefined })), 'vms: '],
    [
      'a load on what is no guest',
      () => workload(bad({ ...load, vms: [{}] })),
      'vms.0: {} is not a guest; createVm() makes one',
    ],
    [
      'a misspelt load',
      () => workload(bad({ ...load, warmpu: '1s' })),
      "workload: unknown key 'warmpu'; did you mean 'warmup'?",
    ],
    [
      'a misspelt actor',
      () => workload(bad({ ...load, actors: [{ kind: 'vcpuu' }] })),
      "'vcpuu' is not known; did you mean 'vcpu'?",
    ],
    ['a signal of another kind', () => workload(bad({ ...load, signal: true })), 'signal: true is not an AbortSignal'],
    [
      'an entry that is held too long',
      () => workload({ ...load, actors: [{ kind: 'rmp-stormer', hold: '900ms' }] }),
      'workload: actors.0.hold: 900ms is too long for an instruction; at most 50ms',
    ],
    [
      'a CPU that is not there',
      () => workload({ ...load, actors: [{ kind: 'vcpu', cpus: [9999] }] }),
      'workload: actors.0.cpus.0: no CPU 9999; this machine has 0 to',
    ],
    [
      'a guest of another host',
      async () => host.run(workload({ ...load, vms: [stranger] })),
      'workload: vms[0] lives on another host',
    ],
    ['a run of nothing', async () => runTorture(bad({})), 'profile'],
    ['a run without options', async () => runTorture(bad(undefined)), 'runTorture: undefined stands where an object'],
    ['a run of half a profile', async () => runTorture(bad({ ...run, profile: { vms: [] } })), 'profile.'],
    [
      'a run of a small seed',
      async () => runTorture(bad({ ...run, profile: least, seed: 1 })),
      'seed: 1 is not a bigint',
    ],
    [
      'a misspelt run',
      async () => runTorture(bad({ ...run, profile: least, onprogress: 1 })),
      "did you mean 'onProgress'?",
    ],
    [
      'a run with too long a hold',
      async () => runTorture(bad({ ...run, profile: { ...least, actors: [{ kind: 'rmp-stormer', hold: '900ms' }] } })),
      'profile: actors.0.hold: 900ms is too long',
    ],
  ])('refuse %s', async (_, call, message) => {
    expect(await refused(call)).toContain(message);
  });

  it('take a profile as people write it', async () => {
    const result = await runTorture(bad({ ...run, profile: { ...least, host: { memory: '64MiB' }, duration: 0.02 } }));
    expect(result).toMatchObject({ verdict: 'passed', profile: { build: 'perturbed', host: { partitions: 2 } } });
  });
});
