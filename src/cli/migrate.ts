import type { Environment } from '../config/env.ts';
import { migrate, schemaVersion } from '../store/migrate.ts';
import { createLog } from '../telemetry/log.ts';
import { withStore } from './store.ts';

/** `tocsin migrate`: brings the schema up to this release; says what was done. Gives the exit code. */
export async function runMigrate(options: {
  environment: Environment;
  json: boolean;
  out: (text: string) => void;
  err: (text: string) => void;
}): Promise<number> {
  const { environment, json, out } = options;
  return withStore(
    environment,
    async (pool) => {
      const { applied } = await migrate(pool, { log: createLog({ level: 'warn' }) });
      const version = await schemaVersion(pool);
      if (json) out(`${JSON.stringify({ applied, version })}\n`);
      else
        out(
          applied.length === 0
            ? `The schema is up to date (${version}).\n`
            : `Applied ${applied.join(', ')}; the schema is at ${version}.\n`,
        );
      return 0;
    },
    { empty: true },
  );
}
