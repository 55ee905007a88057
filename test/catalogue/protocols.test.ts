// Which bugs of the catalogue each protocol can have: what docs/protocols.md says, tried.
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { type Bug, scenarioOf } from '#src/catalogue/bug.js';
import { BUGS } from '#src/catalogue/index.js';
import { explore } from '#src/explore/explore.js';
import { scenarioTarget } from '#src/explore/scenario-target.js';
import { strategyNamed } from '#src/explore/strategies/named.js';
import type { Protocol } from '#src/host/protocols.js';

const page = readFileSync(new URL('../../docs/protocols.md', import.meta.url), 'utf8');
const row = (name: string): string[] => new RegExp(`^\\| ${name} \\| (.*) \\|$`, 'm').exec(page)![1]!.split(' ');
const [BOTH, RFC, GMEM] = ['in both', 'in `rfc-v8` alone', 'in `guest-memfd` alone'].map(row) as [
  string[],
  string[],
  string[],
];

function fails(bug: Bug, protocol: Protocol, executions: number): boolean {
  const target = scenarioTarget({ ...scenarioOf(bug, true), protocol });
  return explore(target, strategyNamed('portfolio'), { executions, seed: 1 }).violation !== undefined;
}

describe('docs/protocols.md', () => {
  it('has each bug in one row', () => {
    expect([...BOTH, ...RFC, ...GMEM].toSorted()).toEqual(BUGS.map(({ id }) => id));
  });

  it.each(BUGS.filter(({ id }) => BOTH.includes(id)))('$id fails by guest-memfd, too', (bug) => {
    expect(fails(bug, 'guest-memfd', 4000)).toBe(true);
  });

  it.each(BUGS.filter(({ id }) => RFC.includes(id)))('$id does not, by guest-memfd', (bug) => {
    expect(fails(bug, 'guest-memfd', 60)).toBe(false);
  });

  it.each(BUGS.filter(({ id }) => GMEM.includes(id)))('$id does not fail by rfc-v8', (bug) => {
    expect(fails(bug, 'rfc-v8', 60)).toBe(false);
  });
});
