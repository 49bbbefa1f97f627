import { z } from 'zod';
import { actionNames } from './action.ts';

const withoutIncident = ['declare', 'kill-switch'] as const;
const deeds = [...actionNames, 'unacknowledge', ...withoutIncident] as const;

/** What an action says stands in its `body`, as with every other kind; at the top of the line it counts as well. */
function lift(line: unknown): unknown {
  const { kind, body } = (line ?? {}) as { kind?: unknown; body?: unknown };
  if (kind !== 'action' || typeof body !== 'object' || body === null) return line;
  return { ...body, ...(line as object) };
}

/**
 * One line of a recorded stream (contract section 5). Beyond the contract, as `replay --save` writes them: `source` (the
 * contract's source of the alerts; else `default`), the kinds `alerts` (a body of `POST /api/v2/alerts`) and `poll` (what a
 * reconciler saw), `sender` and `headers` of a deploy that came as another tool's webhook, and at the top one line `known` with
 * the rules (`{"rules":[…]}`) that fired before the stream begins.
 */
export const StreamLine = z.preprocess(
  lift,
  z
    .object({
      at: z.iso.datetime({ offset: true }),
      kind: z.enum(['alertmanager', 'alerts', 'poll', 'deploy', 'action', 'known']),
      body: z.unknown().optional(),
      source: z.string().optional(),
      sender: z.enum(['api', 'pagerduty', 'github', 'gitlab', 'argocd', 'cdevents', 'prometheus']).optional(),
      headers: z.record(z.string(), z.string()).optional(),
      incident: z.union([z.string(), z.object({ fingerprint: z.string(), source: z.string().optional() })]).optional(),
      do: z.enum(deeds, { error: `this is nothing that people do; write one of ${deeds.join(', ')}` }).optional(),
      by: z.string().optional(),
    })
    .loose()
    .superRefine((line, context) => {
      if (line.kind !== 'action') return;
      if (line.do === undefined)
        context.addIssue({ code: 'custom', path: ['body', 'do'], message: 'an action says what was done' });
      else if (line.incident === undefined && !(withoutIncident as readonly string[]).includes(line.do))
        context.addIssue({ code: 'custom', path: ['body', 'incident'], message: 'an action names its incident' });
    }),
);
export type StreamLine = z.infer<typeof StreamLine>;
