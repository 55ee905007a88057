// Bad input as a user meets it: one line with the place, code 2, nothing written; and the same whether a run is asked for or only a dry one.
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { folder, runHere } from './child.js';

const HEAD = 'host: { memory: 64MiB }\n';
const GUEST = 'vms:\n  - { name: g, memory: 4MiB }\n';
const REST = 'actors:\n  - { kind: vcpu }\nduration: 100ms\n';
const bomb = ['a: &a [x,x,x,x,x,x,x,x,x]'];
for (const [n, name] of ['b', 'c', 'd', 'e', 'f', 'g'].entries()) {
  const before = 'abcdef'[n];
  bomb.push(`${name}: &${name} [${Array.from({ length: 9 }, () => `*${before}`).join()}]`);
}

/** Lines of stderr, and what is left behind. */
async function refused(profile: string, ...args: string[]): Promise<{ lines: string[]; left: string[] }> {
  const cwd = folder(profile);
  const { code, stdout, stderr } = await runHere(cwd, 'torture', 'small.yaml', ...args);
  expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
  return { lines: stderr.replaceAll(`${cwd}/`, '').replaceAll(cwd, '.').trimEnd().split('\n'), left: readdirSync(cwd) };
}

describe('a profile that no run can use', () => {
  it.each([
    [
      'hook',
      `${HEAD}${GUEST}${REST}hook: ./no.js\n`,
      /^small\.yaml:7:7: hook: no\.js: no such file; write none, snp, or /,
    ],
    [
      'layout',
      `host: { layout: no.yaml }\n${GUEST}${REST}`,
      /^small\.yaml:1:17: host\.layout: no\.yaml: no such layout/,
    ],
    ['costs', `${HEAD}${GUEST}${REST}costs: no.yaml\n`, /^small\.yaml:7:8: costs: no\.yaml: no such file of costs$/],
    [
      'memslots',
      `${HEAD}vms:\n  - { name: g, memslots: no.yaml }\n${REST}`,
      /^small\.yaml:3:26: vms\.0\.memslots: no\.yaml: no such file$/,
    ],
    [
      'a folder for memslots',
      `${HEAD}vms:\n  - { name: g, memslots: ./ }\n${REST}`,
      /^small\.yaml:3:26: vms\.0\.memslots: .*: a folder, not a file$/,
    ],
    [
      'a variant that there is not',
      `${HEAD}${GUEST}${REST}variants: [B05, B99]\n`,
      /^small\.yaml:7:17: variants\.1: 'B99' is unknown; did you mean B/,
    ],
    [
      'variants of a build that has none',
      `${HEAD}${GUEST}${REST}build: fast\nvariants: [B05]\n`,
      /^small\.yaml:8:11: variants: the fast build has none; use build: perturbed$/,
    ],
    ['memory: 1', `host: { memory: 1 }\n${GUEST}${REST}`, /^small\.yaml:1:17: host\.memory: 1 bytes are too few; at /],
    ['memory: 0GiB', `host: { memory: 0GiB }\n${GUEST}${REST}`, /^small\.yaml:1:17: host\.memory: .* a size above 0, /],
    [
      'more memory than any host has',
      `host: { memory: 99999999TiB }\n${GUEST}${REST}`,
      /^small\.yaml:1:17: host\.memory: 99999999TiB is more than 16 shards of 514GiB hold$/,
    ],
    [
      'memory of parts of pages',
      `${HEAD}vms:\n  - { name: g, memory: 1000 }\n${REST}`,
      /^small\.yaml:3:24: vms\.0\.memory: 1000 bytes are no whole pages; expected a multiple of 4096$/,
    ],
    [
      'a guest without memory',
      `${HEAD}vms:\n  - { name: g, memory: 0MiB }\n${REST}`,
      /^small\.yaml:3:24: vms\.0\.memory: expected a size above 0, such as 64GiB$/,
    ],
    [
      'one ASID for three guests',
      `${HEAD}vms:\n  - { name: g, memory: 4MiB, asid: 5, count: 3 }\n${REST}`,
      /^small\.yaml:3:36: vms\.0\.asid: an ASID is one guest's, and there are 3 guests of this kind; write auto$/,
    ],
    [
      'one ASID for two kinds of guests',
      `${HEAD}vms:\n  - { name: g, asid: 5 }\n  - { name: h, asid: 5 }\n${REST}`,
      /^small\.yaml:4:22: vms\.1\.asid: an ASID is one guest's, and vms\.0 has it already; write auto$/,
    ],
    [
      'a rate of nothing',
      `${HEAD}${GUEST}${REST.replace('vcpu', 'vcpu, rate: 0/s')}`,
      /^small\.yaml:5:25: actors\.0\.rate: expected a rate above 0, such as 2000\/s or 5k\/s$/,
    ],
    [
      'no duration',
      `${HEAD}${GUEST}${REST.replace('100ms', '0.0s')}`,
      /^small\.yaml:6:11: duration: expected a duration above 0, such as 250ms, 15s or 1h$/,
    ],
    [
      'a duration beyond all clocks',
      `${HEAD}${GUEST}${REST.replace('100ms', '99999999999999999999h')}`,
      /^small\.yaml:6:11: duration: 99999999999999999999h is too long; at most 250000h$/,
    ],
    [
      'a patience too short for anything',
      `${HEAD}${GUEST}${REST}stuckAfter: 1ns\n`,
      /^small\.yaml:7:13: stuckAfter: 1ns is too short; at least 1ms$/,
    ],
    [
      'a seed beyond 64 bits',
      `${HEAD}${GUEST}${REST}seed: '99999999999999999999'\n`,
      /^small\.yaml:7:7: seed: expected a whole number below 2\^64, decimal or 0x, in quotes from 2\^53 on$/,
    ],
    [
      'a seed that no double holds',
      `${HEAD}${GUEST}${REST}seed: 0xffffffffffffffff\n`,
      /^small\.yaml:7:7: seed: expected a whole number below 2\^64, decimal or 0x, in quotes from 2\^53 on$/,
    ],
    [
      'aliases without end',
      `${bomb.join('\n')}\n`,
      /^small\.yaml:2:8: aliases \(\*name\) that repeat so much are not /,
    ],
    [
      'two documents in one file',
      `${HEAD}${GUEST}${REST}---\n${HEAD}`,
      /^small\.yaml:7:1: a second document begins here; expected one in a file$/,
    ],
    ['nothing in it', '# nothing\n', /^small\.yaml:1:1: the document is empty; expected vms and actors at least$/],
    ['no actors', `${HEAD}${GUEST}`, /^small\.yaml:1:1: actors: missing; expected array$/],
  ])('for its %s is refused in one line with the place, with --dry-run, too', async (_, profile, message) => {
    const dry = await refused(profile, '--dry-run');
    expect(dry.lines).toEqual([expect.stringMatching(message)]);
    expect(await refused(profile)).toEqual(dry);
    expect(dry.left).toEqual(['small.yaml']);
  });

  it('is told of with the place where only the run finds out', async () => {
    const guests = `${HEAD}vms:\n  - { name: g, memory: 4MiB }\n  - { name: h, memory: 4MiB, asid: 1 }\n`;
    const { lines, left } = await refused(`${guests}${REST}`);
    expect(lines).toEqual([
      expect.stringMatching(/^small\.yaml:4:5: vms\.1: ASID 1 is that of another guest already; /),
    ]);
    expect(left).toEqual(['small.yaml']);
  });

  it('a hook that is no function has the place of the hook', async () => {
    const cwd = folder(`${HEAD}${GUEST}${REST}hook: ./no-function.mjs\n`);
    writeFileSync(join(cwd, 'no-function.mjs'), 'export default 1;\n');
    const { code, stderr } = await runHere(cwd, 'torture', 'small.yaml', '--dry-run');
    expect(code).toBe(2);
    expect(stderr).toMatch(
      /small\.yaml:7:7: hook: \S+no-function\.mjs: it has no function as its default export; .*\n$/,
    );
  });
});

describe('an option that no run can use', () => {
  it.each([
    [['--set', 'actors.5.kind=vcpu'], '--set actors.5.kind=vcpu: actors has 1, numbered from 0; 1 would add one'],
    [['--set', 'duration.x=1'], '--set duration.x=1: duration has no keys, but a value'],
    [
      ['--set', 'actors.first=1'],
      "--set actors.first=1: actors is a list; expected a number from 0 to 1 in place of 'first'",
    ],
    [['--duration', ''], "--duration '': duration: expected a duration above 0, such as 250ms, 15s or 1h"],
    [['--duration', '0s'], '--duration 0s: duration: expected a duration above 0, such as 250ms, 15s or 1h'],
    [['--protocol', 'v9'], /^--protocol v9: protocol: .*"rfc-v7"/],
    [['--seed', '99999999999999999999'], '--seed 99999999999999999999: expected a number below 2^64, decimal or 0x'],
    [['--seed', '18446744073709551616'], '--seed 18446744073709551616: expected a number below 2^64, decimal or 0x'],
  ])('is blamed itself, in one line: %j', async (args, message) => {
    const { lines } = await refused(`${HEAD}${GUEST}${REST}`, ...args, '--dry-run');
    expect(lines).toEqual([typeof message === 'string' ? message : expect.stringMatching(message)]);
  });

  it('a new entry at the end of a list is none of them', async () => {
    const cwd = folder(`${HEAD}${GUEST}${REST}`);
    const { code, stdout } = await runHere(
      cwd,
      'torture',
      'small.yaml',
      '--dry-run',
      '--set',
      'actors.1.kind=converter',
    );
    expect(code).toBe(0);
    expect(stdout).toContain('kind: converter # --set actors.1.kind=converter\n');
  });
});

describe('a scenario whose set-up fails', () => {
  const SCENARIO = `name: s
host: { pages: 16 }
files: { f: { pages: 32 } }
setup:
  - { op: allocate, file: f, start: 0, pages: 2 }
  - { op: allocate, file: f, start: 2, pages: 30 }
threads:
  a: [{ op: punch-hole, file: f, start: 0, pages: 1 }]
`;
  it.each([
    ['s.yaml', SCENARIO, /^\S+\/s\.yaml:6:5: setup\.1: set-up: operation 2 \(allocate\): ENOSPC\n$/],
    [
      's.yaml',
      `${SCENARIO}variants: [B99]\n`,
      /^\S+\/s\.yaml:9:12: no variant is called 'B99'; known are as-posted, .*\n$/,
    ],
  ])('is told of with its place', async (name, text, message) => {
    const cwd = folder();
    writeFileSync(join(cwd, name), text);
    const { code, stderr } = await runHere(cwd, 'explore', name, '--executions', '2');
    expect(stderr).toMatch(message);
    expect({ code, left: readdirSync(cwd) }).toEqual({ code: 2, left: ['s.yaml', 'small.yaml'] });
  });
});

describe('a folder where a file is wanted', () => {
  it.each([
    ['torture', 'd.yaml', /d\.yaml: a folder, not a file\n$/],
    ['explore', 'd.ts', /d\.ts: a folder, not a file\n$/],
    ['explore', 'd.yaml', /d\.yaml: a folder, not a file\n$/],
    ['replay', 'd.json', /d\.json: a folder, not a file\n$/],
    ['import', 'd.log', /d\.log: a folder, not a file\n$/],
  ])('of %s %s is called one', async (command, name, message) => {
    const cwd = folder();
    mkdirSync(join(cwd, name));
    const { code, stderr } = await runHere(cwd, command, name);
    expect(stderr).toMatch(message);
    expect({ code, left: readdirSync(cwd) }).toEqual({ code: 2, left: [name, 'small.yaml'] });
  });
});
