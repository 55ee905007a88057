// Words of a command line that is printed to be run again, as a POSIX shell reads them.

/** The word in quotes, where a shell would take it for something else without. */
export function shellWord(text: string): string {
  return /^[\w./:=,@%+-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}
