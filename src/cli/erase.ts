import { userInfo } from 'node:os';
import type { Environment } from '../config/env.ts';
import { loadAuditKey } from '../store/audit.ts';
import { type Erased, erasePerson } from '../store/erase.ts';
import { withStore } from './store.ts';

/**
 * `tocsin erase PERSON`: removes a person's name and words from the store and the audit trail, which stays whole. Exit
 * code 1 when nobody of that name is known.
 */
export async function runErase({
  environment,
  name,
  json,
  now,
  out,
  err,
}: {
  environment: Environment;
  name: string;
  json: boolean;
  /** Epoch ms. */
  now: number;
  out: (text: string) => void;
  err: (text: string) => void;
}): Promise<number> {
  return withStore(environment, async (pool) => {
    const url = pool.options.connectionString!;
    const by = `cli (${userInfo().username})`;
    const erased = await erasePerson(url, loadAuditKey(environment.dataDir), { name, by, now });
    if (json) out(`${JSON.stringify(erased)}\n`);
    else if (erased) out(inWords(name, erased));
    else
      err(
        `Nobody called ${name} ever did or wrote anything here. Give the name as it stands in the record: GET /api/v1/incidents/N/timeline.\n`,
      );
    return erased ? 0 : 1;
  });
}

function inWords(name: string, { pseudonym, rows, audit }: Erased): string {
  const counted = Object.entries(rows).map(([table, count]) => `${count} in ${table}`);
  const older =
    audit.older > 0
      ? [
          `${audit.older} entries of the trail are of an older release, whose macs cover the name: they keep it until retention.audit removes them.`,
        ]
      : [];
  return [
    `${name} is now ${pseudonym}: ${counted.join(', ') || 'no rows'}, ${audit.erased} parts of the audit trail.`,
    ...older,
    'Not touched, because Tocsin does not own them: the config tree (people, schedules), the log files, backups, and what Slack, PagerDuty and mail hold.',
    '',
  ].join('\n');
}
