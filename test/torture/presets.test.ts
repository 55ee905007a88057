// The profiles in config/: each says what it asks, is valid on this machine with the files that it names, and the small ones run.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { runTorture, type TortureOptions, type TortureProgress, type TortureResult } from '#src/index.js';
import { profileComplaints } from '#src/torture/complaints.js';
import { readDocument } from '#src/torture/document.js';
import { memslotSequence } from '#src/torture/guests.js';
import { profileSchema } from '#src/torture/schema.js';

const config = fileURLToPath(new URL('../../config', import.meta.url));
const names = readdirSync(config).filter((name) => name.endsWith('.yaml'));

type Options = Pick<TortureOptions, 'signal' | 'onProgress'>;

function run(name: string, override: string[], options: Options = {}): Promise<TortureResult> {
  const profilePath = join(config, `${name}.yaml`);
  const profile = readDocument(profilePath, profileSchema, ['duration=1h', ...override], profileComplaints);
  return runTorture({ profile, profilePath, seed: 11n, again: '', ...options });
}

/** Runs a preset for some tenths of a second, and on until the guests have got on: that their threads had a turn by then no machine can promise. */
function runBriefly(name: string, override: string[]): Promise<TortureResult> {
  const enough = new AbortController();
  const onProgress = ({ elapsedMs, operations }: TortureProgress): void => {
    if (elapsedMs >= 150 && (operations['touch']?.count ?? 0) > 0) enough.abort();
  };
  return run(name, override, { signal: enough.signal, onProgress });
}

describe('every preset', () => {
  it.each(names)('%s is valid and says what it asks and what to look for', (name) => {
    const path = join(config, name);
    const profile = readDocument(path, profileSchema, [], profileComplaints);
    for (const vm of profile.vms) expect(memslotSequence(vm, path).steps.length).toBeGreaterThan(0);
    const text = readFileSync(path, 'utf8');
    expect(text).toMatch(/^# yaml-language-server: \$schema=\.\/schema\/profile\.json\n# /);
    if (name !== 'quickstart.yaml') expect(text).toMatch(/\n# Question: .*\?/);
    expect(text).toMatch(/\n# Look at: /);
  });

  it('is in the table of the documentation', () => {
    const page = readFileSync(join(config, '../docs/load.md'), 'utf8');
    expect(names.filter((name) => !page.includes(`\`${name.replace('.yaml', '')}\``))).toEqual([]);
  });
});

describe('a preset', () => {
  const quiet = [
    'lock-mmu',
    'conversion-storm',
    'overlapping-punch',
    'allocation-failure',
    'rmp-in-use',
    'swarm',
    'host-activity',
    'soak',
  ];
  it.each(quiet)('%s finds nothing wrong', async (name) => {
    const { violations, operations } = await runBriefly(name, ['thresholds={}', 'host.memory=2GiB']);
    expect(violations).toEqual([]);
    expect(operations['touch']!.count).toBeGreaterThan(0);
  });

  it('lock-busted fails: the harness notices the mistake that is brought back', async () => {
    const { verdict, violations } = await run('lock-busted', []);
    expect(verdict).toBe('violated');
    expect(violations.length).toBeGreaterThan(0);
  });
});
