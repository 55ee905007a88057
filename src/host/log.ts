// What a run says about itself: one JSON line an event on stderr, by pino. Results never go this way.
import { pino, type Logger } from 'pino';
import { UsageError } from './errors.js';

export type Log = Logger;

export const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'silent'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

/**
 * A log of its own for each thread: loggers cannot be posted, and a synchronous descriptor loses nothing when a thread blocks.
 * `onLine` gets the lines from `info` on, whatever the level shows. Throws UsageError.
 */
export function createLog(level: LogLevel, onLine?: (line: string) => void): Log {
  if (!LOG_LEVELS.includes(level)) {
    throw new UsageError('logLevel', `logLevel: '${level}' is unknown; known are ${LOG_LEVELS.join(', ')}`);
  }
  const stderr = pino.destination({ dest: 2, sync: true });
  if (onLine === undefined) return pino({ level, base: null }, stderr);
  const lines = { level: 'info', stream: { write: onLine } } as const;
  const streams = pino.multistream(level === 'silent' ? [lines] : [{ level, stream: stderr }, lines]);
  const least = level === 'trace' || level === 'debug' ? level : 'info';
  return pino({ level: least, base: null }, streams);
}
