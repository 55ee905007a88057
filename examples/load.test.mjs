// A load as a Vitest test: it fails when an invariant is broken or a threshold is missed, and is skipped as inconclusive when the machine was too busy to
// measure. `npx vitest run examples/load.test.mjs`
import { expect, it } from 'vitest';
import { Host, workload } from 'rmptorture';

it('hole punches of a busy guest take less than 50 ms at the 99th percentile', async ({ skip }) => {
  const host = await Host.create({ memory: '64MiB', workers: 2 });
  const file = host.createRestrictedMem({ size: '4MiB' });
  const vm = host.createVm();
  vm.setMemslot({ id: 0, startGfn: 0, pageCount: 1024, file });
  const actors = [{ kind: 'vcpu' }, { kind: 'invalidator', rate: '500/s', range: { pages: [1, 16] } }];
  const { operations, trust, violations } = await host.run(workload({ vms: [vm], actors, duration: '500ms' }));
  host.audit();
  await host.close();
  expect(violations).toEqual([]);
  expect(operations.punch_hole.count).toBeGreaterThan(0); // nothing measured is no success
  // On a machine that let a thread wait for a CPU, latencies say nothing.
  if (trust.doubts.length > 0) skip(trust.doubts.join('; '));
  expect(operations.punch_hole.latencyNs.p99).toBeLessThan(50e6);
});
