// Documents that commands print or write, held against their schemas.
import { expect } from 'vitest';
import { z } from 'zod';
import { DOCUMENTS } from '#src/schemas/index.js';

/** Names of the schemas by what `schema` says: `profile` is the dry run's. */
const NAMES: Record<string, string> = { profile: 'dry-run' };

/** The document in a text, which has all the fields of its schema and no others. */
export function documentIn(text: string): unknown {
  const document = JSON.parse(text) as { schema?: string };
  const kind = /^rmptorture\/([a-z]+)\/1$/.exec(document.schema ?? '')?.[1];
  const schema = DOCUMENTS[NAMES[kind ?? ''] ?? kind ?? ''];
  expect(schema, `a schema for ${document.schema}`).toBeDefined();
  const { error } = schema!.safeParse(document);
  if (error !== undefined) throw new Error(`${document.schema}: ${z.prettifyError(error)}`);
  return document;
}
