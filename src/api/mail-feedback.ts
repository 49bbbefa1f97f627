import { createHash } from 'node:crypto';
import { z } from 'zod';
import type { Action } from '../domain/action.ts';
import { checkShouldHavePagedUrl } from '../notify/feedback-url.ts';
import { html } from '../notify/text.ts';
import { findIncident } from '../store/read.ts';
import { perform, refusal } from './actions.ts';
import { plain } from './parse.ts';
import { problem, type Reply } from './problem.ts';
import { bad, type Context, type Endpoint, endpoint, problemAnswer } from './route.ts';
import { IncidentParams } from './schemas.ts';

/**
 * "Should have paged" from a mail. Mail scanners fetch every link: fetching only shows a page with a button, pressing that says
 * it. The address is signed for one incident and one reader; nothing else can be said with it.
 */

const query = z.strictObject({
  to: plain(320).min(1).describe('whom the mail was for'),
  expires: z.int().min(0).max(1e11).describe('Unix seconds until which the address is good'),
  signature: plain(128).min(1).describe('as it was given out'),
});
type Asked = Context<z.infer<typeof IncidentParams>, z.infer<typeof query>>;

const path = '/api/v1/should-have-paged/{id}';
const described = {
  path,
  tag: 'actions',
  role: null,
  params: IncidentParams,
  query,
  answers: {
    200: { description: 'A page', type: 'text/html' },
    ...bad,
    401: problemAnswer('The signature is wrong'),
    404: problemAnswer('The address has expired, or the incident is not kept any more'),
    503: problemAnswer('Not stored: press again'),
  },
} as const;

export const mailFeedbackEndpoints: readonly Endpoint[] = [
  endpoint({
    ...described,
    method: 'get',
    summary: 'Ask the reader of a digest whether an incident should have paged, under an address given out signed',
    handle: async (context) => {
      const found = await admitted(context);
      if ('status' in found) return found;
      return page(
        `Should incident #${found.number} have paged?`,
        `<p>${html(found.title, 300)}</p><form method="post"><button>It should have paged</button></form>`,
      );
    },
  }),
  endpoint({
    ...described,
    method: 'post',
    summary: 'Say that it should have paged, as the page of that address does',
    handle: async (context) => {
      const found = await admitted(context);
      if ('status' in found) return found;
      const { to } = context.query;
      const digest = createHash('sha256')
        .update(JSON.stringify([found.id, to]))
        .digest('hex')
        .slice(0, 32);
      const body = { kind: 'should-have-paged', text: 'From a digest (mail)' };
      const action: Action = {
        id: `mail-${digest}`,
        do: 'feedback',
        incident: { id: found.id },
        by: to,
        origin: 'mail',
        body,
      };
      const outcome = await perform(context.deps, action, true);
      const refused = refusal(outcome);
      if (refused && refused.status >= 400) return refused;
      return page('Noted', `<p>Incident #${found.number} should have paged: ${html(found.title, 300)}</p>`);
    },
  }),
];

async function admitted({
  deps,
  params,
  query,
}: Asked): Promise<Reply | { id: string; number: number; title: string }> {
  const checked = checkShouldHavePagedUrl(deps.pictureKey, { id: params.id, ...query }, deps.now());
  if (checked === 'forged') return problem(401, 'The signature does not belong to this address.');
  if (checked === 'expired')
    return problem(404, 'This address has expired; POST /api/v1/incidents/{id}/feedback says the same.');
  const row = await findIncident(deps.pool, params.id);
  if (!row) return problem(404, 'This incident is not kept any more.');
  return { id: row.id, number: Number(row.number), title: row.title ?? '' };
}

/** No script, no style: the answer's own policy forbids both. */
const page = (title: string, body: string): Reply => ({
  status: 200,
  body: `<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>${html(title)}</title></head><body><h1>${html(title)}</h1>${body}</body></html>`,
  headers: { 'content-type': 'text/html; charset=utf-8' },
});
