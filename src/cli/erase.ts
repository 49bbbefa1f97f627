import { userInfo } from 'node:os';
import type { Environment } from '../config/env.ts';
import { loadAuditKey } from '../store/audit.ts';
import { erasePerson } from '../store/erase.ts';
import { withStore } from './store.ts';

/**
 * `tocsin erase PERSON`: removes a person's name and words from the store and the audit trail, which stays whole. Exit
 * code 1 when nothing of them was found.
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
    const found = Object.keys(erased.rows).length > 0 || erased.audit.erased > 0;
    if (json) out(`${JSON.stringify(erased)}\n`);
    else if (found) out(inWords(name, erased));
    else
      err(
        `Nothing in the store is of ${name}. Names are taken as they stand there: GET /api/v1/incidents/N/timeline.\n`,
      );
    return found ? 0 : 1;
  });
}

function inWords(name: string, { pseudonym, rows, audit }: Awaited<ReturnType<typeof erasePerson>>): string {
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
