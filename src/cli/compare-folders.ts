// Two result folders of torture, compared by the whole seconds of their time series.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { machineDifferences } from '../host/environment.js';
import { UsageError } from '../host/errors.js';
import { unreadable } from '../host/unreadable.js';
import { parseSeriesCsv } from '../report/series.js';
import { compareSamples, profileDifferences, samplesOfSeries, type Bounds } from '../torture/compare.js';
import type { TortureResult } from '../torture/run.js';
import type { SeriesRow } from '../torture/series.js';
import { oraclesOf, type Compared } from './compare.js';

interface Folder {
  result: TortureResult;
  rows: SeriesRow[];
}

function readFolder(folder: string): Folder {
  const read = (name: string): string => {
    try {
      return readFileSync(join(folder, name), 'utf8');
    } catch (error) {
      throw new UsageError(
        'compare',
        `${join(folder, name)}: ${unreadable(error)}; name the result folder of a torture run`,
      );
    }
  };
  let result: TortureResult;
  try {
    result = JSON.parse(read('result.json')) as TortureResult;
  } catch (error) {
    if (error instanceof UsageError) throw error;
    throw new UsageError('compare', `${join(folder, 'result.json')}: ${(error as Error).message}`);
  }
  const { schema } = (result ?? {}) as { schema?: unknown };
  if (schema !== 'rmptorture/torture/1') {
    throw new UsageError(
      'compare',
      `${join(folder, 'result.json')}: no result of torture, but ${typeof schema === 'string' ? schema : 'a document without a schema'}`,
    );
  }
  return { result, rows: parseSeriesCsv(read('series.csv'), join(folder, 'series.csv')) };
}

/** Compares folder B with folder A. Throws UsageError for unlike profiles or machines, unless `force`. */
export function compareFolders(a: string, b: string, bounds: Bounds, force: boolean): Compared {
  const [first, second] = [readFolder(a), readFolder(b)];
  const profiles = profileDifferences(first.result.profile, second.result.profile);
  const machines = machineDifferences(first.result.environment, second.result.environment);
  const unlike = [...(profiles.length === 0 ? [] : [`the profiles differ in ${profiles.join(', ')}`]), ...machines];
  if (unlike.length > 0 && !force) {
    throw new UsageError(
      'compare',
      `compare: these runs are unlike: ${unlike.join('; ')}; --force compares all the same`,
    );
  }
  const doubts = [first, second].flatMap(({ result }, n) => {
    const side = n === 0 ? 'A' : 'B';
    return [...result.trust.doubts, ...(result.partial ? ['it did not go to its end'] : [])].map(
      (doubt) => `${side}: ${doubt}`,
    );
  });
  return {
    a,
    b,
    metrics: compareSamples(samplesOfSeries(first.rows), samplesOfSeries(second.rows), bounds, false),
    notes: [
      'samples are the seconds of one run each: what differs from run to run is not in the intervals',
      ...unlike,
      ...doubts,
    ],
    violated: [oraclesOf(first.result.violations), oraclesOf(second.result.violations)],
    doubtful: [first, second].some(({ result }) => result.trust.untrustworthy),
  };
}
