// A trace as Chrome trace-event JSON, which Perfetto (ui.perfetto.dev) and chrome://tracing open: a process for each shard, a track for each thread.
import * as trace from '../kernel/abi/trace.js';
import type { TraceEvent, TraceLog, TraceThread } from '../torture/trace.js';
import { wordsOf } from './trace-words.js';

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
    yield { ph: 'M', name: 'process_name', pid: shard + 1, args: { name: `shard ${shard}` } };
  for (const thread of log.threads) {
    const at = { pid: thread.shard + 1, tid: thread.task };
    yield { ph: 'M', name: 'thread_name', ...at, args: { name: thread.name } };
    yield* threadEntries(log, thread, at);
  }
}

function* threadEntries(log: TraceLog, { shard, events }: TraceThread, at: object): Generator<object> {
  const us = (ns: number): number => Number(((ns - log.startNs) / 1000).toFixed(3));
  const open: TraceEvent[] = [];
  for (const event of events) {
    const { name, category, args } = wordsOf(event, (address) => log.nameOf(shard, address));
    const common = { name, cat: category, ...at, args };
    if (event.kind === trace.EV_INVALIDATE_BEGIN) open.push(event);
    else if (event.kind === trace.EV_INVALIDATE_END) {
      const began = open.findLastIndex(({ a }) => a === event.a);
      // Its beginning may have been overwritten.
      const [begin] = began < 0 ? [event] : open.splice(began, 1);
      yield { ph: 'X', ...common, ts: us(begin!.startNs), dur: us(event.endNs) - us(begin!.startNs) };
    } else if (event.kind === trace.EV_INVALIDATE_RANGE) yield { ph: 'i', s: 't', ...common, ts: us(event.startNs) };
    else
      yield {
        ph: 'X',
        ...common,
        ts: us(event.startNs),
        dur: Number(((event.endNs - event.startNs) / 1000).toFixed(3)),
      };
  }
}
