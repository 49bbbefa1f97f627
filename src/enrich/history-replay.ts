import { episodeKey } from '../domain/alert.ts';
import type { Deploy } from '../domain/deploy.ts';
import type { Effects, IncidentRecord } from '../domain/effects.ts';
import { clearSuspect, likenessKey } from '../score/similar.ts';
import type { Ending, HistoryQuery, PastIncident } from '../store/history.ts';
import type { FactSource } from './gather.ts';
import { describe, lookBack, type Past } from './history.ts';

type Held = IncidentRecord & {
  doc: NonNullable<IncidentRecord['doc']>;
  /** As it is shown to those who ask, but for what hangs on the question. */
  shown: Omit<PastIncident, 'sameRule' | 'sameService'>;
  /** By what hangs on the question: the same object each time. */
  answers: (PastIncident | undefined)[];
};
type Episode = { startsAt: number; service: string | null; incidentId: string | null; ended: boolean };

/** As the store limits its own: the latest so many count. */
const CANDIDATES = 100;
const ENDED = 200;
const EPISODES = 1_000;
const CHANGES = 2_000;
const HOUR = 3_600_000;
const DAY = 24 * HOUR;

/**
 * The past of a replay: what the run itself brought about so far, asked as the store is asked in the service, so that the
 * second time something happens in a stream it is known as such. Deterministic; nothing leaves the process.
 */
export function createReplayHistory(): { source: FactSource; observe(effects: Effects): void } {
  const incidents = new Map<string, Held>();
  const byService = new Map<string, string[]>();
  const episodes = new Map<string, Episode>();
  const byRule = new Map<string, Episode[]>();
  const byRuleAndService = new Map<string, Episode[]>();
  const notes = new Map<string, string>();
  const deploys = new Map<string, Deploy>();

  /** A stream of a month has few kinds of incidents, and each is compared some hundred times for each that is judged. */
  const kinds = new Map<string, object>();
  function kindOf(one: Held['shown'], variant: number): object {
    const key = `${variant} ${likenessKey(describe(one))}`;
    const kind = kinds.get(key) ?? {};
    kinds.set(key, kind);
    return kind;
  }

  function observe(effects: Effects): void {
    for (const { alert } of effects.alerts) {
      const key = episodeKey(alert);
      const known = episodes.get(key);
      const ended = alert.status === 'resolved';
      if (known) {
        known.ended = ended;
        known.incidentId = alert.incidentId;
        continue;
      }
      const episode = { startsAt: alert.startsAt, service: alert.service, incidentId: alert.incidentId, ended };
      episodes.set(key, episode);
      push(byRule, alert.alertname, episode);
      push(byRuleAndService, `${alert.alertname}\n${alert.service}`, episode);
    }
    for (const { state, doc } of effects.incidents) {
      if (!doc) continue;
      const before = incidents.get(state.id);
      for (const service of doc.services)
        if (!before?.doc.services.includes(service)) push(byService, service, state.id);
      const { id, number, startedAt, resolvedAt, resolvedBy } = state;
      const { title, services } = doc;
      const { summary, labels } = doc.lead;
      const suspect = clearSuspect(doc);
      const shown = { id, number, title, summary, labels, services, suspect, startedAt, resolvedAt, resolvedBy };
      incidents.set(id, { state, doc, shown, answers: [] });
    }
    for (const { incidentId, kind, by, text } of effects.timeline)
      if (kind === 'note' && by !== null) notes.set(incidentId, text);
    for (const deploy of effects.deploys) deploys.set(deploy.id, deploy);
  }

  /** The latest `limit` that began before `before`; arrival is near enough to the order of onsets. */
  function latest(list: readonly Episode[] | undefined, before: number, limit: number): Episode[] {
    const found: Episode[] = [];
    for (let i = (list?.length ?? 0) - 1; i >= 0 && found.length < limit; i -= 1)
      if (list![i]!.startsAt < before) found.push(list![i]!);
    return found;
  }
  const ofRule = ({ rule, service }: HistoryQuery): readonly Episode[] | undefined =>
    service === null ? byRule.get(rule) : byRuleAndService.get(`${rule}\n${service}`);

  const past: Past = {
    async incidents(query) {
      const { rule, service, before, incidentId } = query;
      const sameRule = new Set(
        [...latest(ofRule(query), before, CANDIDATES), ...latest(byRule.get(rule), before, CANDIDATES)].flatMap((e) =>
          e.incidentId === null ? [] : [e.incidentId],
        ),
      );
      const sameService = service === null ? [] : (byService.get(service) ?? []).slice(-CANDIDATES);
      return [...new Set([...sameRule, ...sameService])].flatMap((id): PastIncident[] => {
        const held = incidents.get(id);
        if (!held || id === incidentId || held.state.mergedInto !== null || held.state.startedAt >= before) return [];
        const sameService = service === null ? null : held.doc.services.includes(service);
        const rule = sameRule.has(id);
        const variant = (rule ? 3 : 0) + (sameService === null ? 2 : sameService ? 1 : 0);
        const known = held.answers[variant];
        if (known) return [known];
        const answer = { ...held.shown, sameRule: rule, sameService, kind: kindOf(held.shown, variant) };
        held.answers[variant] = answer;
        return [answer];
      });
    },

    async rule(query) {
      const { rule, before, incidentId } = query;
      const ids = new Set(latest(ofRule(query), before, EPISODES).map((episode) => episode.incidentId));
      const ended = [...ids]
        .flatMap((id) => {
          const state = id === null || id === incidentId ? undefined : incidents.get(id)?.state;
          return state?.status === 'resolved' && state.mergedInto === null ? [state] : [];
        })
        .filter((state) => state.resolvedAt! >= state.startedAt)
        .sort((a, b) => b.resolvedAt! - a.resolvedAt!)
        .slice(0, ENDED);
      const changesSince = (since: number): number =>
        changed.reduce((n, one) => (one.startsAt > since ? n + (one.ended ? 2 : 1) : n), 0);
      const changed = latest(ofRule(query), before + 1, CHANGES);
      return {
        firstEver: !(byRule.get(rule) ?? []).some((one) => one.startsAt < before && one.incidentId !== incidentId),
        seconds: ended.map((s) => Math.round((s.resolvedAt! - s.startedAt) / 1_000)).sort((a, b) => a - b),
        alone: ended.filter((state) => state.acknowledgedAt === null && state.resolvedBy === null).length,
        changes: {
          hour: changesSince(before - HOUR),
          day: changesSince(before - DAY),
          week: changesSince(before - 7 * DAY),
        },
      };
    },

    async endings(ids) {
      return new Map(
        ids.map((id): [string, Ending] => {
          const { state, doc } = incidents.get(id)!;
          const last = [...deploys.values()]
            .filter(
              (d) =>
                doc.services.includes(d.service) &&
                d.startedAt > state.startedAt &&
                d.startedAt <= (state.resolvedAt ?? 0),
            )
            .sort((a, b) => b.startedAt - a.startedAt)[0];
          const deploy = last
            ? { service: last.service, version: last.version, rollback: last.rollback, at: last.startedAt }
            : null;
          return [id, { note: notes.get(id) ?? null, deploy }];
        }),
      );
    },
  };

  return { source: { name: 'history', gather: (subject) => lookBack(past, subject) }, observe };
}

function push<T>(map: Map<string, T[]>, key: string, value: T): void {
  const list = map.get(key);
  if (list) list.push(value);
  else map.set(key, [value]);
}
