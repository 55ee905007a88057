#!/usr/bin/env node
// The executable: turns source maps on, then loads the command line, so that stacks show the TypeScript sources; and asks V8 for what makes the kernel fast.
process.setSourceMapsEnabled(true);
let unwritable: NodeJS.ErrnoException | undefined;
for (const stream of [process.stdout, process.stderr]) {
  stream.on('error', (error: NodeJS.ErrnoException) => {
    // `rmptorture ... | head` closes the pipe early: nobody reads on, but the command ends with its own exit code.
    if (error.code === 'EPIPE' || error.code === 'ERR_STREAM_DESTROYED') return;
    // A full disk: what was to be said is lost, which is no success.
    unwritable = error;
  });
}
const { tuneV8 } = await import('../host/v8-flags.js');
tuneV8();
const { main } = await import('./main.js');
const { EXIT_INTERNAL } = await import('./exit-codes.js');
const code = await main(process.argv.slice(2));
process.exitCode = code;
process.once('beforeExit', () => {
  if (unwritable === undefined) return;
  process.stderr.write(`rmptorture: ${unwritable.message}\n`);
  if (code === 0) process.exitCode = EXIT_INTERNAL;
});
