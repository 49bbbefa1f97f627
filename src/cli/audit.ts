import type { Environment } from '../config/env.ts';
import { loadAuditKey, parseHead, readAudit, verifyAudit } from '../store/audit.ts';
import { withStore } from './store.ts';

type Options = { environment: Environment; json: boolean; out: (text: string) => void; err: (text: string) => void };

/**
 * `tocsin audit verify [--head ID:MAC]`: 0 when the trail is whole and holds the head that was logged, 1 when anything in it
 * was changed or removed, 2 when the head is none.
 */
export async function runAuditVerify({
  environment,
  head,
  json,
  out,
  err,
}: Options & { head: string | null }): Promise<number> {
  const logged = head === null ? null : parseHead(head);
  if (head !== null && logged === null) {
    err('--head is not ID:MAC as it stands in the log ("audit trail head").\n');
    return 2;
  }
  return withStore(environment, async (pool) => {
    const verdict = await verifyAudit(pool, loadAuditKey(environment.dataDir), { head: logged });
    if (json) out(`${JSON.stringify(verdict)}\n`);
    else if (verdict.ok) out(`The audit trail is whole: ${verdict.rows} entries.\n`);
    else err(`The audit trail is broken: ${verdict.fault}.\n`);
    return verdict.ok ? 0 : 1;
  });
}

/** `tocsin audit export`: every entry as one JSON line, oldest first. */
export async function runAuditExport({ environment, out }: Omit<Options, 'json'>): Promise<number> {
  return withStore(environment, async (pool) => {
    for await (const row of readAudit(pool)) out(`${JSON.stringify({ ...row, at: new Date(row.at).toISOString() })}\n`);
    return 0;
  });
}
