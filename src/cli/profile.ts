// Opens the profile of a run and looks at everything that it names, so that what a run would refuse is refused before anything is made.
import { loadHook } from '../host/hook.js';
import { profileComplaints } from '../torture/complaints.js';
import { openDocument, placed, type OpenedDocument, type Override } from '../torture/document.js';
import { fileComplaints, hookOf } from '../torture/files.js';
import { profileSchema, type Profile } from '../torture/schema.js';

/** The profile at `path`, with what the command line says otherwise. Throws UsageError, a line for each mistake, with its place. */
export async function openProfile(
  path: string,
  override: readonly (string | Override)[],
): Promise<OpenedDocument<Profile>> {
  const opened = openDocument(path, profileSchema, override, (profile) => [
    ...profileComplaints(profile),
    ...fileComplaints(profile, path),
  ]);
  const hook = hookOf(opened.data, path);
  try {
    if (hook !== 'none' && hook !== 'snp') await loadHook(hook);
  } catch (error) {
    throw placed(error, opened, ['hook']);
  }
  return opened;
}
