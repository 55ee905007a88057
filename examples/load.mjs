// A load in thirty lines, as autocannon would do it for HTTP: a rate, a duration, a table. Latency counts from the due time, so a stall shows in every
// operation that it delayed; service is what a closed loop would have measured. `node examples/load.mjs [rate] [duration]`
import { Host, workload } from 'rmptorture';

const [rate = '5k/s', duration = '2s'] = process.argv.slice(2);
const host = await Host.create({ memory: '256MiB', workers: 3, build: 'fast' });
const file = host.createRestrictedMem({ size: '64MiB' });
const vm = host.createVm({ vcpus: 2 });
vm.setMemslot({ id: 0, startGfn: 0, pageCount: 16_384, file });

const { operations, actors, trust, violations } = await host.run(
  workload({
    vms: [vm],
    actors: [
      { kind: 'vcpu', threads: 2, touch: { distribution: 'zipf' } },
      { kind: 'invalidator', rate, arrival: 'poisson', range: { pages: [1, 64] } },
    ],
    warmup: '100ms',
    duration,
  }),
);
const us = (ns) => (ns === undefined ? '-' : (ns / 1000).toFixed(1));
console.table(
  Object.entries(operations).map(([operation, { ratePerSecond, latencyNs, serviceNs }]) => {
    return {
      operation,
      'per second': ratePerSecond,
      'p99 us': us(latencyNs.p99),
      'service p99 us': us(serviceNs?.p99),
    };
  }),
);
for (const { name, pacing } of actors)
  if (pacing) console.log(`${name}: ${(pacing.missedShare * 100).toFixed(2)} % missed`);
for (const doubt of trust.doubts) console.log(`note: ${doubt}`);
host.audit();
await host.close();
process.exitCode = violations.length > 0 ? 1 : 0;
