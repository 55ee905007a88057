// The result folder of a torture run: result.json, profile.yaml, log.ndjson, a distribution of latencies for each operation, of waits and holds
// for each lock class, metrics for OpenTelemetry, and the trace if one was asked for.
import { createWriteStream } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { wallMs } from '../host/clock.js';
import { hdrText, lockHdrText } from '../report/hdr.js';
import { otlpJson } from '../report/metrics-otlp.js';
import { chromeTrace } from '../report/trace-chrome.js';
import { ftraceText } from '../report/trace-ftrace.js';
import type { TortureResult } from '../torture/run.js';
import type { TraceLog } from '../torture/trace.js';

export interface TortureFiles {
  result: TortureResult;
  /** The profile as resolved. */
  profile: string;
  log: readonly string[];
  trace?: TraceLog | undefined;
}

/** Writes the folder, but for the time series, which SeriesFiles has written. result.json comes last: where it is, the others are complete. */
export async function writeTortureFiles(folder: string, { result, profile, log, trace }: TortureFiles): Promise<void> {
  for (const [name, text] of distributions(result)) {
    await mkdir(dirname(join(folder, name)), { recursive: true });
    await writeFile(join(folder, name), text);
  }
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, 'profile.yaml'), profile);
  await writeFile(join(folder, 'log.ndjson'), log.join(''));
  await writeFile(join(folder, 'metrics.otlp.json'), otlpJson(result, wallMs()));
  if (trace !== undefined) {
    const about = { seed: result.seed, again: result.again, build: result.build, protocol: result.protocol };
    await pipeline(Readable.from(chromeTrace(trace, about)), createWriteStream(join(folder, 'trace.json')));
    await pipeline(Readable.from(ftraceText(trace)), createWriteStream(join(folder, 'trace.txt')));
  }
  await writeFile(join(folder, 'result.json'), `${JSON.stringify(result, null, 2)}\n`);
}

/** Files of HdrHistogram's percentile text, with their names; those without samples are left out. */
function distributions({ operations, locks }: TortureResult): [name: string, text: string][] {
  const ofOperations = Object.entries(operations).map(([name, operation]) => {
    return { name: `latency/${name}`, histogram: operation.histogram, text: () => hdrText(operation) };
  });
  const ofLocks = Object.entries(locks).flatMap(([name, { waitHistogram, holdHistogram, waitNs, holdNs }]) => [
    { name: `locks/${name}.wait`, histogram: waitHistogram, text: () => lockHdrText(waitHistogram, waitNs) },
    { name: `locks/${name}.hold`, histogram: holdHistogram, text: () => lockHdrText(holdHistogram, holdNs) },
  ]);
  return [...ofOperations, ...ofLocks]
    .filter(({ histogram }) => histogram.length > 0)
    .map(({ name, text }) => [`${name}.hgrm`, text()]);
}
