import type { Pool } from 'pg';
import type { Live } from '../api/live.ts';
import type { Incident } from '../domain/incident.ts';
import { findAction, findIncident } from '../store/read.ts';
import type { Logger } from '../telemetry/log.ts';
import type { Outbound } from '../telemetry/outbound.ts';
import type { SlackInteraction } from './slack.ts';

type Deps = { pool: Pool; live: Live; outbound: Outbound; log: Logger };

/** How long a click may take to be applied before the person is told that it waits, ms. */
const PATIENCE_MS = 10_000;

/**
 * Answers the one who clicked, visible to them alone: why the incident stands as it does, or why their click changed nothing.
 * A click that worked shows in the message itself and needs no answer. Never throws.
 */
export async function answerSlack(interaction: SlackInteraction, deps: Deps): Promise<void> {
  try {
    if (interaction.kind === 'why' && interaction.respondTo) {
      const row = await findIncident(deps.pool, interaction.incidentId);
      const doc = row?.doc as Incident | null | undefined;
      await reply(interaction.respondTo, doc ? why(doc) : 'This incident is not on record any more.', deps);
    }
    if (interaction.kind === 'action' && interaction.respondTo) {
      const result = await settled(interaction.action.id, deps);
      if (result === null)
        await reply(interaction.respondTo, 'Stored; it is applied as soon as the service has caught up.', deps);
      else if (result.status >= 400) await reply(interaction.respondTo, result.detail, deps);
      // Nothing in the message shows that it was heard.
      else if (interaction.action.do === 'feedback') await reply(interaction.respondTo, result.detail, deps);
    }
  } catch (error) {
    deps.log.warn({ err: error }, 'a click in Slack was stored, but its answer could not be shown');
  }
}

async function settled(id: string, { pool, live }: Deps): Promise<{ status: number; detail: string } | null> {
  const found = await findAction(pool, id);
  if (found) return found;
  await new Promise<void>((resolve) => {
    const timer = setTimeout(finish, PATIENCE_MS);
    const end = live.onAction(id, finish);
    function finish() {
      clearTimeout(timer);
      end();
      resolve();
    }
  });
  return findAction(pool, id);
}

async function reply(url: string, text: string, { outbound, log }: Deps): Promise<void> {
  const body = { response_type: 'ephemeral', replace_original: false, text: escaped(text) };
  const result = await outbound.request({ method: 'POST', url, peer: 'slack', body });
  if (result.status !== 'answered' || result.code >= 300)
    log.warn({ status: result.status }, 'Slack did not take the answer to a click');
}

const escaped = (text: string): string => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');

/** The incident's record in a few lines: what it was grouped by, what is suspected and on what evidence, who is told and why. */
function why(doc: Incident): string {
  const causes = doc.rootCauses.slice(0, 3).map((cause, i) => {
    const evidence = cause.evidence
      .slice(0, 3)
      .map((e) => e.text)
      .join('; ');
    return `${i + 1}. ${cause.service} (${Math.round(cause.probability * 100)} %, ${cause.confidence}): ${evidence}`;
  });
  return [
    `Incident ${doc.number}: ${doc.alertCount} alerts of ${doc.services.length} services.`,
    causes.length > 0 ? `Suspects:\n${causes.join('\n')}` : 'No clear cause.',
    `Decision: ${doc.decision.verdict} (${doc.decision.mode}): ${doc.decision.reasons.map((r) => r.text).join('; ')}`,
    `Team ${doc.team}, priority P${doc.priority}; config ${doc.configHash}.`,
  ].join('\n');
}
