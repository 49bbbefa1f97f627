import type { Environment } from '../config/env.ts';
import { loadAuditKey, readAudit, verifyAudit } from '../store/audit.ts';
import { withStore } from './store.ts';

type Options = { environment: Environment; json: boolean; out: (text: string) => void; err: (text: string) => void };

/** `tocsin audit verify`: 0 when the trail is whole, 1 when anything in it was changed or removed. */
export async function runAuditVerify({ environment, json, out, err }: Options): Promise<number> {
  return withStore(environment, async (pool) => {
    const verdict = await verifyAudit(pool, loadAuditKey(environment.dataDir));
    if (json) out(`${JSON.stringify(verdict)}\n`);
    else if (verdict.ok) out(`The audit trail is whole: ${verdict.rows} entries.\n`);
    else err(`The audit trail is broken: ${verdict.fault}.\n`);
    return verdict.ok ? 0 : 1;
  });
}

/** `tocsin audit export`: every entry as one JSON line, oldest first. */
export async function runAuditExport({ environment, out }: Options): Promise<number> {
  return withStore(environment, async (pool) => {
    for await (const row of readAudit(pool)) out(`${JSON.stringify({ ...row, at: new Date(row.at).toISOString() })}\n`);
    return 0;
  });
}
