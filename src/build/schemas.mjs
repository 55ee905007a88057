// Writes config/schema/*.json, the JSON Schemas of all documents, out of the schemas that the program itself uses. `node src/build/schemas.mjs` after `npm run setup`.
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { ROOT } from './files.mjs';

const { jsonSchemas } = await import(path.join(ROOT, 'dist/src/schemas/index.js'));
for (const [name, schema] of Object.entries(jsonSchemas())) {
  writeFileSync(path.join(ROOT, 'config/schema', `${name}.json`), `${JSON.stringify(schema, null, 2)}\n`);
}
