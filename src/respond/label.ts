import { createHash } from 'node:crypto';
import * as life from '../correlate/life.ts';
import { linksBetween } from '../correlate/people.ts';
import type { Action, ActionResult } from '../domain/action.ts';
import { type Alert, alertKey } from '../domain/alert.ts';
import type { LinkRecord } from '../domain/effects.ts';
import { type LabelKind, type ModelVersions, questionOf, rankingOf } from '../domain/label.ts';
import type { LiveIncident, World } from '../domain/world.ts';

/** What a person said of an incident. `alert` and `other` are fingerprints, or `source/fingerprint` where several sources know one. */
export type Said = {
  kind: LabelKind;
  alert: string | null;
  other: string | null;
  service: string | null;
  text: string | null;
};

export type LabelRules = {
  models: ModelVersions;
  link(link: LinkRecord): void;
};

const refuse = (status: number, detail: string): ActionResult => ({ status, incidentId: null, detail });

/**
 * Feedback becomes a label: kept with who, when and what was shown, counted once however often it is said. What it changes
 * at once: a named or ruled out cause moves in the ranking, and alerts said to belong together or not become must or cannot
 * links, which hold from their next firing on. Nothing else changes by itself; a merge, split or silence is its own deed.
 *
 * `held` is null for an incident that ended too long ago for the engine to hold it: the label is taken all the same, from
 * what the store knows of it, and makes no links, because there is nothing open that they could concern.
 */
export function label(
  world: World,
  rules: LabelRules,
  held: LiveIncident | null,
  incidentId: string,
  action: Action,
  said: Said,
  now: number,
): ActionResult {
  const { kind, text } = said;
  const question = questionOf[kind];
  if (question === 'cause' && (said.alert !== null || said.other !== null))
    return refuse(400, `${kind} is said of a service: {"kind":"${kind}","service":"…"}.`);
  if (said.other !== null && (question !== 'grouping' || said.alert === null))
    return refuse(400, `other: only related and not-related compare two alerts, and name both as alert and other.`);
  const ranking = held?.doc ? rankingOf(held.doc.rootCauses) : null;
  const service = said.service ?? (question === 'cause' ? (ranking?.causes[0]?.service ?? null) : null);
  if (question === 'cause' && service === null) {
    const why = held
      ? 'no suspect is named here'
      : 'the incident ended too long ago for its first suspect to be at hand';
    return refuse(400, `Name the service: ${why}.`);
  }

  const first = named(world, held, said.alert);
  const second = named(world, held, said.other);
  if (first === 'ambiguous' || second === 'ambiguous') {
    const which = first === 'ambiguous' ? said.alert : said.other;
    return refuse(409, `Several sources have an alert ${which}; write it as <source>/${which}.`);
  }
  if (first && second && first.key === second.key) return refuse(400, 'alert and other name the same alert.');
  if (first?.alert && second?.alert && first.alert.tenant !== second.alert.tenant)
    return refuse(409, 'Alerts of different tenants are never put together.');

  const links = question === 'grouping' && held ? linksOf(world, held, first, second, kind) : [];
  const records = links.map((pair): LinkRecord => ({ ...pair, by: action.by, at: now, incidentId }));
  for (const record of records) {
    world.out.links.push(record);
    rules.link(record);
  }
  if (held && question === 'cause') {
    const named = held.state.causeFeedback ?? [];
    const others = named.filter((one) => one.service !== service || one.by !== action.by);
    held.state.causeFeedback = [
      ...others,
      { kind: kind as 'right-cause' | 'wrong-cause', service: service!, by: action.by },
    ];
    life.touch(world, held, now, true);
  }

  const subject = question === 'cause' ? [service] : [first?.key ?? '', second?.key ?? ''].sort();
  world.out.feedback.push({
    key: hash([incidentId, question, ...subject, action.by]),
    actionId: action.id,
    incidentId,
    at: now,
    by: action.by,
    origin: action.origin,
    kind,
    alert: first?.fingerprint ?? null,
    alertSource: first?.alert?.source ?? null,
    other: second?.fingerprint ?? null,
    otherSource: second?.alert?.source ?? null,
    together: togetherness(world, held, first, said.other === null ? null : second),
    service,
    text,
    configHash: held?.doc?.configHash ?? null,
    models: held ? rules.models : null,
    ranking,
  });
  const of = service ?? [first?.fingerprint, second?.fingerprint].filter((one) => one !== undefined).join(' and ');
  life.say(
    world,
    incidentId,
    now,
    'feedback',
    `${action.by} says: ${kind}${of ? ` (${of})` : ''}${text ? `: ${text}` : ''}`,
    action.by,
    { kind, alert: first?.fingerprint ?? null, other: second?.fingerprint ?? null, service, links: records.length },
  );
  return {
    status: 200,
    incidentId,
    detail: `Noted: ${kind}${of ? ` (${of})` : ''}. ${consequence(kind, records, held)}`,
  };
}

/** What the label brings about, in a sentence; a person must not have to guess what their word did. */
function consequence(kind: LabelKind, links: readonly LinkRecord[], held: LiveIncident | null): string {
  const proposed = held?.state.proposedSplit;
  if (kind === 'not-related' && proposed)
    return `A split is proposed: ${proposed.reason} Accept it with split, with the alerts that …/correlation names.`;
  if (links.length > 0 && kind === 'related' && proposed) return 'The proposed split is refused; they stay together.';
  if (links.length > 0 && kind === 'related')
    return 'From their next firing on they are put together; to make them one incident now, merge.';
  if (links.length > 0) return 'From their next firing on they are kept apart; to take them apart now, split.';
  if (questionOf[kind] === 'cause') return 'The ranking counts it.';
  if (questionOf[kind] === 'grouping') return 'It counts in the scorecard; to change the incident, split or merge it.';
  return 'It counts in the scorecard, and `tocsin propose` makes a change to decide on of such words; nothing changes by itself.';
}

type Named = { fingerprint: string; key: string; alert: Alert | null };

/** The alert a person means: a member of the incident first, else any that is held; unknown ones the store looks up. */
function named(world: World, held: LiveIncident | null, text: string | null): Named | 'ambiguous' | null {
  if (text === null) return null;
  const cut = text.lastIndexOf('/');
  const source = cut < 0 ? undefined : text.slice(0, cut);
  const fingerprint = text.slice(cut + 1);
  let found: Alert | null = null;
  for (const member of held?.members.values() ?? []) {
    if (member.fingerprint !== fingerprint || (source !== undefined && member.source !== source)) continue;
    if (found && found.source !== member.source) return 'ambiguous';
    found = member;
  }
  const alert = found ?? life.findAlert(world, fingerprint, source);
  if (alert === 'ambiguous') return alert;
  return { fingerprint, key: alert ? alertKey(alert) : text, alert };
}

/** Whether the pair, or the alert and the incident, were one when it was said; null when the engine holds too little to tell. */
function togetherness(
  world: World,
  held: LiveIncident | null,
  first: Named | null,
  second: Named | null,
): boolean | null {
  if (!first?.alert || (second && !second.alert)) return null;
  const home = homeOf(world, first.alert);
  if (second?.alert) return home !== null && home === homeOf(world, second.alert);
  return held && home === held;
}

const homeOf = (world: World, alert: Alert): LiveIncident | null =>
  alert.incidentId === null ? null : life.living(world, alert.incidentId);

/**
 * An alert and another one, or an alert and the rest of the incident; only where it concerns something that is open. Said of
 * the whole incident, "related" refuses the split that is proposed, if one is.
 */
function linksOf(
  world: World,
  held: LiveIncident,
  first: Named | null,
  other: Named | null,
  kind: LabelKind,
): Pick<LinkRecord, 'kind' | 'a' | 'b'>[] {
  const said = { kind: kind === 'related' ? ('must' as const) : ('cannot' as const), by: '', at: 0, incidentId: '' };
  if (first === null) {
    const [largest, ...rest] = (kind === 'related' && held.state.proposedSplit?.groups) || [];
    return largest ? linksBetween(largest, rest.flat(), said) : [];
  }
  const { alert } = first;
  if (!alert) return [];
  const isOpen = (one: Alert): boolean => (homeOf(world, one)?.state.status ?? 'resolved') !== 'resolved';
  if (!isOpen(alert) || (other && (!other.alert || !isOpen(other.alert)))) return [];
  if (!other && held.state.status === 'resolved') return [];
  // That a member belongs to its incident is how it is already; it needs no link to each of the others.
  if (!other && kind === 'related' && homeOf(world, alert) === held) return [];
  const rest = other ? [other.key] : [...held.members.values()].map(alertKey).filter((key) => key !== alertKey(alert));
  return linksBetween([alertKey(alert)], rest, said);
}

const hash = (parts: readonly (string | null)[]): string =>
  createHash('sha256').update(JSON.stringify(parts)).digest('hex').slice(0, 32);
