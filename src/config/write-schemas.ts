import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { jsonSchemas } from './json-schema.ts';

/** Writes the JSON Schemas beside the shipped sample: run it after a change to schema.ts (a test fails until then). */
const folder = join(import.meta.dirname, '../../config/schemas');
mkdirSync(folder, { recursive: true });
for (const [name, text] of Object.entries(jsonSchemas())) writeFileSync(join(folder, name), text);
