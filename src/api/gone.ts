import { type Db, wasIncident } from '../store/read.ts';
import { sourcesOf } from '../store/read-alerts.ts';
import { problem, type Reply } from './problem.ts';

export const noIncident = (id: string): Reply => problem(404, `There is no incident ${id}.`);

/** For people's deeds: 410 for a number that was given out once and an incident that was spoken of, else 404. */
export async function noIncidentAnyMore(db: Db, id: string): Promise<Reply> {
  if (!(await wasIncident(db, id))) return noIncident(id);
  const detail = `Incident ${id} is gone: retention (\`retention.incidents\` in tocsin.yaml) has removed it, so nothing can be done or said of it any more.`;
  return problem(410, detail);
}

/** A 404 for the first alert that feedback names and the store does not know, in this incident or anywhere; else null. */
export async function unknownAlert(db: Db, body: Record<string, unknown>): Promise<Reply | null> {
  for (const name of ['alert', 'other']) {
    const text = body[name];
    if (typeof text !== 'string') continue;
    const cut = text.lastIndexOf('/');
    const sources = await sourcesOf(db, text.slice(cut + 1));
    if (cut < 0 ? sources.length > 0 : sources.includes(text.slice(0, cut))) continue;
    return problem(
      404,
      `There is no alert ${text} (\`${name}\`): check the fingerprint; retention may have removed it.`,
    );
  }
  return null;
}
