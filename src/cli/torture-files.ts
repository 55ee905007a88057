// The result folder of a torture run: result.json, series.csv, profile.yaml, log.ndjson, a distribution of latencies for each operation, and
// the trace if one was asked for.
import { createWriteStream } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { hdrText } from '../report/hdr.js';
import { seriesCsv } from '../report/series.js';
import { chromeTrace } from '../report/trace-chrome.js';
import { ftraceText } from '../report/trace-ftrace.js';
import type { TortureResult } from '../torture/run.js';
import type { SeriesRow } from '../torture/series.js';
import type { TraceLog } from '../torture/trace.js';

export interface TortureFiles {
  result: TortureResult;
  series: readonly SeriesRow[];
  /** The profile as resolved. */
  profile: string;
  log: readonly string[];
  trace?: TraceLog | undefined;
}

/** Writes the folder. result.json comes last: where it is, the others are complete. */
export async function writeTortureFiles(
  folder: string,
  { result, series, profile, log, trace }: TortureFiles,
): Promise<void> {
  await mkdir(join(folder, 'latency'), { recursive: true });
  for (const [name, operation] of Object.entries(result.operations)) {
    if (operation.histogram.length > 0) await writeFile(join(folder, 'latency', `${name}.hgrm`), hdrText(operation));
  }
  await writeFile(join(folder, 'series.csv'), seriesCsv(series));
  await writeFile(join(folder, 'profile.yaml'), profile);
  await writeFile(join(folder, 'log.ndjson'), log.join(''));
  if (trace !== undefined) {
    const about = { seed: result.seed, again: result.again, build: result.build, protocol: result.protocol };
    await pipeline(Readable.from(chromeTrace(trace, about)), createWriteStream(join(folder, 'trace.json')));
    await pipeline(Readable.from(ftraceText(trace)), createWriteStream(join(folder, 'trace.txt')));
  }
  await writeFile(join(folder, 'result.json'), `${JSON.stringify(result, null, 2)}\n`);
}
