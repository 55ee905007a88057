// Threads of one's own: two workers join a host by its handle and touch guest memory, the main thread punches holes under them. No pool, no profile:
// the calls run on the very threads that make them. `node examples/own-threads.mjs [rounds]`
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { isMainThread, Worker, workerData } from 'node:worker_threads';
import { attachHost, Host } from 'rmptorture';

const PAGES = 1024;

/** Touches all pages of one guest, `rounds` times, on this thread. */
function touchAll({ handle, vm, vcpu, rounds }) {
  const host = attachHost(handle);
  const guest = host.vm(vm);
  let faults = 0;
  for (let n = 0; n < rounds * PAGES; n++) {
    // An exit is what KVM leaves to user space: here a page that is being taken away. A VMM would try again; so does the next round.
    if (guest.vcpu(vcpu).touch(n % PAGES, { write: true, value: n }).exit !== undefined) faults++;
  }
  host.detach();
  return faults;
}

if (!isMainThread) {
  touchAll(workerData);
} else {
  const rounds = Number(process.argv[2] ?? 20);
  const host = await Host.create({ memory: '64MiB', workers: 1 });
  const file = host.createRestrictedMem({ size: '4MiB' });
  const vm = host.createVm({ vcpus: 2 });
  vm.setMemslot({ id: 0, startGfn: 0, pageCount: PAGES, file });
  const workers = [0, 1].map((vcpu) => {
    const data = { handle: host.handle(), vm: vm.handle(), vcpu, rounds };
    return new Worker(fileURLToPath(import.meta.url), { workerData: data });
  });
  const ended = Promise.all(workers.map((worker) => once(worker, 'exit')));
  let running = true;
  void ended.then(() => (running = false));
  let punched = 0;
  while (running) {
    file.punchHole({ startIndex: (punched++ * 64) % PAGES, pageCount: 64 });
    await new Promise(setImmediate); // lets the exits in
  }
  host.audit(); // throws when an invariant is broken
  console.log(`${2 * rounds * PAGES} touches on two threads, ${punched} holes punched under them, nothing broken`);
  await host.close();
}
