// The result folder of a torture run: result.json, series.csv, profile.yaml, log.ndjson and a distribution of latencies for each operation.
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { hdrText } from '../report/hdr.js';
import { seriesCsv } from '../report/series.js';
import type { TortureResult } from '../torture/run.js';
import type { SeriesRow } from '../torture/series.js';

export interface TortureFiles {
  result: TortureResult;
  series: readonly SeriesRow[];
  /** The profile as resolved. */
  profile: string;
  log: readonly string[];
}

/** Writes the folder. result.json comes last: where it is, the others are complete. */
export async function writeTortureFiles(folder: string, { result, series, profile, log }: TortureFiles): Promise<void> {
  await mkdir(join(folder, 'latency'), { recursive: true });
  for (const [name, operation] of Object.entries(result.operations)) {
    if (operation.histogram.length > 0) await writeFile(join(folder, 'latency', `${name}.hgrm`), hdrText(operation));
  }
  await writeFile(join(folder, 'series.csv'), seriesCsv(series));
  await writeFile(join(folder, 'profile.yaml'), profile);
  await writeFile(join(folder, 'log.ndjson'), log.join(''));
  await writeFile(join(folder, 'result.json'), `${JSON.stringify(result, null, 2)}\n`);
}
