// Progress: who waits for whom is said by name, and a worker that dies with a lock ends the run instead of hanging it.
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { Host } from '#src/index.js';
import { heldLocks, stuckTasks } from '#src/host/watchdog.js';
import * as kvm from '#src/kernel/abi/kvm.js';
import { SH_TEST } from '#src/kernel/abi/layout.js';
import { schedule, writeActors } from '#src/torture/actors.js';
import { createGuest as createTortureGuest, memslotSequence } from '#src/torture/guests.js';
import { profileSchema } from '#src/torture/schema.js';
import { bootHost, createGuest } from '../oracle/guest.js';

const TAKEN = SH_TEST / 4;
const RELEASE = TAKEN + 1;

/** Waits for what other threads bring about; vitest's own limit ends it when they never do. */
async function until<T>(look: () => T | undefined): Promise<T> {
  for (;;) {
    const found = look();
    if (found !== undefined) return found;
    await sleep(5);
  }
}

describe('the watchdog', () => {
  it('names the waiter, the lock, its class and the holder, and falls silent when the lock comes free', async () => {
    const { k, vm } = createGuest(bootHost());
    const lock = vm + kvm.KVM_SLOTS_LOCK;
    const threads = k.threads(
      2,
      (own, _, arg) => {
        // Whoever comes first keeps the mutex; the other asks for it once it is taken.
        const first = Atomics.compareExchange(own.words, arg.taken, 0, own.taskId) === 0;
        if (first) {
          own.x.mutexLock(arg.lock);
          Atomics.store(own.words, arg.release, 1);
          Atomics.notify(own.words, arg.release);
          Atomics.wait(own.words, arg.release, 1);
        } else {
          Atomics.wait(own.words, arg.release, 0);
          own.x.mutexLock(arg.lock);
        }
        own.x.mutexUnlock(arg.lock);
        return { task: own.taskId, first };
      },
      { lock, taken: TAKEN, release: RELEASE },
    );
    const stuck = await until(() => {
      const found = stuckTasks(k, 60);
      return found.length === 0 ? undefined : found;
    });
    const holder = Atomics.load(k.words, TAKEN);
    expect(stuck).toHaveLength(1);
    const { task, waitedMs, text } = stuck[0]!;
    expect(task).not.toBe(holder);
    expect(waitedMs).toBeGreaterThanOrEqual(60);
    expect(text).toBe(
      `task${task} waiting for mutex vm0.slots_lock for ${Math.round(waitedMs)} ms; class slots, held by task${holder}; it holds nothing`,
    );
    expect(heldLocks(k, holder)).toBe('vm0.slots_lock (slots)');
    expect(stuckTasks(k, 3_600_000)).toEqual([]);
    Atomics.store(k.words, RELEASE, 2);
    Atomics.notify(k.words, RELEASE);
    const ended = await threads;
    expect(ended.find(({ first }) => first)!.task).toBe(holder);
    expect(ended.find(({ first }) => !first)!.task).toBe(task);
    expect(stuckTasks(k, 0)).toEqual([]);
  });
});

describe('a pool worker that dies inside the kernel with locks held', () => {
  it('ends the run of all actors: it is named with what it held, and the others do not wait for its locks', async () => {
    const hook = join(mkdtempSync(join(tmpdir(), 'deadly-')), 'hook.mjs');
    writeFileSync(
      hook,
      `import { isMainThread } from 'node:worker_threads';
export default () => { if (!isMainThread) process.exit(7); };
`,
    );
    const profile = profileSchema.parse({
      vms: [{ name: 'g', vcpus: 2, memory: '1MiB' }],
      actors: [
        { kind: 'invalidator', threads: 2 },
        { kind: 'populator', threads: 1 },
        { kind: 'vcpu', threads: 2 },
      ],
    });
    const host = await Host.create({ memory: '64MiB', workers: 5, hook });
    const vm = profile.vms[0]!;
    const guest = createTortureGuest(host.shard, 'g', vm, memslotSequence(vm, hook), 0, []);
    const programs = writeActors(host.shard, profile.actors, [guest]);
    const end = await host.runActors(
      programs.map(({ name, address }) => ({ name, program: address })),
      () => schedule(host.shard, programs, { startNs: 1, warmupNs: 0, durationNs: 1e18 }),
    );
    expect(end.died.length).toBeGreaterThan(0);
    for (const name of end.died) expect(name).toMatch(/^invalidator[01]$/);
    expect(end.replies).toHaveLength(5);
    const [violation] = host.violations();
    expect(violation!.oracle).toBe('progress');
    expect(violation!.message).toMatch(/^worker of invalidator[01] died \(.*\) holding \S+ \(rm\)/);
    await host.close();
  });
});
