// `rmptorture replay <trace.json>`: an interleaving from a trace file once more, with all its steps.
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { Command } from 'commander';
import { UsageError } from '../host/errors.js';
import { nowNs } from '../host/clock.js';
import type { Scenario } from '../explore/scenario.js';
import type { Target } from '../explore/target.js';
import { EXIT_INCONCLUSIVE, EXIT_VIOLATION } from './exit-codes.js';
import { inFolder } from './out-folder.js';

interface Options {
  json?: boolean;
  out?: string;
}

/** Time to learn which orders of steps the failure needs. */
const ORDERS_MS = 1000;

/** Builds the command; `done` receives the exit code. */
export function replayCommand(done: (code: number) => void): Command {
  return new Command('replay')
    .description(
      'run a recorded interleaving again: exit code 1 when it fails as it did, 4 when it is another one by now',
    )
    .argument('<trace>', 'trace file that explore wrote')
    .option('--json', 'print the result document on stdout, nothing else')
    .option('--out <dir>', 'where to write result.json (default: nowhere)')
    .option('--quiet', 'no progress line (there is none)')
    .option('--no-color', 'no colours')
    .action(async (file: string, { json = false, out }: Options) =>
      done(
        out === undefined
          ? await replay(file, json)
          : await inFolder(out, 'replay', (folder) => replay(file, json, folder)),
      ),
    );
}

/** Runs it, and writes the result document to `folder` where there is one. */
async function replay(file: string, json: boolean, folder?: string): Promise<number> {
  const { readTrace } = await import('../explore/trace-file.js');
  const { loadTarget } = await import('./target.js');
  const { replayTrace } = await import('../explore/replay-trace.js');
  const { failureText } = await import('../report/explore.js');
  const { scenarioTarget } = await import('../explore/scenario-target.js');
  const { ordersOf } = await import('../explore/counterexample.js');
  const { Budget } = await import('../explore/minimise.js');
  const trace = readTrace(file);
  const { points, stepLimit, spuriousWakeups, earlyTimeouts, frozenClock, races, locks, variants, protocol } = trace;
  const overrides = { ...(variants && { variants }), ...(protocol && { protocol }) };
  const how = {
    points,
    stepLimit,
    spuriousWakeups,
    earlyTimeouts,
    frozenClock,
    ...(races === undefined ? {} : { races }),
    ...(locks === undefined ? {} : { locks }),
  };
  const make = async (): Promise<Target> =>
    trace.scenario === undefined
      ? loadTarget(trace.target, how, overrides)
      : scenarioTarget({ ...(trace.scenario as Scenario), ...overrides }, how);
  const target = await make().catch((error: unknown) => {
    throw error instanceof UsageError ? complaint(file, error.message) : error;
  });
  if (target.threadNames.join() !== trace.threads.join())
    throw complaint(file, `${trace.target} has the threads ${target.threadNames.join(', ')} by now`);
  const { failure, divergence } = replayTrace(target, trace);
  const tries = new Budget(Infinity, ORDERS_MS, () => nowNs() / 1e6);
  const same =
    failure !== undefined && failure.kind === trace.failure.kind && failure.message === trace.failure.message;
  const verdict = same ? 'violation' : 'inconclusive';
  const document = {
    schema: 'rmptorture/replay/1',
    command: 'replay',
    trace: file,
    verdict,
    divergence,
    failure: trace.failure,
  };
  if (folder !== undefined) await writeFile(path.join(folder, 'result.json'), `${JSON.stringify(document, null, 2)}\n`);
  if (json) {
    process.stdout.write(`${JSON.stringify(document)}\n`);
  } else if (divergence !== undefined) {
    process.stdout.write(`${divergence}\nINCONCLUSIVE: this is not the execution that was recorded\n`);
  } else if (same) {
    const orders = ordersOf(target, failure, tries);
    process.stdout.write(`${failureText(target, failure, orders)}\nFAILURE: ${failure.kind}, as recorded\n`);
  } else {
    process.stdout.write(
      `recorded: ${trace.failure.message}\nnow: ${failure?.message ?? 'it passes'}\nINCONCLUSIVE: the same steps end in another way\n`,
    );
  }
  return same ? EXIT_VIOLATION : EXIT_INCONCLUSIVE;
}

function complaint(file: string, what: string): UsageError {
  return new UsageError('replay', `replay: ${file}: ${what}`);
}
