// The options of runTorture(): a profile is checked as one that comes from a file, so that a program may pass one of its own.
import { z } from 'zod';
import { UsageError } from '../host/errors.js';
import { LOG_LEVELS, type LogLevel } from '../host/log.js';
import { callback, checkOptions, oneOf, seedLike, text, wanted, whole } from '../host/options.js';
import { profileComplaints } from './complaints.js';
import { profileSchema, type Profile } from './schema.js';
import type { OnSecond } from './series.js';
import type { TraceLog } from './trace.js';
import type { TortureProgress } from './window.js';

/** Events of one thread that a trace may keep. */
const MOST_TRACE_EVENTS = 4_194_304;

/** A run: the profile, the seed, and who is told what meanwhile. */
export interface TortureOptions {
  profile: Profile;
  profilePath: string;
  seed: bigint;
  /** Command line that repeats the run. */
  again: string;
  /** Aborting it ends the run in an orderly way; the result is partial. */
  signal?: AbortSignal;
  onProgress?: (progress: TortureProgress) => void;
  /** Called each second with a row for each operation, and the state at its end. */
  onSeries?: OnSecond;
  /** Events of each thread to keep, the last so many; onTrace gets them at the end. Not traced without. */
  traceEvents?: number;
  onTrace?: (log: TraceLog) => void;
  /** Gets the lines about the run from `info` on, whatever `logLevel` shows. */
  onLog?: (line: string) => void;
  /** Globs of pr_debug functions to print. */
  debug?: string;
  /** Threads of all actors together; as the profile says without it. */
  workers?: number;
  /** Least level of the lines about the run on stderr; `silent` if not said. */
  logLevel?: LogLevel;
}

const optionsSchema = z.strictObject({
  profile: profileSchema,
  profilePath: text,
  seed: seedLike,
  again: text,
  signal: wanted((signal) => signal instanceof AbortSignal, 'an AbortSignal').optional(),
  onProgress: callback.optional(),
  onSeries: callback.optional(),
  traceEvents: whole(1, MOST_TRACE_EVENTS).optional(),
  onTrace: callback.optional(),
  onLog: callback.optional(),
  debug: text.optional(),
  workers: whole(1, Number.MAX_SAFE_INTEGER).optional(),
  logLevel: oneOf(LOG_LEVELS).optional(),
} satisfies Record<keyof TortureOptions, z.ZodType>);

/** The options with a profile in which every default is filled in. Throws UsageError. */
export function checkedTorture(options: TortureOptions): TortureOptions {
  checkOptions('runTorture', optionsSchema, options);
  const profile = profileSchema.parse(options.profile);
  const [complaint] = profileComplaints(profile);
  if (complaint !== undefined) throw new UsageError('runTorture', `profile: ${complaint.message}`);
  return { ...options, profile };
}
