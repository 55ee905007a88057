#!/usr/bin/env node
// The executable: turns source maps on, then loads the command line, so that stacks show the TypeScript sources; and lets V8 heed branch hints.
process.setSourceMapsEnabled(true);
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  // `rmptorture ... | head` closes the pipe early; that is no failure.
  if (error.code === 'EPIPE') process.exit(0);
  throw error;
});
const { heedBranchHints } = await import('../host/branch-hints.js');
heedBranchHints();
const { main } = await import('./main.js');
process.exitCode = await main(process.argv.slice(2));
