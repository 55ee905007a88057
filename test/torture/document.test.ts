// Reading profiles: every mistake is one line with file, line and column, and says what would be right.
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { nearest } from '#src/host/issues.js';
import { readDocument } from '#src/torture/document.js';
import { thresholdComplaints } from '#src/torture/thresholds.js';
import { memslotsSchema, profileJsonSchema, profileSchema } from '#src/torture/schema.js';

const folder = mkdtempSync(join(tmpdir(), 'profile-'));
let files = 0;

function write(text: string): string {
  const path = join(folder, `p${files++}.yaml`);
  writeFileSync(path, text);
  return path;
}

const LEAST = 'vms:\n  - { name: a }\nactors:\n  - { kind: vcpu }\n';

function complaint(text: string, override: string[] = []): string {
  const path = write(text);
  try {
    readDocument(path, profileSchema, override, thresholdComplaints);
  } catch (error) {
    return (error as Error).message.replaceAll(path, 'p.yaml');
  }
  throw new Error('the profile was accepted');
}

describe('a profile', () => {
  it('needs only guests and actors; everything else has a default', () => {
    const profile = readDocument(write(LEAST), profileSchema);
    expect(profile.protocol).toBe('rfc-v8');
    expect(profile.build).toBe('perturbed');
    expect(profile.actors[0]).toMatchObject({ kind: 'vcpu', threads: 1, range: { pages: [1, 512], align: 1 } });
  });

  it('names an unknown key with its place and the nearest known key', () => {
    expect(complaint(`${LEAST}duratoin: 5s\n`)).toBe("p.yaml:5:1: unknown key 'duratoin'; did you mean 'duration'?");
  });

  it('names an unknown key of a nested mapping', () => {
    expect(complaint('vms:\n  - { name: a, vcpu: 2 }\nactors:\n  - { kind: vcpu }\n')).toBe(
      "p.yaml:2:16: vms.0: unknown key 'vcpu'; did you mean 'vcpus'?",
    );
  });

  it('names a word that is none of those known, and the nearest of them', () => {
    expect(complaint('vms:\n  - { name: a }\nactors:\n  - { kind: invaldator }\n')).toBe(
      "p.yaml:4:13: actors.0.kind: 'invaldator' is not known; did you mean 'invalidator'?",
    );
    expect(complaint(`${LEAST}protocol: guest-memf\n`)).toBe(
      "p.yaml:5:11: protocol: 'guest-memf' is not known; did you mean 'guest-memfd'?",
    );
  });

  it('points at a value that is not understood', () => {
    expect(complaint(`${LEAST}duration: soon\n`)).toMatch(/^p\.yaml:5:11: duration: .*15s/);
  });

  it('points at a syntax error', () => {
    expect(complaint('vms: [\n')).toMatch(/^p\.yaml:\d+:\d+: /);
  });

  it('refuses a range whose bounds are the wrong way round', () => {
    expect(complaint('vms:\n  - { name: a }\nactors:\n  - { kind: invalidator, range: { pages: [9, 1] } }\n')).toMatch(
      /^p\.yaml:4:\d+: actors\.0\.range\.pages: the first number/,
    );
  });

  it('looks into the kind of value that was meant where there are several', () => {
    expect(complaint(LEAST, ['perturb.longHolds={}'])).toBe(
      "--set perturb.longHolds={}: perturb: unknown key 'longHolds'; did you mean 'longHold'?",
    );
    expect(complaint(LEAST, ['perturb.victim.threads=0'])).toMatch(/: perturb\.victim\.threads: Too small/);
    expect(complaint(LEAST, ['perturb=storm'])).toContain(': perturb: swarm, or a mapping such as { ');
    expect(complaint(LEAST, ['costs.psmash=3'])).toContain(': costs.psmash: a time such as 400ns');
  });

  it('says that a file does not exist', () => {
    expect(() => readDocument('/nowhere/x.yaml', profileSchema)).toThrow('/nowhere/x.yaml: no such file');
  });

  it('is overridden by key=value pairs, also inside lists', () => {
    const profile = readDocument(write(LEAST), profileSchema, [
      'duration=3s',
      'actors.0.threads=4',
      'host.partitions=1',
    ]);
    expect(profile.duration).toBe('3s');
    expect(profile.actors[0]!.threads).toBe(4);
    expect(profile.host.partitions).toBe(1);
  });

  it('points at the key of a threshold whose operation or metric does not exist, at the value of one that makes no sense', () => {
    const text = `${LEAST}thresholds: { punch_hoel.p99: "< 5ms", touch.p95: "< 1s", touch.p99: "quick" }\n`;
    expect(complaint(text).split('\n')).toEqual([
      "p.yaml:5:15: thresholds.punch_hoel.p99: no operation is called 'punch_hoel'; did you mean 'punch_hole'?",
      expect.stringMatching(/^p\.yaml:5:40: thresholds\.touch\.p95: 'p95' is no metric of touch; known are min, /),
      expect.stringMatching(/^p\.yaml:5:70: thresholds\.touch\.p99: "quick" is not understood; write for example /),
    ]);
  });

  it('names the override that brought a mistake, and takes the dots in the key of a threshold as they are', () => {
    expect(complaint(LEAST, ['thresholds.touhc.p99="< 1ms"'])).toBe(
      `--set thresholds.touhc.p99="< 1ms": thresholds.touhc.p99: no operation is called 'touhc'; did you mean 'touch'?`,
    );
    expect(complaint(LEAST, ['duration=soon'])).toMatch(/^--set duration=soon: duration: /);
    expect(complaint(LEAST, ['duratoin=1s'])).toBe(
      "--set duratoin=1s: unknown key 'duratoin'; did you mean 'duration'?",
    );
    const profile = readDocument(write(LEAST), profileSchema, ['thresholds.touch.p99="< 1ms"'], thresholdComplaints);
    expect(profile.thresholds).toEqual({ 'touch.p99': '< 1ms' });
  });

  it('refuses an override without a value', () => {
    expect(complaint(LEAST, ['duration'])).toContain('expected key=value');
  });
});

describe('the shipped configuration', () => {
  const config = fileURLToPath(new URL('../../config/', import.meta.url));

  it('has profiles that are valid', () => {
    for (const name of readdirSync(config).filter((file) => file.endsWith('.yaml'))) {
      expect(() => readDocument(join(config, name), profileSchema), name).not.toThrow();
    }
  });

  it('has memslot sequences that are valid', () => {
    const names = readdirSync(join(config, 'memslots'));
    expect(names.length).toBeGreaterThan(0);
    for (const name of names)
      expect(() => readDocument(join(config, 'memslots', name), memslotsSchema), name).not.toThrow();
  });

  it('has the JSON Schema of the profile as the code defines it', () => {
    const shipped = JSON.parse(readFileSync(join(config, 'schema/profile.json'), 'utf8')) as unknown;
    expect(shipped).toEqual(JSON.parse(JSON.stringify(profileJsonSchema())));
  });
});

describe('the nearest known word', () => {
  it('is found when a letter is missing, wrong or swapped', () => {
    expect(nearest('tread', ['threads', 'rate'])).toBe('threads');
    expect(nearest('seeed', ['seed', 'vms'])).toBe('seed');
    // Two letters the wrong way round are one mistake.
    expect(nearest('falgs', ['files', 'flags'])).toBe('flags');
  });

  it('is not offered when nothing is close', () => {
    expect(nearest('xyzzy', ['threads', 'rate'])).toBeUndefined();
  });
});
