// config/schema: a JSON Schema for each document, made of the schemas that the program uses. That real documents keep to them is seen wherever tests make some (schemas.ts).
import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { DOCUMENTS, jsonSchemas } from '#src/schemas/index.js';
import { documentIn } from '../schemas.js';

const made = jsonSchemas();

describe('config/schema', () => {
  it.each(Object.keys(made))('%s.json is what `node src/build/schemas.mjs` writes', (name) => {
    const shipped = JSON.parse(readFileSync(`config/schema/${name}.json`, 'utf8')) as unknown;
    expect(shipped).toEqual(JSON.parse(JSON.stringify(made[name])));
  });

  it('has no others', () => {
    const names = Object.keys(made).map((name) => `${name}.json`);
    expect(new Set(readdirSync('config/schema'))).toEqual(new Set(names));
  });

  it.each(Object.keys(DOCUMENTS))('%s.json lets documents have more, but not less', (name) => {
    expect(JSON.stringify(made[name])).not.toContain('"additionalProperties":false');
    expect(made[name]).toMatchObject({ required: expect.arrayContaining(['schema']) });
  });
});

describe('a document', () => {
  const replay = {
    schema: 'rmptorture/replay/1',
    command: 'replay',
    trace: 't.json',
    verdict: 'violation',
    failure: { kind: 'balance', message: 'm', thread: 'a' },
  };

  it('that lacks a field, or has one that no schema knows, does not pass as its kind in tests', () => {
    expect(documentIn(JSON.stringify(replay))).toEqual(replay);
    expect(() => documentIn(JSON.stringify({ ...replay, verdict: undefined }))).toThrow(/verdict/);
    expect(() => documentIn(JSON.stringify({ ...replay, surprise: 1 }))).toThrow(/surprise/);
    expect(() => documentIn(JSON.stringify({ ...replay, schema: 'rmptorture/other/1' }))).toThrow(/other/);
  });
});
