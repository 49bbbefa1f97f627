import type { Incident } from '../domain/incident.ts';
import { severityRank } from '../domain/severity.ts';
import type { Outcomes } from '../replay.ts';
import { differenceOf, sideOf } from '../replay-diff.ts';
import type { Past } from './past.ts';
import { inMarkdown } from './plain.ts';

type Run = Omit<Outcomes, 'timing'>;

/** Rows shown of each list; the counts are of all. */
const SHOWN = 20;
const LONG_MS = 30 * 60_000;

/**
 * What a replayed past comes to, as Markdown: the funnel from deliveries to pages as configured, with everything sent (mode
 * shadow) and with everything held back that the policies would hold back (mode active), what that would have cost, and
 * which incidents they are, the most doubtful first.
 */
export function reportOf(past: Past, runs: { configured: Run; shadow: Run; active: Run; lines: number }): string {
  const { configured, shadow, active } = runs;
  const all = [configured, shadow, active].map(countsOf);
  const [now, sent, quiet] = all as [Counts, Counts, Counts];
  const held = heldBack(shadow, active);
  const row = (name: string, value: (of: Counts) => number | string): string =>
    `| ${name} | ${value(now)} | ${value(sent)} | ${value(quiet)} |`;
  const lines = [
    `# ${past.period ? `${day(past.period.from)} to ${day(past.period.to)}` : inMarkdown(past.name)}`,
    '',
    `${runs.lines} deliveries of ${inMarkdown(past.name)} brought ${now.episodes} firings of ${now.alerts} alerts; they became ${now.incidents} incidents.`,
    '',
    '| | as configured | everything sent (shadow) | mode active |',
    '| --- | --- | --- | --- |',
    row('incidents', (of) => of.incidents),
    row('incidents somebody was called for', (of) => of.paged),
    row('calls (first messages and escalations, the log left out)', (of) => of.pages),
    row('firings per incident', (of) => ratio(of.episodes, of.incidents)),
    row('alerts held back', (of) => of.suppressed),
    row('firing alerts whose incident nobody was called for', (of) => of.silent),
    '',
    `The ledger ${balanced(configured) && balanced(shadow) && balanced(active) ? 'balances in all three' : 'does NOT balance; please report this'}: ${configured.ledger.received} state changes received, ${configured.ledger.notified} notified, ${configured.ledger.grouped} grouped, ${configured.ledger.suppressed} held back, ${configured.ledger.failed} failed, ${configured.ledger.inFlight} in flight, ${configured.ledger.quarantined} quarantined.`,
    '',
    '## What mode active would hold back',
    '',
  ];
  if (held.length === 0) lines.push('Nothing: no policy would have kept anybody from being called.');
  else {
    const loss = (name: string, of: (one: Held) => boolean) => `${held.filter(of).length} ${name}`;
    lines.push(
      `${quiet.paged} incidents would have called somebody instead of ${sent.paged}. Of the ${held.length} others, what it may have cost: ${[
        loss('were critical', ({ incident }) => incident.severity === 'critical'),
        loss('lasted longer than 30 min or still last', isLong),
        loss('somebody acted on', acted),
        loss('reached several services', ({ incident }) => incident.services.length > 1),
      ].join(', ')}.`,
      '',
      '| policy | incidents | critical | longer than 30 min | acted on |',
      '| --- | --- | --- | --- | --- |',
      ...byPolicy(held),
      '',
      'Doubtful ones first:',
      '',
      '| started | incident | severity | minutes | acted on | policy |',
      '| --- | --- | --- | --- | --- | --- |',
      ...held.slice(0, SHOWN).map((one) => {
        const { incident } = one;
        return `| ${incident.startedAt.slice(0, 16)}Z | ${inMarkdown(incident.title)} | ${incident.severity} | ${minutes(incident)} | ${acted(one) ? 'yes' : 'no'} | ${inMarkdown(one.policy)} |`;
      }),
    );
    if (held.length > SHOWN) lines.push('', `… and ${held.length - SHOWN} more.`);
  }
  lines.push(
    '',
    '## What rings most',
    '',
    '| rule | incidents | called for | median minutes | held back in mode active |',
  );
  lines.push('| --- | --- | --- | --- | --- |', ...loudest(shadow, held));
  lines.push(
    '',
    '## Who is called (as configured)',
    '',
    '| receiver | first messages | escalations |',
    '| --- | --- | --- |',
  );
  lines.push(...receivers(configured));
  return `${lines.join('\n')}\n`;
}

type Counts = ReturnType<typeof countsOf>;

const isPage = ({ channel, kind }: Run['notifications'][number]): boolean =>
  channel !== 'log' && (kind === 'open' || kind === 'escalate');

function countsOf(run: Run) {
  const living = run.incidents.filter((incident) => incident.mergedInto === null);
  const called = new Set(run.notifications.filter(isPage).map((one) => one.incidentId));
  return {
    episodes: run.alerts.length,
    alerts: new Set(run.alerts.map((alert) => alert.fingerprint)).size,
    incidents: living.length,
    paged: living.filter((incident) => called.has(incident.id)).length,
    pages: run.notifications.filter(isPage).length,
    suppressed: run.alerts.filter((alert) => alert.verdict === 'suppress').length,
    silent: run.alerts.filter((alert) => alert.incidentId !== null && !called.has(alert.incidentId)).length,
  };
}

const balanced = ({ ledger: { received, ...others } }: Run): boolean =>
  received === Object.values(others).reduce((sum, n) => sum + n, 0);

type Held = { incident: Incident; policy: string };

const acted = ({ incident }: Held): boolean => incident.acknowledgedBy !== null || incident.resolvedBy !== null;
const isLong = ({ incident }: Held): boolean =>
  incident.resolvedAt === null || Date.parse(incident.resolvedAt) - Date.parse(incident.startedAt) > LONG_MS;

/** Incidents that called somebody with everything sent, and nobody in mode active; the most doubtful first. */
function heldBack(shadow: Run, active: Run): Held[] {
  const missed = new Set(differenceOf(sideOf(shadow), sideOf(active)).missed.map((one) => one.id));
  const doubt = (one: Held): number =>
    (acted(one) ? 100 : 0) + (isLong(one) ? 10 : 0) + (4 - severityRank(one.incident.severity));
  const reasons = new Map(active.alerts.map((alert) => [`${alert.fingerprint}@${alert.startsAt}`, alert.reasons]));
  const first = new Map<string, string>();
  for (const { incidentId, fingerprint, startsAt } of shadow.alerts)
    if (incidentId !== null && !first.has(incidentId)) first.set(incidentId, `${fingerprint}@${startsAt}`);
  return shadow.incidents
    .filter((incident) => missed.has(incident.id))
    .map((incident): Held => {
      const reason = reasons.get(first.get(incident.id) ?? '')?.[0];
      return { incident, policy: String(reason?.policy ?? reason?.code ?? 'grouped') };
    })
    .sort((a, b) => doubt(b) - doubt(a) || (a.incident.startedAt < b.incident.startedAt ? -1 : 1));
}

function byPolicy(held: readonly Held[]): string[] {
  const policies = [...new Set(held.map((one) => one.policy))].map((policy) => {
    const own = held.filter((one) => one.policy === policy);
    const count = (of: (one: Held) => boolean) => own.filter(of).length;
    return {
      policy,
      own: own.length,
      critical: count((one) => one.incident.severity === 'critical'),
      long: count(isLong),
      acted: count(acted),
    };
  });
  return policies
    .sort((a, b) => b.own - a.own || (a.policy < b.policy ? -1 : 1))
    .map((one) => `| ${inMarkdown(one.policy)} | ${one.own} | ${one.critical} | ${one.long} | ${one.acted} |`);
}

function loudest(run: Run, held: readonly Held[]): string[] {
  const called = new Set(run.notifications.filter(isPage).map((one) => one.incidentId));
  const quiet = new Set(held.map((one) => one.incident.id));
  const rules = new Map<string, Incident[]>();
  for (const incident of run.incidents)
    if (incident.mergedInto === null)
      rules.set(incident.lead.alertname, [...(rules.get(incident.lead.alertname) ?? []), incident]);
  return [...rules]
    .sort(([a, x], [b, y]) => y.length - x.length || (a < b ? -1 : 1))
    .slice(0, SHOWN)
    .map(([rule, incidents]) => {
      const lasted = incidents.flatMap(({ startedAt, resolvedAt }) =>
        resolvedAt === null ? [] : [(Date.parse(resolvedAt) - Date.parse(startedAt)) / 60_000],
      );
      const median = lasted.sort((a, b) => a - b)[Math.floor(lasted.length / 2)];
      const count = (ids: Set<string>) => incidents.filter((one) => ids.has(one.id)).length;
      return `| ${inMarkdown(rule || '(no name)')} | ${incidents.length} | ${count(called)} | ${median === undefined ? '–' : Math.round(median)} | ${count(quiet)} |`;
    });
}

function receivers(run: Run): string[] {
  const counted = new Map<string, { open: number; escalate: number }>();
  for (const one of run.notifications) {
    if (one.kind !== 'open' && one.kind !== 'escalate') continue;
    const counts = counted.get(one.target) ?? { open: 0, escalate: 0 };
    counts[one.kind] += 1;
    counted.set(one.target, counts);
  }
  if (counted.size === 0) return ['| nobody | 0 | 0 |'];
  return [...counted]
    .sort(([a, x], [b, y]) => y.open + y.escalate - x.open - x.escalate || (a < b ? -1 : 1))
    .slice(0, SHOWN)
    .map(([target, { open, escalate }]) => `| ${inMarkdown(target)} | ${open} | ${escalate} |`);
}

const day = (ms: number): string => `${new Date(ms).toISOString().slice(0, 16)}Z`;
const ratio = (a: number, b: number): string => (b === 0 ? '–' : String(Math.round((a / b) * 10) / 10));
const minutes = ({ startedAt, resolvedAt }: Incident): string =>
  resolvedAt === null ? 'open' : String(Math.round((Date.parse(resolvedAt) - Date.parse(startedAt)) / 60_000));
