// Event traces of a run: what the rings keep, the two forms that are written, and that other programs can read them.
import { existsSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { importLog } from '#src/import/import.js';
import { runTorture } from '#src/index.js';
import * as trace from '#src/kernel/abi/trace.js';
import { chromeTrace } from '#src/report/trace-chrome.js';
import { ftraceText } from '#src/report/trace-ftrace.js';
import { profileSchema } from '#src/torture/schema.js';
import type { TraceEvent, TraceLog } from '#src/torture/trace.js';
import { runHere } from '../cli/child.js';

const folder = mkdtempSync(join(tmpdir(), 'trace-'));
const at = (name: string): string => join(folder, name);
const PROFILE = {
  host: { memory: '64MiB', partitions: 1 },
  vms: [{ name: 'g', vcpus: 2, memory: '4MiB' }],
  actors: [
    { kind: 'vcpu', threads: 2, operations: 2000 },
    { kind: 'invalidator', range: { pages: [1, 64] }, operations: 100 },
    { kind: 'converter', range: { pages: [1, 64] }, operations: 100 },
  ],
  warmup: '1ms',
  duration: '1h',
};

interface Entry {
  ph: string;
  name: string;
  pid: number;
  tid: number;
  ts: number;
  dur: number;
  args: Record<string, unknown>;
}

async function traced(traceEvents: number, build = 'perturbed'): Promise<TraceLog> {
  let found: TraceLog | undefined;
  const profile = profileSchema.parse({ ...PROFILE, build });
  const result = await runTorture({
    profile,
    profilePath: at('profile.yaml'),
    seed: 7n,
    again: 'again',
    traceEvents,
    onTrace: (log) => (found = log),
  });
  expect(result.verdict).toBe('passed');
  return found!;
}

let log: TraceLog;
let entries: Entry[];
beforeAll(async () => {
  log = await traced(50_000);
  entries = (JSON.parse([...chromeTrace(log, { seed: '0x7' })].join('')) as { traceEvents: Entry[] }).traceEvents;
});

describe('a traced run', () => {
  it('has a ring for each actor, with events in the order of their beginnings and none lost where there is room', () => {
    expect(log.threads.map(({ name }) => name)).toEqual(['vcpu0', 'vcpu1', 'invalidator0', 'converter0']);
    for (const { events, lost } of log.threads) {
      expect(lost).toBe(0);
      expect(
        events.every(({ startNs, endNs }, n) => endNs >= startNs && startNs >= (events[n - 1]?.startNs ?? 0)),
      ).toBe(true);
    }
  });

  it('has as many faults, flushes and operations as were counted: an event for each', () => {
    const kinds = new Set(log.threads.flatMap(({ events }) => events.map(({ kind }) => kind)));
    const expected = [
      trace.EV_FAULT,
      trace.EV_INVALIDATE_BEGIN,
      trace.EV_INVALIDATE_RANGE,
      trace.EV_INVALIDATE_END,
      trace.EV_UNMAP,
      trace.EV_HOOK,
      trace.EV_FLUSH,
      trace.EV_RMPUPDATE,
    ];
    expect([...kinds]).toEqual(expect.arrayContaining(expected));
    const count = (kind: number): number =>
      log.threads.reduce((sum, { events }) => sum + events.filter((event) => event.kind === kind).length, 0);
    expect(count(trace.EV_INVALIDATE_BEGIN)).toBe(count(trace.EV_INVALIDATE_END));
  });

  it('keeps the last events of a ring that is too small, and says how many were lost', async () => {
    const small = await traced(4, 'fast');
    const [vcpu] = small.threads;
    expect(vcpu!.events).toHaveLength(4);
    expect(vcpu!.lost).toBeGreaterThan(0);
  });
});

describe('as Chrome trace events', () => {
  it('has of each event what the format demands, and a name for each track', () => {
    const named = new Set(entries.filter(({ name }) => name === 'thread_name').map(({ pid, tid }) => `${pid} ${tid}`));
    expect(entries.filter(({ name }) => name === 'process_name').map(({ pid }) => pid)).toEqual([1]);
    for (const { ph, name, pid, tid, ts, dur, args } of entries) {
      expect(['M', 'X', 'i']).toContain(ph);
      expect(name).not.toBe('');
      expect([pid, tid].every(Number.isSafeInteger)).toBe(true);
      expect(args).toBeTypeOf('object');
      if (ph === 'M') continue;
      expect(named).toContain(`${pid} ${tid}`);
      // Whole nanoseconds, in microseconds.
      for (const us of ph === 'X' ? [ts, dur] : [ts]) {
        expect(us).toBeGreaterThanOrEqual(0);
        expect(Math.abs(us * 1000 - Math.round(us * 1000))).toBeLessThan(0.001);
      }
    }
  });

  it('has every event, and on each track durations lie inside one another or apart, to the nanosecond', () => {
    const spans = entries.filter(({ ph }) => ph === 'X');
    const ofLog = log.threads.flatMap(({ events }) => events.map(({ kind }) => kind));
    const count = (kind: number): number => ofLog.filter((each) => each === kind).length;
    expect(spans.length).toBe(ofLog.length - count(trace.EV_INVALIDATE_BEGIN) - count(trace.EV_INVALIDATE_RANGE));
    for (const tid of new Set(spans.map((span) => span.tid))) {
      const open: number[] = [];
      for (const { ts, dur, name } of spans.filter((span) => span.tid === tid)) {
        const [start, end] = [Math.round(ts * 1000), Math.round(ts * 1000) + Math.round(dur * 1000)];
        while (open.length > 0 && open.at(-1)! <= start) open.pop();
        if (open.length > 0) expect(end, `${name} on track ${tid}`).toBeLessThanOrEqual(open.at(-1)!);
        open.push(end);
      }
    }
    // Nearly all are on the thread's own track.
    expect(spans.filter(({ tid }) => tid < 1000).length / spans.length).toBeGreaterThan(0.9);
  });

  it('shows the operations of an open loop one after the other, and how late each began', () => {
    const event = (kind: number, startNs: number, endNs: number): TraceEvent => {
      return { kind, startNs, endNs, a: 0, b: 0n, c: 0n, ret: 0 };
    };
    const operation = trace.EV_OPERATION + 1;
    // Two were due while the first was being made; one fault lies inside the third.
    const events = [
      event(operation, 1000, 9000),
      event(operation, 2000, 9500),
      event(operation, 3000, 12_000),
      event(trace.EV_FAULT, 10_000, 11_000),
    ];
    const thread = { name: 'invalidator0', shard: 0, task: 3, events, lost: 0 };
    const shown = JSON.parse([...chromeTrace({ threads: [thread], startNs: 0, nameOf: String }, {})].join('')) as {
      traceEvents: Entry[];
    };
    const spans = shown.traceEvents.filter(({ ph }) => ph === 'X');
    expect(spans.map(({ ts, dur, tid, args }) => [ts, dur, tid, args['late_us']])).toEqual([
      [1, 8, 3, undefined],
      [9, 0.5, 3, 7],
      [9.5, 2.5, 3, 6.5],
      [10, 1, 3, undefined],
    ]);
  });

  it('puts what sticks out of another on a further track of the thread', () => {
    const event = (kind: number, startNs: number, endNs: number): TraceEvent => {
      return { kind, startNs, endNs, a: 1, b: 0n, c: 0n, ret: 0 };
    };
    const events = [event(trace.EV_HOLD, 0, 50), event(trace.EV_FAULT, 20, 90), event(trace.EV_WAIT, 30, 40)];
    const log2 = { threads: [{ name: 'v', shard: 0, task: 3, events, lost: 0 }], startNs: 0, nameOf: String };
    const all = (JSON.parse([...chromeTrace(log2, {})].join('')) as { traceEvents: Entry[] }).traceEvents;
    expect(all.filter(({ ph }) => ph === 'X').map(({ tid }) => tid)).toEqual([3, 1003, 3]);
    expect(all.filter(({ name }) => name === 'thread_name').map(({ args }) => args['name'])).toEqual([
      'v',
      'v, overlapping',
    ]);
  });

  it('opens an invalidation with its hook inside', () => {
    const hook = entries.find(({ name }) => name === 'invalidate_restricted_mem')!;
    const around = entries.find(
      ({ name, tid, ts, dur }) =>
        name === 'invalidation open' && tid === hook.tid && ts <= hook.ts && ts + dur >= hook.ts + hook.dur,
    );
    expect(around).toBeDefined();
    expect(hook.args).toMatchObject({ vm: 0, slot: 0 });
  });
});

describe('as text of ftrace', () => {
  it('is read back by our own importer: each fault a fact', () => {
    writeFileSync(at('trace.txt'), [...ftraceText(log)].join(''));
    const lines = readFileSync(at('trace.txt'), 'utf8').split('\n');
    const faults = lines.filter((line) => line.includes(' kvm_page_fault: ')).length;
    expect(faults).toBeGreaterThan(10);
    const { kinds } = importLog(at('trace.txt'), () => 0);
    expect(kinds['trace kvm_page_fault, kvm_exit npf']).toBe(faults);
  });

  it('is in the order of time', () => {
    const times = [...ftraceText(log)].slice(1).map((line) => Number(/ (\d+\.\d{6}): /.exec(line)![1]));
    expect(times).toEqual(times.toSorted((a, b) => a - b));
  });
});

describe('torture --trace', () => {
  it('writes both beside the result', async () => {
    writeFileSync(at('profile.yaml'), JSON.stringify(PROFILE));
    const { code } = await runHere(folder, 'torture', at('profile.yaml'), '--trace', '--quiet', '--out', at('out'));
    expect(code).toBe(0);
    expect(() => JSON.parse(readFileSync(at('out/trace.json'), 'utf8')) as unknown).not.toThrow();
    expect(readFileSync(at('out/trace.txt'), 'utf8')).toMatch(/^# tracer: nop\n/);
  });

  it.each(['0', 'many', '99999999'])('refuses %s with one line, and writes nothing', async (events) => {
    const { code, stderr } = await runHere(
      folder,
      'torture',
      at('profile.yaml'),
      '--trace',
      events,
      '--out',
      at('nowhere'),
    );
    expect(code).toBe(2);
    expect(stderr).toMatch(/^--trace \S+: expected a whole number of events, 1 to 4194304\n$/);
    expect(existsSync(at('nowhere'))).toBe(false);
  });
});
