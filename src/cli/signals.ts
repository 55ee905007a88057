// Ctrl-C once: the run ends in order and writes its partial report. Twice: the process leaves at once.

export interface Interrupt {
  signal: AbortSignal;
  /** 130 or 143 once a signal has come. */
  readonly exitCode: number | undefined;
  dispose(): void;
}

/** Turns SIGINT and SIGTERM into an abort signal for the time of a command. `atEnd` is called when that time is over, also when the process leaves at once. */
export function interruptible(atEnd: () => void = () => undefined): Interrupt {
  const controller = new AbortController();
  let code: number | undefined;
  const handle = (signal: NodeJS.Signals): void => {
    const next = signal === 'SIGINT' ? 130 : 143;
    if (code !== undefined) {
      atEnd();
      leave(signal);
    }
    code = next;
    controller.abort();
  };
  process.on('SIGINT', handle);
  process.on('SIGTERM', handle);
  return {
    signal: controller.signal,
    get exitCode() {
      return code;
    },
    dispose() {
      process.off('SIGINT', handle);
      process.off('SIGTERM', handle);
      atEnd();
    },
  };
}

/** Ends the process by the signal itself: process.exit() would wait for the threads, and aborts when it meets one that is just coming up. */
function leave(signal: NodeJS.Signals): void {
  // What is drawn there stays: the shell goes on below.
  if (process.stderr.isTTY) process.stderr.write('\n');
  process.removeAllListeners(signal);
  process.kill(process.pid, signal);
}
