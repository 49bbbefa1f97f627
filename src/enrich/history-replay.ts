import { episodeKey } from '../domain/alert.ts';
import type { Deploy } from '../domain/deploy.ts';
import type { Effects, IncidentRecord } from '../domain/effects.ts';
import { clearSuspect, likenessKey } from '../score/similar.ts';
import type { Ending, HistoryQuery, PastIncident } from '../store/history.ts';
import type { FactSource } from './gather.ts';
import { describe, lookBack, type Past } from './history.ts';

/** One object an incident for the whole run: a month's candidates are looked at some hundred times for each that is judged. */
type Held = {
  readonly id: string;
  /** Null until it was judged for the first time, and for good once it lives on in another. */
  told: Told | null;
};
type Told = {
  state: IncidentRecord['state'];
  doc: NonNullable<IncidentRecord['doc']>;
  /** As it is shown to those who ask, but for what hangs on the question. */
  shown: Omit<PastIncident, 'sameRule' | 'sameService'>;
  /** By what hangs on the question: the same object each time. */
  answers: (PastIncident | undefined)[];
};
type Episode = { startsAt: number; service: string | null; held: Held | null; ended: boolean };

/** As the store limits its own: the latest so many count. */
const CANDIDATES = 100;
const ENDED = 200;
const EPISODES = 1_000;
const CHANGES = 2_000;
/** Each with the kinds it met, some 100: 20 MB. */
const REMEMBERED_KEYS = 5_000;
const HOUR = 3_600_000;
const DAY = 24 * HOUR;

/**
 * The past of a replay: what the run itself brought about so far, asked as the store is asked in the service, so that the
 * second time something happens in a stream it is known as such. Deterministic; nothing leaves the process.
 */
export function createReplayHistory(): { source: FactSource; observe(effects: Effects): void } {
  const incidents = new Map<string, Held>();
  const byService = new Map<string, Held[]>();
  const episodes = new Map<string, Episode>();
  const byRule = new Map<string, Episode[]>();
  const byRuleAndService = new Map<string, Episode[]>();
  const notes = new Map<string, string>();
  const deploys = new Map<string, Deploy>();

  /** A stream of a month has few kinds of incidents, and each is compared some hundred times for each that is judged. */
  const kinds = new Map<string, object>();
  function kindOf(one: Told['shown'], variant: number): object {
    const key = `${variant} ${likenessKey(describe(one))}`;
    const kind = kinds.get(key) ?? {};
    kinds.set(key, kind);
    return kind;
  }

  function heldOf(id: string): Held {
    const known = incidents.get(id);
    if (known) return known;
    const held: Held = { id, told: null };
    incidents.set(id, held);
    return held;
  }

  function observe(effects: Effects): void {
    for (const { alert } of effects.alerts) {
      const key = episodeKey(alert);
      const known = episodes.get(key);
      const ended = alert.status === 'resolved';
      const held = alert.incidentId === null ? null : heldOf(alert.incidentId);
      if (known) {
        known.ended = ended;
        known.held = held;
        continue;
      }
      const episode = { startsAt: alert.startsAt, service: alert.service, held, ended };
      episodes.set(key, episode);
      push(byRule, alert.alertname, episode);
      push(byRuleAndService, `${alert.alertname}\n${alert.service}`, episode);
    }
    for (const { state, doc } of effects.incidents) {
      if (!doc) continue;
      const held = heldOf(state.id);
      for (const service of doc.services)
        if (!held.told?.doc.services.includes(service)) push(byService, service, held);
      const { id, number, startedAt, resolvedAt, resolvedBy } = state;
      const { title, services } = doc;
      const { summary, labels } = doc.lead;
      const suspect = clearSuspect(doc);
      const shown = { id, number, title, summary, labels, services, suspect, startedAt, resolvedAt, resolvedBy };
      held.told = state.mergedInto === null ? { state, doc, shown, answers: [] } : null;
    }
    for (const { incidentId, kind, by, text } of effects.timeline)
      if (kind === 'note' && by !== null) notes.set(incidentId, text);
    for (const deploy of effects.deploys) deploys.set(deploy.id, deploy);
  }

  /** The latest `limit` that began before `before`, newest first; arrival is near enough to the order of onsets. */
  function eachLatest(
    list: readonly Episode[] | undefined,
    before: number,
    limit: number,
    look: (episode: Episode) => void,
  ): void {
    let left = limit;
    for (let i = (list?.length ?? 0) - 1; i >= 0 && left > 0; i -= 1) {
      if (list![i]!.startsAt >= before) continue;
      look(list![i]!);
      left -= 1;
    }
  }
  const ofRule = ({ rule, service }: HistoryQuery): readonly Episode[] | undefined =>
    service === null ? byRule.get(rule) : byRuleAndService.get(`${rule}\n${service}`);

  /** Kinds meet again and again: a month's comparisons are a few hundred thousand different ones. */
  let scores = new Map<string, Map<object, number>>();

  const past: Past = {
    scores(key) {
      const known = scores.get(key);
      if (known) return known;
      if (scores.size >= REMEMBERED_KEYS) scores = new Map();
      const fresh = new Map<object, number>();
      scores.set(key, fresh);
      return fresh;
    },

    async incidents(query) {
      const { rule, service, before, incidentId } = query;
      const found: PastIncident[] = [];
      const seen = new Set<Held>();
      const take = (held: Held | null, sameRule: boolean): void => {
        if (held === null || seen.has(held)) return;
        seen.add(held);
        const { told } = held;
        if (told === null || told.shown.startedAt >= before || held.id === incidentId) return;
        const sameService = service === null ? null : told.shown.services.includes(service);
        const variant = (sameRule ? 3 : 0) + (sameService === null ? 2 : sameService ? 1 : 0);
        told.answers[variant] ??= { ...told.shown, sameRule, sameService, kind: kindOf(told.shown, variant) };
        found.push(told.answers[variant]);
      };
      for (const list of [ofRule(query), byRule.get(rule)])
        eachLatest(list, before, CANDIDATES, (one) => take(one.held, true));
      const here = service === null ? [] : (byService.get(service) ?? []);
      for (let i = Math.max(0, here.length - CANDIDATES); i < here.length; i += 1) take(here[i]!, false);
      return found;
    },

    async rule(query) {
      const { rule, before, incidentId } = query;
      const alike = new Set<Held>();
      eachLatest(ofRule(query), before, EPISODES, ({ held }) => void (held && alike.add(held)));
      const ended = [...alike]
        .flatMap(({ id, told }) => (told?.state.status === 'resolved' && id !== incidentId ? [told.state] : []))
        .filter((state) => state.resolvedAt! >= state.startedAt)
        .sort((a, b) => b.resolvedAt! - a.resolvedAt!)
        .slice(0, ENDED);
      const changes = { hour: 0, day: 0, week: 0 };
      eachLatest(ofRule(query), before + 1, CHANGES, ({ startsAt, ended: over }) => {
        const n = over ? 2 : 1;
        if (startsAt > before - HOUR) changes.hour += n;
        if (startsAt > before - DAY) changes.day += n;
        if (startsAt > before - 7 * DAY) changes.week += n;
      });
      return {
        firstEver: !(byRule.get(rule) ?? []).some((one) => one.startsAt < before && one.held?.id !== incidentId),
        seconds: ended.map((s) => Math.round((s.resolvedAt! - s.startedAt) / 1_000)).sort((a, b) => a - b),
        alone: ended.filter((state) => state.acknowledgedAt === null && state.resolvedBy === null).length,
        changes,
      };
    },

    async endings(ids) {
      return new Map(
        ids.map((id): [string, Ending] => {
          const { state, doc } = incidents.get(id)!.told!;
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
