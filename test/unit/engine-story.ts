import { loadConfig } from '../../src/config/load.ts';
import { loadModels, type Models } from '../../src/config/models.ts';
import type { Action, ActionName } from '../../src/domain/action.ts';
import type { Alert } from '../../src/domain/alert.ts';
import type { Effects } from '../../src/domain/effects.ts';
import { type Facts, noFacts } from '../../src/domain/facts.ts';
import type { Incident } from '../../src/domain/incident.ts';
import { neverTurned } from '../../src/domain/kill-switch.ts';
import { emptyLedger, type Ledger } from '../../src/domain/ledger.ts';
import type { NotificationJob } from '../../src/domain/notification.ts';
import type { TimelineEntry } from '../../src/domain/timeline.ts';
import { createEngine, type Engine } from '../../src/pipeline.ts';
import { fingerprint } from '../../src/receive/fingerprint.ts';
import { parseWebhook } from '../../src/receive/parse.ts';
import { targetLabel } from '../../src/route/targets.ts';
import { compileRules } from '../../src/rules.ts';
import type { Restored } from '../../src/store/types.ts';
import { folder } from '../fakes/config-tree.ts';

/** A small shop: two teams on Slack and PagerDuty, a schedule, an escalation policy of three steps. */
export const shop = {
  'tocsin.yaml': `
channels:
  slack: { token: { env: SLACK }, signing_secret: { env: SLACK_SIGNING } }
  pagerduty: {}
  email: { smtp_url: { env: SMTP }, from: "tocsin@example.com" }
heartbeats: [ { match: ['alertname="Watchdog"'], within: 10m } ]
correlate: { window: 15m, reopen: 5m }
`,
  'business-context.yaml': `
services:
  checkout: { owner: payments, tier: 1, revenue_per_hour: 12000, currency: USD, customer_impact: high, users: 4000, depends_on: [payment, cart] }
  payment: { owner: payments, tier: 1 }
  cart: { owner: shop, tier: 2 }
`,
  'routing.yaml': `
teams:
  payments: { slack: "#payments", pagerduty: { env: PD_PAYMENTS }, email: [payments@example.com] }
  shop: { slack: "#shop" }
people:
  ana: { slack: U0ANA, email: ana@example.com }
routes:
  default_team: shop
  channels: [slack, pagerduty]
  escalation: default
  routes: [ { match: ['severity="info"'], channels: [log] } ]
escalation_policies:
  default: { steps: [ { after: 0s, notify: [team] }, { after: 5m, notify: ["schedule:primary"] }, { after: 15m, notify: ["team:shop"] } ], repeat: 0, ack_timeout: 30m }
schedules:
  primary: { time_zone: Europe/Berlin, rotation: weekly, handover: "Mon 09:00", members: [ana] }
`,
};

const START = Date.parse('2026-11-20T03:00:00Z');
const secrets = { SLACK: 'x', SLACK_SIGNING: 'y', SMTP: 'smtp://127.0.0.1:1', PD_PAYMENTS: 'k' };

/** An engine with a clock that the story moves: `at('00:05')` is five minutes after three in the morning. */
export function tell(
  files: Record<string, string> = {},
  restored?: { engine: Engine; from: ReturnType<typeof tell> },
  models: Models = loadModels(),
) {
  const loaded = loadConfig(folder({ ...shop, ...files }), secrets);
  if (!loaded.ok) throw new Error(JSON.stringify(loaded.faults, null, 2));
  const rules = compileRules(loaded.config, models);
  const engine = restored?.engine ?? createEngine(rules);
  let clock = START;
  let actions = 0;
  let sent: NotificationJob[] = [];
  const record = {
    alerts: new Map<string, Alert>(),
    incidents: new Map<string, Effects['incidents'][number]>(),
    timeline: [] as TimelineEntry[],
    ledger: emptyLedger() as Ledger,
    suppressed: [] as Effects['suppressed'],
    results: new Map<string, Effects['actionResults'][number]['result']>(),
    links: [] as Effects['links'],
    memory: new Map<string, Effects['memory'][number]>(),
    feedback: [] as Effects['feedback'],
    heartbeats: new Map<string, Effects['heartbeats'][number]>(),
    silences: [] as Effects['silences'],
    audit: [] as Effects['audit'],
    killSwitch: neverTurned(),
  };
  let facts: () => Facts = noFacts;

  function settle() {
    engine.advance(clock);
    for (let asked = engine.requests(clock); asked.length > 0; asked = engine.requests(clock))
      for (const subject of asked) engine.assess(subject.incidentId, facts(), clock);
    const effects = engine.takeEffects(clock);
    for (const { alert } of effects.alerts)
      record.alerts.set(`${alert.source}/${alert.fingerprint}@${alert.startsAt}`, alert);
    for (const one of effects.incidents) record.incidents.set(one.state.id, structuredClone(one));
    for (const name of Object.keys(record.ledger) as (keyof Ledger)[]) record.ledger[name] += effects.ledger[name];
    for (const { id, result } of effects.actionResults) record.results.set(id, result);
    for (const beat of effects.heartbeats) record.heartbeats.set(beat.key, beat);
    record.timeline.push(...effects.timeline);
    record.suppressed.push(...effects.suppressed);
    record.links.push(...effects.links);
    for (const one of effects.memory) record.memory.set(`${one.scope} ${one.key}`, structuredClone(one));
    record.feedback.push(...effects.feedback);
    record.silences.push(...effects.silences);
    record.audit.push(...effects.audit);
    record.killSwitch = effects.killSwitch ?? record.killSwitch;
    sent.push(...effects.notifications);
  }

  /** Moves the clock to `hh:mm[:ss]` after the start, firing every timer on the way at its own time. */
  function at(time: string): void {
    const [hours = 0, minutes = 0, seconds = 0] = time.split(':').map(Number);
    until(START + ((hours * 60 + minutes) * 60 + seconds) * 1000);
  }

  /** The same up to a moment, epoch ms. */
  function until(moment: number): void {
    for (let due = engine.nextDue(); due !== null && due <= moment; due = engine.nextDue()) {
      clock = Math.max(clock, due);
      settle();
    }
    clock = moment;
    settle();
  }

  /** Lets so many seconds pass. */
  function later(seconds: number): void {
    until(clock + seconds * 1000);
  }

  const labelsOf = (alertname: string, labels: Record<string, string>) => ({
    alertname,
    severity: 'critical',
    ...labels,
  });

  function post(
    alerts: {
      status: 'firing' | 'resolved';
      labels: Record<string, string>;
      startsAt?: number;
      endsAt?: number;
      annotations?: object;
    }[],
    source = 'default',
  ) {
    const body = {
      version: '4',
      groupKey: '{}:{}',
      alerts: alerts.map(({ status, labels, startsAt, endsAt, annotations }) => ({
        status,
        labels,
        annotations: annotations ?? { summary: `${labels.alertname} is firing` },
        fingerprint: fingerprint(labels),
        generatorURL: '',
        startsAt: new Date(startsAt ?? clock).toISOString(),
        endsAt: status === 'resolved' ? new Date(endsAt ?? clock).toISOString() : '0001-01-01T00:00:00Z',
      })),
    };
    const { severity_map: severityMap, labels: labelNames } = loaded.ok ? loaded.config.tocsin : (null as never);
    const parsed = parseWebhook(body, { receivedAt: clock, source, severityMap, labelNames });
    if (!parsed.ok) throw new Error(parsed.reason);
    engine.apply(
      {
        kind: 'alerts',
        sighting: { source, deliveryId: '1', trace: 't', seen: parsed.alerts },
        quarantined: parsed.quarantined,
      },
      clock,
    );
    settle();
  }

  const started = new Map<string, number>();
  return {
    at,
    later,
    until,
    post,
    now: () => clock,
    engine,
    record,
    withFacts(next: () => Facts) {
      facts = next;
    },
    fire(alertname: string, labels: Record<string, string> = {}) {
      const all = labelsOf(alertname, labels);
      started.set(fingerprint(all), clock);
      post([{ status: 'firing', labels: all }]);
    },
    resolve(alertname: string, labels: Record<string, string> = {}) {
      const all = labelsOf(alertname, labels);
      post([{ status: 'resolved', labels: all, startsAt: started.get(fingerprint(all)) ?? clock }]);
    },
    act(
      what: ActionName | 'unacknowledge' | 'declare' | 'kill-switch',
      incident: string | null,
      by: string,
      body: Record<string, unknown> = {},
      origin: Action['origin'] = 'api',
    ) {
      actions += 1;
      const id = `a${actions}`;
      engine.apply(
        { kind: 'action', action: { id, do: what, incident: incident ? { id: incident } : null, by, origin, body } },
        clock,
      );
      settle();
      return record.results.get(id)!;
    },
    fingerprintOf: (alertname: string, labels: Record<string, string> = {}) => fingerprint(labelsOf(alertname, labels)),
    /** Everything sent since the last call, as `kind target`, updates left out unless asked for. */
    sent({ updates = false } = {}): string[] {
      const lines = sent
        .filter((job) => updates || (job.kind !== 'update' && job.kind !== 'thread'))
        .map((job) => `${job.kind} ${targetLabel(job.target)}`);
      sent = [];
      return lines;
    },
    /** The jobs that were made since `sent` was asked last. */
    jobs: (): readonly NotificationJob[] => sent,
    threads(): string[] {
      const lines = sent.filter((job) => job.kind === 'thread').map((job) => job.text ?? '');
      sent = sent.filter((job) => job.kind !== 'thread');
      return lines;
    },
    incidents: (): Incident[] =>
      [...record.incidents.values()]
        .filter((i) => i.doc !== null)
        .map((i) => ({ ...i.doc!, status: i.state.status, mergedInto: i.state.mergedInto })),
    only(): Incident {
      const all = [...record.incidents.values()].filter((i) => i.state.mergedInto === null && i.doc !== null);
      if (all.length !== 1)
        throw new Error(`expected one incident, there are ${all.length}: ${all.map((i) => i.doc?.title).join(', ')}`);
      return { ...all[0]!.doc!, status: all[0]!.state.status };
    },
    /** The engine after a kill: rebuilt from what was committed. */
    afterKill(pauseMs = 1_000) {
      const next = createEngine(rules);
      clock += pauseMs;
      const restored: Restored = {
        alerts: structuredClone([...record.alerts.values()]).sort((a, b) => a.receivedAt - b.receivedAt),
        incidents: structuredClone([...record.incidents.values()]),
        memory: structuredClone([...record.memory.values()]),
        links: record.links,
        silences: record.silences,
        heartbeats: [...record.heartbeats.values()],
        rules: [...new Set([...record.alerts.values()].map((a) => a.alertname))],
        deploys: [],
        ledger: record.ledger,
        nextNumber: 1 + Math.max(0, ...[...record.incidents.values()].map((i) => i.state.number)),
        killSwitch: record.killSwitch,
      };
      next.restore(restored, clock);
      Object.assign(engine, next);
      settle();
    },
  };
}

export type Story = ReturnType<typeof tell>;
