// The schema of torture's result document: real documents are all that it says and nothing else.
import { describe, expect, it } from 'vitest';
import { runTorture } from '#src/index.js';
import { tortureResultSchema } from '#src/schemas/torture.js';
import { profileSchema } from '#src/torture/schema.js';

const PROFILE = {
  host: { memory: '64MiB' },
  vms: [{ name: 'g', vcpus: 2, memory: '4MiB' }],
  actors: [
    { kind: 'vcpu', threads: 2, operations: 2000 },
    { kind: 'invalidator', operations: 50 },
    { kind: 'converter', rate: '500/s', operations: 30 },
  ],
  duration: '1h',
};
const ENDLESS = PROFILE.actors.map((actor) => ({ ...actor, operations: undefined }));

async function documentOf(profile: object): Promise<unknown> {
  const parsed = profileSchema.parse({ ...PROFILE, ...profile });
  const result = await runTorture({ profile: parsed, profilePath: 'p.yaml', seed: 1n, again: 'again' });
  return JSON.parse(JSON.stringify(result)) as unknown;
}

describe('the result document', () => {
  it.each([
    ['a run that passed', {}, 'passed'],
    ['a run with a violation', { variants: ['B05'], actors: ENDLESS }, 'violated'],
    ['a run that missed a threshold', { thresholds: { 'touch.count': '< 1' } }, 'threshold'],
    ['a run of a build without lock statistics', { build: 'fast' }, 'passed'],
  ])('of %s has the fields of the schema, and no others', async (_, profile, verdict) => {
    const document = await documentOf(profile);
    expect(tortureResultSchema.safeParse(document).error?.issues ?? []).toEqual([]);
    expect(document).toMatchObject({ verdict });
  });
});
