import {
  BusinessFile,
  type Config,
  PatternsFile,
  RoutingFile,
  SuppressionFile,
  TocsinFile,
} from '../../src/config/schema.ts';
import { keepSecrets } from '../../src/config/secrets.ts';

/** A config as the loader gives it, from the plain data of tocsin.yaml and the values of the variables it names. */
export function doorConfig(tocsin: unknown = {}, env: Record<string, string> = {}): Config {
  return {
    dir: 'test',
    hash: 'test',
    provenance: {},
    tocsin: TocsinFile.parse(tocsin),
    business: BusinessFile.parse({}),
    routing: RoutingFile.parse({}),
    suppression: SuppressionFile.parse({}),
    patterns: PatternsFile.parse({}),
    secrets: keepSecrets(Object.entries(env).map(([name, value]) => [JSON.stringify({ env: name }), value])),
    warnings: [],
  };
}
