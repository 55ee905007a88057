// What a run says about itself: one JSON line an event on stderr, by pino. Results never go this way.
import { pino, type Logger } from 'pino';
import { UsageError } from './errors.js';

export type Log = Logger;

export const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'silent'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

/** A log of its own for each thread: loggers cannot be posted, and a synchronous descriptor loses nothing when a thread blocks. Throws UsageError. */
export function createLog(level: LogLevel): Log {
  if (!LOG_LEVELS.includes(level)) {
    throw new UsageError('logLevel', `logLevel: '${level}' is unknown; known are ${LOG_LEVELS.join(', ')}`);
  }
  return pino({ level, base: null }, pino.destination({ dest: 2, sync: true }));
}
