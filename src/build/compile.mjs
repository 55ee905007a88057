// Compiles one build of the kernel: asc with its options, hints at branches, larger inlining limits. The calls of one thread must not overlap.
import { addBranchHints, shiftSourceMap } from './branch-hints.mjs';
import { ROOT, messageOf } from './files.mjs';
import { raiseInlining } from './inlining.mjs';

/**
 * Memory: imported, so that every thread's instance shares one; declared as small as it can be and up to 4 GiB, so that any
 * shard fits. asc's static data, if any, lies below the kernel's own (64 KiB up). --debug keeps function names for traces;
 * the code is the same with and without it.
 */
const FLAGS = [
  ['-O3', '--runtime', 'stub', '--use', 'abort=', '--debug', '--sourceMap', '--noColors'],
  ['--enable', 'threads', '--importMemory', '--noExportMemory', '--sharedMemory'],
  ['--initialMemory', '1', '--maximumMemory', '65536'],
  ['--bindings', 'raw', '--baseDir', ROOT],
].flat();

/** Functions called seldom (checks that fail, locks that are contended): the test in front of the call is hinted as not taken. */
const RARE = [
  ...['perturbSlow', 'failDrawn', 'hookDrawn', 'ipiDrawn'].map((name) => `perturb/${name}`),
  'costs/spendNs',
  'oops/oops',
  'mm/page/badRefcount',
  ...['rcu/wakeWaiting', 'srcu/wakeDraining', 'word/wordLockSlow', 'word/wordUnlockSlow'].map((name) => `sync/${name}`),
  ...['rwlockReadSlow', 'rwlockWriteSlow', 'rwlockWake'].map((name) => `sync/rwlock-slow/${name}`),
  ...['rwsemReadSlow', 'rwsemWriteSlow', 'rwsemWake'].map((name) => `sync/rwsem-slow/${name}`),
  ...['lockdepCheck', 'lockdepRemove'].map((name) => `sync/lockdep/${name}`),
  ...['lockstatFirst', 'lockstatSample', 'lockstatSampled'].map((name) => `sync/lockstat/${name}`),
].map((name) => `src/kernel/${name}`);

/** The kernel's own entry. */
export const ENTRY = 'src/kernel/index.ts';
/** The controlled build's entry: the kernel and what its scheduler calls. */
const CONTROLLED_ENTRY = 'src/kernel/control/index.ts';

/**
 * Virtual threads: Asyncify instruments what can reach a suspension. That happens inside the module (src/kernel/control/threads.ts), no import
 * suspends by itself. The passes behind it tidy up the locals it introduces.
 */
const ASYNCIFY = [
  '--exportTable',
  '--runPasses',
  'asyncify,simplify-locals,coalesce-locals,reorder-locals,merge-blocks,vacuum',
];
/**
 * What counts for nobody but an oracle or a statistic: functions of their own, so that no count stays behind in the frame of a thread that is suspended. States
 * that are one for a search would be several by it.
 */
const APART = ['vcpu/vcpuCount', 'access/isLastRound', 'access/isRetryTooMany'].map((name) => `src/kernel/kvm/${name}`);

/** @typedef {{ setPassArgument(key: string, value: string): void }} Binaryen */

class ThreadsTransform {
  /** @param {{ runPasses(passes: string[]): void }} module */
  afterCompile(module) {
    const { binaryen } = /** @type {{ binaryen: Binaryen }} */ (/** @type {unknown} */ (this));
    binaryen.setPassArgument('asyncify-ignore-imports', '1');
    for (const name of APART) {
      binaryen.setPassArgument('no-inline', name);
      module.runPasses(['no-inline']);
    }
  }
}

/**
 * @typedef {object} Compiled
 * @property {Uint8Array} module
 * @property {string} map its source map
 * @property {string} types asc's declarations of the exports
 * @property {string} messages warnings, for the user
 */

/**
 * @param {string} build name of a file in src/kernel/build
 * @param {string} entry relative to the root
 * @param {string} name of the output, without extension
 * @returns {Promise<Compiled>}
 */
export async function compile(build, entry, name) {
  // Worth 8 % of a fault's and of a cycle's time. Asyncify would only make more code of it.
  await raiseInlining(build !== 'controlled');
  const { default: asc } = await import('assemblyscript/asc');
  /** @type {Map<string, string | Uint8Array>} */
  const written = new Map();
  let messages = '';
  const sink = { write: (/** @type {string | Uint8Array} */ text) => void (messages += text) };
  // A second round of optimization is worth 12 % of a fault's time: for the build that is measured.
  const rounds = build === 'fast' ? ['--converge'] : [];
  const controlled = build === 'controlled';
  const threads = controlled ? ASYNCIFY : [];
  const source = controlled && entry === ENTRY ? CONTROLLED_ENTRY : entry;
  const { error } = await asc.main(
    [`src/kernel/build/${build}.ts`, source, ...FLAGS, ...rounds, ...threads, '--outFile', `${name}.wasm`],
    {
      stdout: sink,
      stderr: sink,
      transforms: controlled ? [/** @type {any} */ (ThreadsTransform)] : [],
      writeFile: (file, contents) => void written.set(file.slice(name.length), contents),
    },
  );
  if (error !== null) throw new Error(`kernel build '${build}':\n${messages}${messageOf(error)}`);
  const binary = written.get('.wasm');
  const sourceMap = written.get('.wasm.map');
  if (!(binary instanceof Uint8Array) || sourceMap === undefined) throw new Error(`asc wrote no module for '${build}'`);
  const { bytes, moved } = addBranchHints(binary, RARE);
  return {
    module: bytes,
    map: shiftSourceMap(String(sourceMap), moved),
    types: String(written.get('.d.ts')),
    messages: messages.replace('Last converge was suboptimal.', '').trim(),
  };
}
