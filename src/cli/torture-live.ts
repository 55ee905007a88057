// The live view of a torture run on a terminal: keeps the states of the last second, and draws each new one.
import { LOG_LEVELS, type LogLevel } from '../host/log.js';
import { liveLines, type LiveAbout } from '../report/live.js';
import type { TortureProgress } from '../torture/window.js';
import { Screen, type Terminal } from './screen.js';

const WINDOW_MS = 1000;
/** pino's number of the first level; each further one is ten more. */
const FIRST_LEVEL = 10;

export interface LiveView {
  update(progress: TortureProgress): void;
  /** Shows a line of the run's log above the view, when it is of the level or above. */
  log(line: string): void;
  close(): void;
}

/** Begins a view; nothing is drawn before the first update. */
export function liveView(terminal: Terminal, about: LiveAbout, logLevel: LogLevel): LiveView {
  const states: TortureProgress[] = [];
  const screen = new Screen(terminal, (size) => {
    const now = states.at(-1);
    return now === undefined ? [] : liveLines(about, now, states.length > 1 ? states[0] : undefined, size);
  });
  return {
    update(progress) {
      states.push(progress);
      // The oldest that is left is the youngest that is at least a window old.
      while (states.length > 2 && progress.elapsedMs - states[1]!.elapsedMs >= WINDOW_MS) states.shift();
      screen.draw();
    },
    log(line) {
      const least = FIRST_LEVEL * (1 + LOG_LEVELS.indexOf(logLevel));
      if ((JSON.parse(line) as { level: number }).level >= least) screen.print(line);
    },
    close: () => screen.close(),
  };
}
