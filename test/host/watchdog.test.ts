// Progress: who waits for whom is said by name, and a worker that dies with a lock ends the run instead of hanging it.
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { Host, type HostOptions } from '#src/index.js';
import { nowNs } from '#src/host/clock.js';
import type { RunEnd } from '#src/host/host.js';
import { heldLocks, loopingTasks, stuckTasks, type Progress } from '#src/host/watchdog.js';
import * as kvm from '#src/kernel/abi/kvm.js';
import * as layout from '#src/kernel/abi/layout.js';
import * as program from '#src/kernel/abi/program.js';
import { schedule, writeActors } from '#src/torture/actors.js';
import { createGuest as createTortureGuest, memslotSequence } from '#src/torture/guests.js';
import { profileSchema } from '#src/torture/schema.js';
import { bootHost, createGuest } from '../oracle/guest.js';

const TAKEN = layout.SH_TEST / 4;
const RELEASE = TAKEN + 1;
/** As if the process had stood still until then. */
const IN_AN_HOUR = nowNs() / 1e6 + 3_600_000;

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
    const guest = createTortureGuest(host.shards, 0, 'g', vm, memslotSequence(vm, hook), 0, []);
    const programs = writeActors(host.shards, profile.actors, [guest]);
    const end = await host.runActors(
      programs.map(({ name, address }) => ({ name, program: address })),
      () => schedule(host.shards, programs, { startNs: 1, warmupNs: 0, durationNs: 1e18 }),
    );
    expect(end.died.length).toBeGreaterThan(0);
    for (const name of end.died) expect(name).toMatch(/^invalidator[01]$/);
    expect(end.replies).toHaveLength(5);
    const [violation] = host.violations();
    expect(violation!.oracle).toBe('progress');
    expect(violation!.message).toMatch(
      /^worker of invalidator[01] died \(.*\) holding file0\.rm\.lock \(rm\)[^;]*; \S+/,
    );
    await host.close();
  });
});

/** A module of the user's: its hook runs `body` in a worker; `top` runs when a worker loads it. */
function hookModule(body: string, top = ''): string {
  const path = join(mkdtempSync(join(tmpdir(), 'hook-')), 'hook.mjs');
  writeFileSync(
    path,
    `import { isMainThread } from 'node:worker_threads';
if (!isMainThread) { ${top} }
export default () => { if (!isMainThread) { ${body} } };
`,
  );
  return path;
}

/** Runs actors of these kinds, one thread each, until the run ends by itself. */
async function runKinds(kinds: readonly string[], options: HostOptions): Promise<{ host: Host; end: RunEnd }> {
  const profile = profileSchema.parse({
    vms: [{ name: 'g', vcpus: 1, memory: '1MiB' }],
    actors: kinds.map((kind) => ({ kind, threads: 1 })),
  });
  const host = await Host.create({ memory: '64MiB', workers: kinds.length, ...options });
  const vm = profile.vms[0]!;
  const guest = createTortureGuest(host.shards, 0, 'g', vm, memslotSequence(vm, '.'), 0, []);
  const programs = writeActors(host.shards, profile.actors, [guest]);
  const end = await host.runActors(
    programs.map(({ name, address }) => ({ name, program: address })),
    () => schedule(host.shards, programs, { startNs: 1, warmupNs: 0, durationNs: 1e18 }),
  );
  return { host, end };
}

describe('a pool worker that never comes back', () => {
  it.concurrent.each([
    ['in an endless loop, perturbed build', 'for (;;);', 'perturbed', ''],
    ['in an endless loop, fast build', 'for (;;);', 'fast', ', perhaps'],
    ['asleep', 'Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);', 'perturbed', ''],
  ] as const)(
    '%s fails the run and is terminated; the report says who holds and who waits',
    async (_, body, build, maybe) => {
      const { host, end } = await runKinds(['invalidator', 'rebinder', 'vcpu'], {
        hook: hookModule(body),
        stuckAfter: '2s',
        build,
      });
      // Whoever comes into the hook first stays there, with the file's lock held; the other waits for it and leaves once the run has failed.
      expect(end.died, JSON.stringify(host.violations(), null, 1)).toHaveLength(1);
      const stuck = end.died[0]!;
      const other = stuck === 'rebinder0' ? 'invalidator0' : 'rebinder0';
      expect(host.violations().every(({ oracle }) => oracle === 'progress')).toBe(true);
      const messages = host.violations().map(({ message }) => message);
      const held = `file0\\.rm\\.lock \\(rm(${maybe})?\\)`;
      const silent = `${stuck}\\) gave no sign of life for \\d+ ms; it holds .*${held}.*; task\\d+ \\(${other}\\) is waiting to`;
      const waiting = `${other}\\) waiting to (read|write) file0\\.rm\\.lock for \\d+ ms; class rm, held by task\\d+ \\(${stuck}\\)`;
      expect(messages[0]).toMatch(new RegExp(`^stuck: task\\d+ \\((${silent}|${waiting})`));
      expect(messages).toContainEqual(
        expect.stringMatching(
          new RegExp(
            `^worker of ${stuck} did not leave the failed run within 2000 ms and was terminated holding .*${held}`,
          ),
        ),
      );
      const tasks = host.violations()[0]!.details['tasks'] as { task: string; waits: string | null }[];
      expect(tasks.find(({ task }) => task.endsWith(`(${other})`))!.waits).toMatch(/ file0\.rm\.lock for \d+ ms$/);
      await host.close();
    },
  );

  it('because loading its module never ends fails the run, which had not begun', async () => {
    const { host, end } = await runKinds(['invalidator', 'vcpu'], {
      hook: hookModule('', 'for (;;);'),
      stuckAfter: '60ms',
    });
    expect(end.died.toSorted()).toEqual(['invalidator0', 'vcpu0']);
    const messages = host.violations().map(({ message }) => message);
    expect(messages).toContainEqual(
      expect.stringMatching(/^stuck: worker of invalidator0 has not come up after \d+ ms$/),
    );
    expect(messages).toContainEqual(
      'worker of vcpu0 did not leave the failed run within 60 ms and was terminated holding nothing: it had not attached',
    );
    await host.close();
  });

  it('because its module ends it while loading fails the run at once', async () => {
    const { host, end } = await runKinds(['invalidator', 'vcpu'], { hook: hookModule('', 'process.exit(9);') });
    expect(end.died.toSorted()).toEqual(['invalidator0', 'vcpu0']);
    expect(host.violations()[0]!.message).toMatch(/^worker of \S+ died \(.*\) holding nothing: it had not attached$/);
    await host.close();
  });

  it('is told by the hook that throws: the run fails, and the message is the exception', async () => {
    const { host, end } = await runKinds(['invalidator'], { hook: hookModule("throw new Error('no such region');") });
    expect(end.died).toEqual([]);
    expect(host.violations()[0]!.message).toBe('invalidator0 failed: Error: no such region');
    await host.close();
  });
});

describe('a thread that gives signs of life but finishes nothing', () => {
  const rig = (intervalNs: number) => {
    const k = bootHost();
    const at = k.alloc(program.PROGRAM_SIZE);
    const task = (k.words[layout.SH_TASKS / 4]! >>> 0) + k.taskId * layout.TASK_SIZE;
    const view = new DataView(k.buffer);
    view.setFloat64(at + program.PR_START_NS, 1, true);
    view.setFloat64(at + program.PR_INTERVAL_NS, intervalNs, true);
    view.setUint32(task + layout.TASK_PROGRAM, at, true);
    const seen = new Map<number, Progress>();
    const look = (limitMs: number, fromMs = 0): string[] => {
      k.x.heartbeat();
      return loopingTasks(k, seen, limitMs, fromMs).map(({ text }) => text);
    };
    const setDone = (done: bigint): void => view.setBigUint64(at + program.PR_DONE, done, true);
    return { look, setDone };
  };

  it('is found by the operations it does not finish, and forgotten when it finishes one', async () => {
    const { look, setDone } = rig(0);
    setDone(4n);
    expect(look(0)).toEqual([]); // the first look sees it for the first time
    const found = await until(() => look(20)[0]);
    expect(found).toMatch(
      /^task0 runs but has finished no operation for \d+ ms; it holds nothing; nobody waits for it$/,
    );
    expect(look(20, IN_AN_HOUR)).toEqual([]);
    setDone(5n);
    expect(look(0)).toEqual([]);
  });

  it('is given the time between two operations that its rate sets', async () => {
    const { look } = rig(3600e9);
    expect(look(0)).toEqual([]);
    await sleep(5);
    expect(look(1)).toEqual([]);
  });
});

describe('time in which the whole process stood still', () => {
  it('is nobody to blame for: waits and silence count from its end', async () => {
    const { k, vm } = createGuest(bootHost());
    const lock = vm + kvm.KVM_SLOTS_LOCK;
    k.x.mutexLock(lock);
    const waiter = k.threads(
      1,
      (own, _, arg) => {
        own.x.mutexLock(arg.lock);
        own.x.mutexUnlock(arg.lock);
      },
      { lock },
    );
    const found = await until(() => {
      const stuck = stuckTasks(k, 30);
      return stuck.length === 0 ? undefined : stuck;
    });
    expect(found[0]!.waitedMs).toBeGreaterThanOrEqual(30);
    expect(stuckTasks(k, 30, IN_AN_HOUR)).toEqual([]);
    k.x.mutexUnlock(lock);
    await waiter;
  });
});
