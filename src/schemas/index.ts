// The JSON Schema of every document that a command writes, as config/schema has them: `node src/build/schemas.mjs` writes those.
import { z } from 'zod';
import { checkpointSchema } from '../explore/checkpoint.js';
import { scenarioSchema } from '../explore/schema.js';
import { traceSchema } from '../explore/trace-file.js';
import { tortureResultSchema } from './torture.js';
import { profileJsonSchema } from '../torture/schema.js';
import { exploreSchema, replaySchema, reproSchema } from './explore.js';
import { benchSchema, compareSchema, dryRunSchema, importSchema, reportSchema } from './load.js';

/** Documents by the name of their schema's file. */
export const DOCUMENTS: Readonly<Record<string, z.ZodType>> = {
  torture: tortureResultSchema,
  'dry-run': dryRunSchema,
  explore: exploreSchema,
  replay: replaySchema,
  repro: reproSchema,
  trace: traceSchema.describe('A failing execution, which rmptorture replay runs again'),
  checkpoint: checkpointSchema.describe('Where rmptorture explore --resume goes on'),
  compare: compareSchema,
  bench: benchSchema,
  import: importSchema,
  report: reportSchema,
};

/** JSON Schema of a document. It lets through what it does not know: later versions have more. */
function documentJsonSchema(schema: z.ZodType): unknown {
  const strict = JSON.stringify(z.toJSONSchema(schema, { target: 'draft-2020-12', io: 'input' }));
  return JSON.parse(strict, (key, value: unknown) =>
    key === 'additionalProperties' && value === false ? undefined : value,
  ) as unknown;
}

/** All files of config/schema: of the documents, and of what users write. */
export function jsonSchemas(): Record<string, unknown> {
  const documents = Object.entries(DOCUMENTS).map(([name, schema]) => [name, documentJsonSchema(schema)]);
  const scenario = z.toJSONSchema(scenarioSchema, { io: 'input' });
  return { profile: profileJsonSchema(), scenario, ...Object.fromEntries(documents) };
}
