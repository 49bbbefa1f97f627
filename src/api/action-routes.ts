import { z } from 'zod';
import { parseDuration } from '../config/schema.ts';
import {
  type Action,
  type ActionName,
  actionBodies,
  actionNames,
  declareBody,
  killSwitchBody,
} from '../domain/action.ts';
import { Incident } from '../domain/incident.ts';
import { killSwitchInWords } from '../domain/kill-switch.ts';
import { readKillSwitchRow } from '../store/ledger.ts';
import { findIncident, findIncidentId } from '../store/read.ts';
import { actionId, perform, performHeld, refusal } from './actions.ts';
import type { ApiDeps } from './deps.ts';
import { noIncidentAnyMore, unknownAlert } from './gone.ts';
import { badRequest, plain } from './parse.ts';
import { ok, problem, type Reply } from './problem.ts';
import { bad, type Context, type Endpoint, endpoint, missing, problemAnswer } from './route.ts';
import * as schemas from './schemas.ts';
import { incidentView, iso } from './views.ts';

/** The endpoints by which people act. Each stores a deed, waits for the shard owner to apply it, and shows what it came to. */

const acted = {
  200: { description: 'Done; the incident as it is then', schema: Incident },
  202: { description: 'Stored, not applied within 5 s; it will be', schema: schemas.Stored },
  ...bad,
  ...missing,
  409: problemAnswer('The incident does not allow it now'),
  410: problemAnswer('There was such an incident; retention has removed it'),
  503: problemAnswer('Not stored: send it again'),
};
const idempotency = {
  'Idempotency-Key': 'A repeat of a request with the same key does nothing more and gets the answer of the first',
};

const summaries: Record<ActionName, string> = {
  acknowledge: 'Somebody takes care: escalation stops',
  resolve: 'It is over',
  reopen: 'It is not over after all',
  snooze: 'No escalation until then (`until` or `for`)',
  silence: 'No notification about these alerts until then (`until` or `for`)',
  assign: 'To a `team` or a `person`',
  escalate: 'Fire the next escalation step now',
  merge: 'Make it one with another incident (`into`); the elder lives on and is the answer',
  split: 'Move these alerts to an incident of their own, which is the answer',
  note: 'Write into the timeline',
  feedback: 'Say what was right or wrong: grouping, cause, noise; stored as a label, the last word of a person counts',
};

function actionEndpoint(name: ActionName): Endpoint {
  return endpoint({
    method: 'post',
    path: `/api/v1/incidents/{id}/${name}`,
    tag: 'actions',
    summary: summaries[name],
    role: 'responder',
    params: schemas.IncidentParams,
    headers: idempotency,
    body: strictBodies[name] as z.ZodType<{ by: string } & Record<string, unknown>>,
    answers: acted,
    handle: async (context) => {
      const { deps, params } = context;
      const id = await findIncidentId(deps.pool, params.id);
      if (id === null) return noIncidentAnyMore(deps.pool, params.id);
      const { by, ...body } = context.body;
      const fault = timeFault(body, deps.now());
      if (fault) return badRequest('Member', [fault]);
      if (name === 'merge') {
        const into = await findIncidentId(deps.pool, String(body.into));
        if (into === null) return noIncidentAnyMore(deps.pool, String(body.into));
        body.into = into;
      }
      if (name === 'feedback') {
        const unknown = await unknownAlert(deps.pool, body);
        if (unknown !== null) return unknown;
      }
      return act(context, { do: name, incident: { id }, by, body }, `${name} ${id}`);
    },
  });
}

/** The domain's bodies, closed: a mistyped member is said instead of ignored. */
const strictBodies: Record<ActionName, z.ZodType> = {
  acknowledge: actionBodies.acknowledge.strict(),
  resolve: actionBodies.resolve.strict(),
  reopen: actionBodies.reopen.strict(),
  snooze: exactlyOne(actionBodies.snooze.strict(), 'until', 'for'),
  silence: exactlyOne(actionBodies.silence.strict(), 'until', 'for'),
  assign: exactlyOne(actionBodies.assign.strict(), 'team', 'person'),
  escalate: actionBodies.escalate.strict(),
  // `number` of an incident is a number: it may come as one.
  merge: actionBodies.merge.extend({ into: z.union([plain(128).min(1), z.int()]) }).strict(),
  split: actionBodies.split.strict(),
  note: actionBodies.note.strict(),
  feedback: actionBodies.feedback.strict(),
};

function exactlyOne(schema: z.ZodObject, a: string, b: string): z.ZodType {
  const hasOne = (body: Record<string, unknown>): boolean => (body[a] === undefined) !== (body[b] === undefined);
  return schema.refine(hasOne, { message: `is needed, or "${b}" instead of it, and not both`, path: [a] });
}

/** Ten years: longer is a typing mistake, and beyond the year 9999 no store can hold it. */
const LONGEST_MS = 10 * 365 * 86_400_000;

function timeFault(body: Record<string, unknown>, now: number): { name: string; detail: string } | null {
  if (typeof body.until === 'string') {
    const ms = Date.parse(body.until) - now;
    if (!(ms > 0)) return { name: 'until', detail: 'must lie in the future' };
    if (ms > LONGEST_MS) return { name: 'until', detail: 'must lie within the next ten years' };
  }
  if (typeof body.for === 'string') {
    const ms = parseDuration(body.for);
    if (ms === null) return { name: 'for', detail: 'must be a duration such as 30m or 1h30m' };
    if (ms <= 0 || ms > LONGEST_MS) return { name: 'for', detail: 'must be longer than nothing and at most ten years' };
  }
  return null;
}

type Deed = Pick<Action, 'do' | 'incident' | 'by' | 'body'>;

/** Has a deed done and answers with what it came to: the incident as it is then, or why not. */
async function act(
  { req, deps, who, config }: Context<unknown, unknown, unknown>,
  deed: Deed,
  endpointName: string,
): Promise<Reply> {
  const key = req.get('idempotency-key');
  if (key !== undefined && (key === '' || key.length > 255)) {
    return badRequest('Header', [{ name: 'Idempotency-Key', detail: 'must have 1 to 255 characters' }]);
  }
  const id = actionId(key, who, endpointName);
  const action: Action = { id, ...deed, origin: 'api', ...(who === null ? {} : { token: who }) };
  const turnsOn = deed.do === 'kill-switch' && deed.body.on === true;
  const outcome = turnsOn
    ? await performHeld(deps, deps.killSwitch.hold, action, key !== undefined)
    : await perform(deps, action, key !== undefined);
  if (turnsOn && outcome.status === 'not-stored') return { status: 202, body: heldState(deps) };
  const refused = refusal(outcome);
  if (refused || outcome.status !== 'answered') return refused ?? problem(500, 'The action came to nothing known.');
  const { status, incidentId, detail } = outcome.result;
  if (deed.do === 'kill-switch') return { status, body: { on: deed.body.on, by: deed.by, detail } };
  const row = incidentId === null ? null : await findIncident(deps.pool, incidentId);
  if (!row) return problem(404, `${detail}; the incident is not in the store any more.`);
  const headers: Record<string, string> = status === 201 ? { location: `/api/v1/incidents/${row.id}` } : {};
  return { status, body: incidentView(row, config), headers };
}

/** The switch as this process holds it while the store cannot be asked, or null when it holds nothing. */
function heldState({ killSwitch }: Pick<ApiDeps, 'killSwitch'>): z.infer<typeof schemas.KillSwitchState> | null {
  const held = killSwitch.held();
  if (!held) return null;
  const { by, origin, reason, at } = held;
  const detail =
    'Held by this process and its file: webhooks get 503 until the store is back, and from the next delivery that is accepted everything is passed through.';
  return { on: true, by, origin, reason, at: iso(at), pending: true, detail };
}

export const actionEndpoints: readonly Endpoint[] = [
  endpoint({
    method: 'post',
    path: '/api/v1/incidents',
    tag: 'actions',
    summary: 'Declare an incident by hand',
    role: 'responder',
    headers: idempotency,
    body: declareBody.strict(),
    answers: { ...acted, 201: { description: 'Declared', schema: Incident } },
    handle: async (context) => {
      const { by, ...body } = context.body;
      return act(context, { do: 'declare', incident: null, by, body }, 'declare');
    },
  }),
  ...actionNames.map(actionEndpoint),
  endpoint({
    method: 'post',
    path: '/api/v1/kill-switch',
    tag: 'actions',
    summary: 'On: pass everything through plainly; off: suppress as configured',
    role: 'admin',
    headers: idempotency,
    body: killSwitchBody.strict(),
    answers: {
      200: { description: 'Done', schema: schemas.KillSwitch },
      ...bad,
      202: {
        description:
          'Stored and applied in a moment; or the store cannot take it, and this process and its file hold it',
        schema: z.union([schemas.Stored, schemas.KillSwitchState]),
      },
      409: problemAnswer('A file turns it on: remove that'),
      503: acted[503],
    },
    handle: async (context) => {
      const { by, ...body } = context.body;
      const { killSwitch } = context.deps;
      if (!body.on) {
        const file = killSwitch.foreignFile();
        if (file !== null) return problem(409, `The file ${file} turns it on as long as it is there; remove that.`);
        killSwitch.withdraw();
      }
      return act(context, { do: 'kill-switch', incident: null, by, body }, 'kill-switch');
    },
  }),
  endpoint({
    method: 'get',
    path: '/api/v1/kill-switch',
    tag: 'service',
    summary: 'Whether everything is passed through plainly, and who turned it so, when and why',
    role: 'viewer',
    answers: { 200: { description: 'The switch', schema: schemas.KillSwitchState } },
    handle: async ({ deps }) => {
      const held = heldState(deps);
      if (held) return ok(held);
      const state = await readKillSwitchRow(deps.pool);
      const { incidentId: _, at, ...rest } = state;
      return ok({ ...rest, at: at === null ? null : iso(at), pending: false, detail: killSwitchInWords(state) });
    },
  }),
];
