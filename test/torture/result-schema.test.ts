// The schema of torture's result document: real documents are all that it says and nothing else, and the one that is shipped is fresh.
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { runTorture } from '#src/index.js';
import { tortureResultJsonSchema, tortureResultSchema } from '#src/torture/result-schema.js';
import { profileSchema } from '#src/torture/schema.js';

const PROFILE = {
  host: { memory: '64MiB' },
  vms: [{ name: 'g', vcpus: 2, memory: '4MiB' }],
  actors: [{ kind: 'vcpu', threads: 2 }, { kind: 'invalidator' }, { kind: 'converter', rate: '500/s' }],
  duration: '150ms',
};

async function documentOf(profile: object): Promise<unknown> {
  const parsed = profileSchema.parse({ ...PROFILE, ...profile });
  const result = await runTorture({ profile: parsed, profilePath: 'p.yaml', seed: 1n, again: 'again' });
  return JSON.parse(JSON.stringify(result)) as unknown;
}

describe('the result document', () => {
  it.each([
    ['a run that passed', {}, 'passed'],
    ['a run with a violation', { variants: ['B05'], duration: '5s' }, 'violated'],
    ['a run that missed a threshold', { thresholds: { 'touch.count': '< 1' } }, 'threshold'],
    ['a run of a build without lock statistics', { build: 'fast' }, 'passed'],
  ])('of %s has the fields of the schema, and no others', async (_, profile, verdict) => {
    const document = await documentOf(profile);
    expect(tortureResultSchema.safeParse(document).error?.issues ?? []).toEqual([]);
    expect(document).toMatchObject({ verdict });
  });

  it('has its JSON Schema in config/schema/torture.json', () => {
    expect(JSON.parse(readFileSync('config/schema/torture.json', 'utf8'))).toEqual(tortureResultJsonSchema());
  });

  it('may have more by that JSON Schema, but not less', () => {
    const shipped = JSON.stringify(tortureResultJsonSchema());
    expect(shipped).not.toContain('"additionalProperties":false');
    expect(tortureResultJsonSchema()).toMatchObject({
      required: expect.arrayContaining(['schema', 'verdict', 'operations', 'locks', 'pages', 'environment']),
    });
  });
});
