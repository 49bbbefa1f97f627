import { z } from 'zod';
import { type FileName, fileNames, files } from './schema.ts';

/** The name of a file's JSON Schema: `tocsin.schema.json` for `tocsin.yaml`. */
const schemaName = (name: FileName): string => name.replace(/\.yaml$/, '.schema.json');

/**
 * The JSON Schemas (draft 2020-12) of the tree as a person writes it, for editors, by file name; made from the same zod
 * schemas that check the tree, so that they cannot disagree. `node src/config/write-schemas.ts` writes them to
 * config/schemas.
 */
export function jsonSchemas(): Record<string, string> {
  return Object.fromEntries(
    fileNames.map((name) => {
      const schema = z.toJSONSchema(files[name], { io: 'input' });
      return [schemaName(name), `${JSON.stringify({ title: `Tocsin ${name}`, ...schema }, null, 2)}\n`];
    }),
  );
}
