import { createHash, randomUUID } from 'node:crypto';
import type { Action, ActionResult } from '../domain/action.ts';
import { findAction, isActionWaiting } from '../store/read.ts';
import type { ApiDeps } from './deps.ts';
import { problem, type Reply } from './problem.ts';

/** How a person's request ended: applied with a result, stored but not applied in time, or not stored. */
export type ActionOutcome =
  | { status: 'answered'; id: string; result: ActionResult }
  | { status: 'stored'; id: string }
  | { status: 'not-stored' };

type Deps = Pick<ApiDeps, 'pool' | 'append' | 'live' | 'log' | 'now' | 'actionTimeoutMs'>;

/** What is looked for again while no notification comes, ms; notifications can be lost with their connection. */
const POLL_MS = 250;
/** How long the store may take to commit before the caller is told to try again, ms. */
const PATIENCE_MS = 10_000;

/**
 * Stores an action durably and waits for the shard owner to apply it (at most `actionTimeoutMs`, default 5 s). An action
 * whose id was used before is not stored again: the caller gets the answer of the first, however often it asks.
 */
export async function perform(deps: Deps, action: Action, repeatable: boolean): Promise<ActionOutcome> {
  const { id } = action;
  if (repeatable) {
    const before = await findAction(deps.pool, id);
    if (before) return { status: 'answered', id, result: before };
    if (await isActionWaiting(deps.pool, id)) return waitFor(deps, id);
  }
  const body = Buffer.from(JSON.stringify(action));
  try {
    await inTime(deps.append({ kind: 'action', source: 'api', receivedAt: deps.now(), trace: id, body }));
  } catch (error) {
    deps.log.error({ err: error, action: id }, 'an action could not be stored; the caller was told to try again');
    return { status: 'not-stored' };
  }
  return waitFor(deps, id);
}

/**
 * The id of an action: random, or made of the caller's `Idempotency-Key` so that a retry names the same action. The key
 * counts per token and per endpoint: a careless client's constant key never swallows another deed.
 */
export function actionId(key: string | undefined, who: string | null, endpoint: string): string {
  if (key === undefined) return randomUUID();
  const digest = createHash('sha256')
    .update(JSON.stringify([who, endpoint, key]))
    .digest('hex');
  return `key-${digest.slice(0, 40)}`;
}

/** Resolves with the action's row, or `stored` when the time is up. Never rejects: an unreadable store is "not yet". */
function waitFor(deps: Deps, id: string): Promise<ActionOutcome> {
  return new Promise((resolve) => {
    let looking = false;
    let again = false;
    const finish = (outcome: ActionOutcome): void => {
      clearInterval(poll);
      clearTimeout(deadline);
      unsubscribe();
      resolve(outcome);
    };
    const look = async (): Promise<void> => {
      if (looking) {
        again = true;
        return;
      }
      looking = true;
      do {
        again = false;
        const result = await findAction(deps.pool, id).catch(() => null);
        if (result) finish({ status: 'answered', id, result });
      } while (again);
      looking = false;
    };
    const unsubscribe = deps.live.onAction(id, () => void look());
    const poll = setInterval(() => void look(), POLL_MS);
    const deadline = setTimeout(() => finish({ status: 'stored', id }), deps.actionTimeoutMs ?? 5_000);
    // It may have been applied between the commit and now.
    void look();
  });
}

/** As `perform` for turning the kill switch on, which must work without the store: `held` when only this process holds it. */
export async function performHeld(
  deps: Deps,
  hold: (action: Action) => Promise<unknown>,
  action: Action,
  repeatable: boolean,
): Promise<ActionOutcome> {
  const holding = { ...deps, append: () => hold(action) };
  try {
    return await perform(holding, action, repeatable);
  } catch {
    // The store could not even be asked whether this was sent before; turning it on twice is turning it on.
    return perform(holding, action, false);
  }
}

async function inTime(work: Promise<unknown>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no commit within ${PATIENCE_MS} ms`)), PATIENCE_MS);
  });
  try {
    await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** The answer for everything but success. */
export function refusal(outcome: ActionOutcome): Reply | null {
  if (outcome.status === 'not-stored') {
    return problem(
      503,
      'The store cannot take this now, so nothing was done; send it again.',
      {},
      { 'retry-after': '5' },
    );
  }
  if (outcome.status === 'stored') {
    const detail =
      'Stored, and applied as soon as the work side gets to it; look at the incident again in a few seconds.';
    return { status: 202, body: { id: outcome.id, status: 'stored', detail } };
  }
  const { status, detail } = outcome.result;
  return status < 300 ? null : problem(status, detail);
}
