// The text report of a torture run: what a reader needs to see of a run that failed.
import { describe, expect, it } from 'vitest';
import { runTorture } from '#src/index.js';
import { tortureText } from '#src/report/torture.js';
import { profileSchema } from '#src/torture/schema.js';

const profile = profileSchema.parse({
  host: { memory: '64MiB' },
  build: 'fast',
  vms: [{ name: 'g', memory: '4MiB' }],
  actors: [{ kind: 'vcpu' }],
  duration: '20ms',
});

describe('the text report', () => {
  it('of a run in which a thread made no progress has a line for each task that held or waited or was dead', async () => {
    const result = await runTorture({ profile, profilePath: '.', seed: 1n, again: 'again' });
    const tasks = [
      { task: 'task0', alive: true, waits: null, holds: [] },
      { task: 'task1 (invalidator0)', alive: false, waits: null, holds: ['file0.rm.lock (rm)', 'vm0.srcu (kvm_srcu)'] },
      { task: 'task12 (rebinder0)', alive: true, waits: 'waiting to write file0.rm.lock for 17 ms', holds: [] },
    ];
    const violation = {
      oracle: 'progress',
      message: 'worker of invalidator0 died',
      thread: 'task1',
      details: { tasks },
    };
    const later = { ...violation, message: 'another', details: { tasks: [] } };
    const text = tortureText({ ...result, verdict: 'violated', violations: [violation, later] });
    const lines = text.split('\n');
    const from = lines.indexOf('violations: 2');
    expect(lines.slice(from, from + 6)).toEqual([
      'violations: 2',
      '  [progress] worker of invalidator0 died on task1',
      '  [progress] another on task1',
      'tasks when the first of them was found:',
      '  task1 (invalidator0), dead   does not wait;                            holds file0.rm.lock (rm), vm0.srcu (kvm_srcu)',
      '  task12 (rebinder0)           waiting to write file0.rm.lock for 17 ms; holds nothing',
    ]);
    expect(text).toMatch(/\nEnd of test: FAILURE: violated\n$/);
  });

  it('of a passed run has no word of tasks', async () => {
    const text = tortureText(await runTorture({ profile, profilePath: '.', seed: 1n, again: 'again' }));
    expect(text).toMatch(/\nviolations: none\n\n(?:note: a thread waited .* for a CPU\n)?End of test: SUCCESS\n$/);
  });

  it('of a run with trouble says what came about, and to whom', async () => {
    const result = await runTorture({ profile, profilePath: '.', seed: 1n, again: 'again' });
    const injected = { longHolds: 3, pauses: 1, allocationFailures: 0, slowHooks: 0, slowIpis: 0, leaves: 2 };
    const text = (perturbation: NonNullable<typeof result.perturbation>): string =>
      tortureText({ ...result, perturbation });
    expect(text({ victims: ['vcpu0'], injected })).toMatch(
      /\n\ninjected: 3 long holds, 1 pauses, 2 threads that left; victims: vcpu0\n\n/,
    );
    const none = { ...injected, longHolds: 0, pauses: 0, leaves: 0 };
    expect(text({ victims: [], injected: none })).toContain('\n\ninjected: nothing\n\n');
    expect(tortureText(result)).not.toContain('injected');
  });
});
