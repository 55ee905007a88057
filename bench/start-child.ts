// A fresh process that boots a host of the size given and performs the first operation of a guest; then tells how much memory it holds.
import { Host } from '../src/host/host.js';

const memory = process.argv[2] ?? '512GiB';
const host = await Host.create({ memory, partitions: 4, build: 'fast', workers: 1 });
const file = host.createRestrictedMem({ size: '1MiB' });
const vm = host.createVm({ vcpus: 1 });
vm.setMemslot({ id: 0, startGfn: 0, pageCount: 256, file });
const { error } = vm.vcpu(0).touch(0, { write: true, value: 7 });
process.send!({ pages: error === 0 ? host.stats().pages.total : -1, residentBytes: process.memoryUsage.rss() });
process.disconnect();
