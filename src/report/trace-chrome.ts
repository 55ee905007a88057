// A trace as Chrome trace-event JSON, which Perfetto (ui.perfetto.dev) and chrome://tracing open: a process for each shard, a track for each thread. On a track
// durations have to lie inside one another or apart, or viewers drop or cut them: one that does not, such as a lock held across the end of an
// invalidation, goes on a further track of the same thread.
import * as trace from '../kernel/abi/trace.js';
import type { TraceEvent, TraceLog, TraceThread } from '../torture/trace.js';
import { wordsOf } from './trace-words.js';

/** Tracks of one thread are so far apart; there are fewer tasks than that. */
const TRACK_STEP = 1000;

/** An event with its times in whole nanoseconds of the trace, so that rounding cannot make one stick out of another. */
interface Span {
  event: TraceEvent;
  startNs: number;
  endNs: number;
  /** An operation was due so much earlier than it could begin. */
  lateNs: number;
}

/** The pieces of the document, in order: a long trace is written without ever being one string. */
export function* chromeTrace(log: TraceLog, about: Record<string, string>): Generator<string> {
  yield `{"displayTimeUnit":"ns","otherData":${JSON.stringify(about)},"traceEvents":[\n`;
  let separator = '';
  for (const entry of entriesOf(log)) {
    yield `${separator}${JSON.stringify(entry)}`;
    separator = ',\n';
  }
  yield '\n]}\n';
}

function* entriesOf(log: TraceLog): Generator<object> {
  for (const shard of new Set(log.threads.map((thread) => thread.shard)))
    yield { ph: 'M', name: 'process_name', pid: shard + 1, tid: 0, args: { name: `shard ${shard}` } };
  for (const thread of log.threads) yield* threadEntries(log, thread);
}

function* threadEntries(log: TraceLog, thread: TraceThread): Generator<object> {
  const pid = thread.shard + 1;
  const us = (ns: number): number => Number((ns / 1000).toFixed(3));
  /** Ends of the durations that are open on each track, the innermost last. */
  const tracks: number[][] = [];
  for (const { event, startNs, endNs, lateNs } of spansOf(log, thread)) {
    const isInstant = event.kind === trace.EV_INVALIDATE_RANGE;
    const at = isInstant ? 0 : trackFor(tracks, startNs, endNs);
    const tid = thread.task + at * TRACK_STEP;
    if (at === tracks.length) {
      tracks.push([]);
      yield* trackNames(thread, pid, tid, at);
    }
    if (!isInstant) tracks[at]!.push(endNs);
    const { name, category, args } = wordsOf(event, (address) => log.nameOf(thread.shard, address));
    const late = lateNs > 0 ? { late_us: us(lateNs) } : {};
    const common = { name, cat: category, pid, tid, ts: us(startNs), args: { ...args, ...late } };
    yield isInstant ? { ph: 'i', s: 't', ...common } : { ph: 'X', ...common, dur: us(endNs - startNs) };
  }
}

/** The first track on which a duration lies inside the open ones or behind them; those that are over are taken off. */
function trackFor(tracks: readonly number[][], startNs: number, endNs: number): number {
  for (const [n, open] of tracks.entries()) {
    while (open.length > 0 && open.at(-1)! <= startNs) open.pop();
    if (open.length === 0 || open.at(-1)! >= endNs) return n;
  }
  return tracks.length;
}

function* trackNames({ name, task }: TraceThread, pid: number, tid: number, at: number): Generator<object> {
  const args = { name: at === 0 ? name : `${name}, overlapping` };
  yield { ph: 'M', name: 'thread_name', pid, tid, args };
  yield { ph: 'M', name: 'thread_sort_index', pid, tid, args: { sort_index: task * 8 + at } };
}

/** The thread's events by their beginning, begin and end of an invalidation as one. */
function spansOf(log: TraceLog, { events }: TraceThread): Span[] {
  const since = (ns: number): number => Math.max(0, Math.round(ns - log.startNs));
  const begun: TraceEvent[] = [];
  const spans: Span[] = [];
  for (const event of events) {
    const span = { event, startNs: since(event.startNs), endNs: since(event.endNs), lateNs: 0 };
    if (event.kind === trace.EV_INVALIDATE_BEGIN) {
      begun.push(event);
      continue;
    }
    if (event.kind === trace.EV_INVALIDATE_END) {
      const at = begun.findLastIndex(({ a }) => a === event.a);
      // Its beginning may have been overwritten.
      if (at >= 0) span.startNs = since(begun.splice(at, 1)[0]!.startNs);
    }
    spans.push(span);
  }
  beginWhenFree(spans);
  return spans.toSorted((one, other) => one.startNs - other.startNs || other.endNs - one.endNs);
}

/** Operations of open loops begin, in their events, when they were due. Here they begin when the thread had made the one before: it makes one at a time. */
function beginWhenFree(spans: readonly Span[]): void {
  let freeNs = 0;
  const operations = spans.filter(({ event }) => event.kind >= trace.EV_OPERATION);
  for (const span of operations.toSorted((one, other) => one.endNs - other.endNs)) {
    const startNs = Math.min(Math.max(span.startNs, freeNs), span.endNs);
    span.lateNs = startNs - span.startNs;
    span.startNs = startNs;
    freeNs = span.endNs;
  }
}
