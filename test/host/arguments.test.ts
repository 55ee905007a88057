// The library under arguments that make no sense: each call either does what it says, or throws one of the library's errors and changes nothing.
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { Host, RmpTortureError, type File, type Vm } from '#src/index.js';

const host = await Host.create({ memory: '64MiB', partitions: 2 });
const other = await Host.create({ memory: '64MiB' });
const strange = other.createRestrictedMem({ size: '1MiB' });

/** Everything that somebody may pass where a number is wanted: mostly sensible, else of another type, too large, a fraction. */
const number = fc.oneof(
  { weight: 6, arbitrary: fc.nat(40) },
  {
    weight: 2,
    arbitrary: fc.constantFrom(-1, 0.5, NaN, Infinity, 2 ** 31, 2 ** 32, 2 ** 32 + 1, 2 ** 40, 2 ** 52, 2 ** 53, 1e300),
  },
  { weight: 1, arbitrary: fc.constantFrom<unknown>(undefined, null, '7', '', {}, [], true, 7n) },
) as fc.Arbitrary<number>;

/** What others can see of the host and of one guest and one file. */
function seen(vm: Vm, file: File): unknown {
  const { pages, rmp } = host.stats();
  return JSON.stringify([
    pages,
    rmp,
    file.pageCount,
    vm.slots.map(({ id, startGfn, pageCount }) => [id, startGfn, pageCount]),
  ]);
}

interface Call {
  call: string;
  a: number;
  b: number;
  c: number;
  d: number;
  foreign: boolean;
}

const calls = fc.oneof(
  fc.record({ call: fc.constant('slot' as const), a: number, b: number, c: number, d: number, foreign: fc.boolean() }),
  fc.record({ call: fc.constantFrom('delete', 'vcpu', 'touch', 'value', 'pfn', 'shard', 'vcpus', 'asid'), a: number }),
  fc.record({
    call: fc.constantFrom('punch', 'fanout', 'allocate', 'private', 'shared', 'region'),
    a: number,
    b: number,
  }),
  fc.record({ call: fc.constantFrom('no options', 'no range', 'no slot') }),
) as fc.Arbitrary<Call>;

function make({ call, a, b, c, d, foreign }: Call, vm: Vm, file: File): void {
  const none = undefined as never;
  switch (call) {
    case 'slot':
      vm.setMemslot({ id: a, startGfn: b, pageCount: c, startIndex: d, file: foreign ? strange : file });
      break;
    case 'delete':
      return vm.deleteMemslot(a);
    case 'vcpu':
      return void vm.vcpu(a);
    case 'touch':
      return void vm.vcpu(0).touch(a, { write: true });
    case 'value':
      return void vm.vcpu(0).touch(1, { write: true, value: a });
    case 'pfn':
      return void host.memoryFailure(a);
    case 'shard':
      return host.createRestrictedMem({ size: '4KiB', shard: a }).close();
    case 'vcpus':
      return host.createVm({ vcpus: a, snp: false }).destroy();
    case 'asid':
      return host.createVm({ asid: a }).destroy();
    case 'punch':
      return file.punchHole({ startIndex: a, pageCount: b });
    case 'fanout':
      return file.punchHole({ startIndex: a, pageCount: b, fanout: true });
    case 'allocate':
      return file.allocate({ startIndex: a, pageCount: b });
    case 'region':
      return void vm.setUserMemoryRegion({ slot: a, gpa: b, size: 4096, hva: 0 });
    case 'private':
    case 'shared':
      // As in KVM, attributes beyond all memslots are stored, too: a terabyte of them takes its time.
      return vm.setAttributes({
        startGfn: a,
        pageCount: b > 100 && b <= 2 ** 40 ? 100 : b,
        private: call === 'private',
      });
    case 'no options':
      return void host.createVm(null as never);
    case 'no range':
      return file.punchHole(none);
    case 'no slot':
      return void vm.setMemslot(none);
  }
}

it('does what it says or throws an RmpTortureError and changes nothing', () => {
  let refused = 0;
  let done = 0;
  fc.assert(
    fc.property(fc.array(calls, { minLength: 1, maxLength: 12 }), (sequence) => {
      const file = host.createRestrictedMem({ size: '128KiB' });
      const vm = host.createVm({ vcpus: 1 });
      vm.setMemslot({ id: 0, startGfn: 0, pageCount: 16, file });
      for (const step of sequence) {
        const before = seen(vm, file);
        try {
          make(step, vm, file);
          done++;
        } catch (error) {
          expect(error).toBeInstanceOf(RmpTortureError);
          expect((error as Error).message).not.toContain('\n');
          if (step.call !== 'allocate') expect(seen(vm, file)).toBe(before);
          refused++;
        }
      }
      vm.destroy();
      file.close();
      host.audit();
    }),
    { seed: 7, numRuns: 150 },
  );
  expect(refused).toBeGreaterThan(150);
  expect(done).toBeGreaterThan(150);
});

it('refuses what is closed, destroyed or of another host', async () => {
  const file = host.createRestrictedMem({ size: '128KiB' });
  const vm = host.createVm();
  const vcpu = vm.vcpu(0);
  expect(() => vm.setMemslot({ id: 0, startGfn: 0, pageCount: 1, file: strange })).toThrow(
    'file: it lives in another host',
  );
  vm.destroy();
  expect(() => vm.destroy()).toThrow('vm: it has been destroyed');
  expect(() => vcpu.touch(0)).toThrow('vm: it has been destroyed');
  file.close();
  expect(() => file.close()).toThrow('file: it has been closed');
  expect(() => file.pageCount).toThrow('file: it has been closed');
  await other.close();
  expect(() => strange.pageCount).toThrow('host: it has been closed, or this thread has left it');
  expect(() => other.createVm()).toThrow('host: it has been closed');
});
