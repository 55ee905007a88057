// The API reference in docs/api is made of the declarations: it is fresh, and nothing that is exported lacks its doc comment.
import { readFileSync, readdirSync } from 'node:fs';
import { describe, expect, it } from 'vitest';

interface Declaration {
  name: string;
  kind: string;
  doc: string;
  members: { code: string; doc: string }[];
}
const GENERATOR = new URL('../src/build/api-docs.mjs', import.meta.url).href;
const { apiPages, exportsOf } = (await import(GENERATOR)) as {
  apiPages: () => Record<string, string>;
  exportsOf: (entry: string) => Declaration[];
};

const ENTRIES = ['index.d.ts', 'shm/index.d.ts', 'explorer.d.ts'];

describe('docs/api', () => {
  it('is what `node src/build/api-docs.mjs` writes, and nothing else', () => {
    const pages = apiPages();
    expect(readdirSync('docs/api').toSorted()).toEqual(Object.keys(pages).toSorted());
    for (const [page, text] of Object.entries(pages)) expect(readFileSync(`docs/api/${page}`, 'utf8'), page).toBe(text);
  });

  it.each(ENTRIES)('has each export of %s with its doc comment', (entry) => {
    const names = exportsOf(entry).map(({ name }) => name);
    const compiled = readFileSync(`dist/src/${entry.replace('.d.ts', '.js')}`, 'utf8');
    // What exists at run time is there, by another way of reading than the generator's.
    const atRunTime = [...compiled.matchAll(/export \{([^}]*)\}/g)].flatMap(([, list]) =>
      list!.split(',').map((name) => name.trim()),
    );
    expect(names).toEqual(expect.arrayContaining(atRunTime.filter((name) => name !== '')));
    const bare = exportsOf(entry).filter(({ doc }) => doc === '');
    expect(bare.map(({ name }) => name)).toEqual([]);
  });

  it.each(ENTRIES)('has each method of the classes of %s with its doc comment', (entry) => {
    const bare = exportsOf(entry).flatMap(({ name, kind, members }) =>
      kind !== 'class'
        ? []
        : members
            .filter(({ code, doc }) => doc === '' && code.includes('(') && !code.startsWith('constructor('))
            .map(({ code }) => `${name}.${code}`),
    );
    expect(bare).toEqual([]);
  });

  it('shows members, types and functions as they are declared', () => {
    const text = readFileSync('docs/api/rmptorture.md', 'utf8');
    expect(text).toContain('\n## Host\n\n[class in src/host/host.ts](../../src/host/host.ts)\n\nA host: ');
    expect(text).toContain('\n- `static create(options?: HostOptions): Promise<Host>`\n  Boots a host. ');
    expect(text).toContain('\n```ts\nfunction workload(options: WorkloadOptions): Workload<WorkloadResult>;\n```\n');
    expect(text).not.toContain('#private');
  });

  it('shows with a class what it has from classes that have no place of their own, each member once', () => {
    const members = (entry: string, name: string): string[] =>
      exportsOf(entry)
        .find((each) => each.name === name)!
        .members.map(({ code }) => code);
    const lock = members('shm/index.d.ts', 'RwSem');
    expect(lock).toEqual(expect.arrayContaining(['withWrite<T>(body: () => T): T', 'readonly address: number']));
    expect(lock.filter((code) => code.includes('readLock('))).toEqual(['readLock(): void']);
    expect(members('index.d.ts', 'KernelError')).not.toContain('readonly code: string');
  });
});
