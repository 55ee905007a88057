// Why a file of the user's cannot be read, in a few words.

/** What stands behind the file's name: `no such file`, `a folder, not a file`, or the system's own words. */
export function unreadable(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  if (code === 'ENOENT' || code === 'ENOTDIR') return 'no such file';
  if (code === 'EISDIR') return 'a folder, not a file';
  return code === 'EACCES' ? 'no right to read it' : message;
}
