#!/usr/bin/env node
// The executable: turns source maps on, then loads the command line, so that stacks show the TypeScript sources; and lets V8 heed branch hints.
process.setSourceMapsEnabled(true);
for (const stream of [process.stdout, process.stderr]) {
  stream.on('error', (error: NodeJS.ErrnoException) => {
    // `rmptorture ... | head` closes the pipe early: nobody reads on, but the command ends with its own exit code.
    if (error.code !== 'EPIPE' && error.code !== 'ERR_STREAM_DESTROYED') throw error;
  });
}
const { heedBranchHints } = await import('../host/branch-hints.js');
heedBranchHints();
const { main } = await import('./main.js');
process.exitCode = await main(process.argv.slice(2));
