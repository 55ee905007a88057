// The table of an interleaving, letter by letter.
import { describe, expect, it } from 'vitest';
import { type Interleaving, interleavingText, type StepRow } from '#src/report/interleaving.js';

function row(thread: number, text: string, place = '', more: Partial<StepRow> = {}): StepRow {
  return { thread, text, place, within: place.split(' ')[0]!, local: false, switchReason: '', ...more };
}

const LOST_UPDATE: Interleaving = {
  threads: ['task0 add', 'task1 add'],
  steps: [
    row(0, 'stack', '', { local: true }),
    row(0, 'stack', '', { local: true }),
    row(0, 'counter: read 0', 'add sync/counter.ts:7'),
    row(1, 'counter: read 0', 'add sync/counter.ts:7', { switchReason: 'preempted' }),
    row(1, 'counter: 0 -> 1', 'add sync/counter.ts:8'),
    row(0, 'counter: 0 -> 1', 'add sync/counter.ts:8', { switchReason: 'task1 has finished' }),
  ],
  constraints: [
    { earlier: 2, later: 4 },
    { earlier: 3, later: 5 },
  ],
  failure: '[user] counter is 1, two threads have added 1',
};

describe('the table of an interleaving', () => {
  it('shows who did what, where, why the thread changed, and what the failure needs', () => {
    expect(interleavingText(LOST_UPDATE, 110)).toBe(
      `
 step  task0 add                    task1 add                    at
       ---------                    ---------
       (2 steps on its own)
    3  counter: read 0                                           add sync/counter.ts:7
                                    <- preempted
    4                               counter: read 0              add sync/counter.ts:7
    5                               counter: 0 -> 1              add sync/counter.ts:8
       <- task1 has finished
    6  counter: 0 -> 1                                           add sync/counter.ts:8

[user] counter is 1, two threads have added 1

It needs each of these orders; with any one the other way round it passes:
  step 3, task0 add: counter: read 0, at add sync/counter.ts:7
    before step 5, task1 add: counter: 0 -> 1, at add sync/counter.ts:8
  step 4, task1 add: counter: read 0, at add sync/counter.ts:7
    before step 6, task0 add: counter: 0 -> 1, at add sync/counter.ts:8
`.slice(1),
    );
  });

  it('does not fold over a change of thread, nor a single step', () => {
    const steps = [
      row(0, 'a', '', { local: true }),
      row(1, 'b', '', { local: true, switchReason: 'chosen' }),
      row(1, 'c', '', { local: true }),
      row(0, 'd', '', { local: true, switchReason: 'chosen' }),
    ];
    const text = interleavingText({ ...LOST_UPDATE, steps, constraints: [] }, 110);
    expect(text).toContain('    1  a');
    expect(text).toContain('(2 steps on its own)');
    expect(text).toContain('    4  d');
  });

  it('leaves the middle of a very long table out, and says how much', () => {
    const step = (n: number): StepRow => ({
      thread: n % 2,
      text: `turn ${n}`,
      place: '',
      within: '',
      local: false,
      switchReason: '',
    });
    const steps = Array.from({ length: 1000 }, (_, n) => step(n));
    const text = interleavingText({ threads: ['a', 'b'], steps, constraints: [], failure: 'livelock' });
    expect(text).toContain('turn 147\n');
    expect(text).toContain('\n  ... 772 lines more ...\n');
    expect(text).toContain('turn 999\n');
    expect(text).not.toContain('turn 500\n');
  });

  it('keeps the new value of a text that is too long', () => {
    const steps = [row(1, 'vm0.memslots.set1.generation_that_is_long: 12 -> 13')];
    const text = interleavingText({ ...LOST_UPDATE, steps, constraints: [] }, 110);
    expect(text).toMatch(/vm0\.memslots\.set1\.g\.\. -> 13/);
    for (const line of text.split('\n')) expect(line.length).toBeLessThanOrEqual(110);
  });
});
