import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Incident } from '../../src/domain/incident.ts';
import { renderMail, threadId } from '../../src/notify/email.ts';
import { renderLog } from '../../src/notify/log-channel.ts';
import { buildMessage, fingerprintOf, oneLine } from '../../src/notify/message.ts';
import { renderPagerDuty } from '../../src/notify/pagerduty.ts';
import { renderSlack, renderSlackLine } from '../../src/notify/render-slack.ts';
import { slackActions } from '../../src/notify/slack-actions.ts';
import { renderWebhook } from '../../src/notify/webhook.ts';
import {
  acknowledgedIncident,
  alerts,
  extras,
  incident,
  leadMetrics,
  resolvedIncident,
} from '../fakes/notify-example.ts';
import { slackFaults } from '../fakes/slack-limits.ts';

const slackOf = (doc: Incident, interactive = true) => renderSlack(buildMessage(doc, extras()), { interactive });
const lead = { service: 'payment', alertname: 'PodOOMKilled' };
const mailOptions = { domain: 'example.com', notificationId: 'n1', kind: 'open' as const, line: null };

describe('what the reader at 03:00 gets', () => {
  test('the open incident as Block Kit', () => {
    expect(slackOf(incident())).toMatchSnapshot();
  });

  test('the acknowledged incident says by whom and asks for no acknowledgement', () => {
    const shown = slackOf(acknowledgedIncident());
    expect(shown).toMatchSnapshot();
    expect(JSON.stringify(shown)).not.toContain(slackActions.acknowledge);
  });

  test('the resolved incident says how long it was, and only asks whether it was right', () => {
    const shown = slackOf(resolvedIncident());
    expect(shown).toMatchSnapshot();
    const asked = shown.blocks.flatMap((block) => (block.type === 'actions' ? block.elements : []));
    expect(asked).toMatchObject([{ type: 'static_select', placeholder: { text: 'Was it right?' } }]);
    expect(shown.text).toContain('Resolved after 14 min by ana');
  });

  test('a merged incident points to the elder', () => {
    const elder = { id: 'elder', number: 41, title: 'PodOOMKilled on payment' };
    const message = buildMessage(resolvedIncident({ mergedInto: 'elder' }), extras({ elder }));
    const shown = JSON.stringify(renderSlack(message, { interactive: true }));
    expect(shown).toContain('https://tocsin.example.com/api/v1/incidents/elder|#41 PodOOMKilled on payment');
    expect(oneLine(message)).toMatch(/^Merged into #41 PodOOMKilled on payment/);
  });

  test('every state is at most 10 blocks that Slack would take', () => {
    for (const doc of [incident(), acknowledgedIncident(), resolvedIncident(), resolvedIncident({ mergedInto: 'x' })]) {
      const shown = slackOf(doc);
      expect(slackFaults(shown)).toEqual([]);
      expect(shown.blocks.length).toBeLessThanOrEqual(10);
    }
  });

  test('the lock-screen line decides alone: severity, what, impact, suspect, deploy, since', () => {
    expect(oneLine(buildMessage(incident(), extras()))).toBe(
      'CRITICAL HighErrorRate on checkout · payment | 40,000 users · 12,000 USD/h at stake | 12.4 %, 2.5 times the limit of 5 %, getting worse, +1.1 % a minute | began 5 min after deploy 4f2c of payment (was 3e1b) by ben | suspect payment (PodOOMKilled), 71 %, high confidence | since 2026-11-20 03:12 UTC | #42',
    );
  });

  test('a low-confidence cause is called no clear cause, in every channel', () => {
    const [first] = incident().rootCauses;
    const message = buildMessage(
      incident({ rootCauses: [{ ...first!, confidence: 'low', probability: 0.3 }] }),
      extras(),
    );
    const said = [
      JSON.stringify(renderSlack(message, { interactive: true })),
      renderMail(message, mailOptions).text,
      JSON.stringify(renderPagerDuty(message, lead)),
    ];
    for (const text of said) {
      expect(text).toMatch(/no.clear.cause/i);
      expect(text).not.toContain('Likeliest cause');
    }
    expect(oneLine(message)).not.toContain('suspect');
  });

  test('a lone alert is not called its own cause', () => {
    const alone = {
      service: 'payment',
      alertname: 'PodOOMKilled',
      deployId: null,
      evidence: [],
      causalChain: ['payment'],
    };
    const doc = incident({
      alertCount: 1,
      firingCount: 1,
      services: ['payment'],
      rootCauses: [{ ...incident().rootCauses[0]!, ...alone, probability: 0.94 }],
    });
    const message = buildMessage(doc, extras({ alerts: alerts.slice(0, 1) }));
    const shown = JSON.stringify(renderSlack(message, { interactive: true }));
    expect(shown).toContain('*No clear cause:* this is the only alert so far');
    expect(shown).not.toContain('94 %');
    expect(oneLine(message)).not.toContain('suspect');
    const blamed = buildMessage({ ...doc, rootCauses: incident().rootCauses.slice(0, 1) }, extras());
    expect(JSON.stringify(renderSlack(blamed, { interactive: true }))).toContain('Likeliest cause');
  });

  test('the tail of the ranking is not listed as possible', () => {
    const [first, second] = incident().rootCauses;
    const text = (probability: number) =>
      JSON.stringify(slackOf(incident({ rootCauses: [first!, { ...second!, probability }] })));
    expect(text(0.12)).toContain('Also possible: cart, 12 %');
    expect(text(0.04)).not.toContain('Also possible');
  });

  test('what the alert says of itself is told, unless the headline said it', () => {
    expect(JSON.stringify(slackOf(incident()).blocks[1])).toContain('payment was killed');
    const { lead: own } = incident();
    const summary = (text: string | null, description: string | null = null) =>
      buildMessage(incident({ lead: { ...own, summary: text, description } }), extras()).symptom;
    expect(summary('HighErrorRate on CHECKOUT')).toBeNull();
    expect(summary(null, 'a long story')).toBe('a long story');
    expect(summary(null)).toBeNull();
  });

  test('the value, its limit and whether it gets worse come before the cause', () => {
    const { blocks } = slackOf(incident());
    const at = (text: string) => blocks.findIndex((block) => JSON.stringify(block).includes(text));
    expect(at('*Now:* 12.4 %, 2.5 times the limit of 5 %, getting worse, +1.1 % a minute')).toBe(1);
    expect(at('its own series says')).toBe(1);
    expect(at('Likeliest cause')).toBe(2);
    expect(at('5 min after deploy 4f2c')).toBe(2);
    expect(at('*First:*')).toBe(3);
  });

  test('what happened before is told with the number it rests on; a first time is a fact too', () => {
    const similar = (changes: Partial<Incident>) => buildMessage(incident(changes), extras()).similar;
    expect(similar({})).toBe(
      'Seen 3 times before, median 30 min, 9 of 10 within 1 h 30 min; last #7 HighErrorRate on checkout on 2026-11-02, lasted 25 min, ended by rollback of payment',
    );
    const history = (incidents: number, firstEver: boolean, selfResolvedShare: number | null = null) => ({
      metrics: { history: { incidents, firstEver, selfResolvedShare } },
      similarIncidents: [],
    });
    expect(similar(history(0, true))).toBe('First time ever for this alert');
    expect(similar(history(0, false))).toBeNull();
    expect(similar(history(1, false))).toBe('Seen once before');
    expect(similar(history(5, false, 0.8))).toContain('80 % ended by themselves');
    expect(similar({ metrics: {} })).toMatch(/^Seen before: #7/);
  });

  describe('money', () => {
    const costing = (more: Partial<Incident['impact']>, changes: Partial<Incident> = {}) =>
      buildMessage(incident({ impact: { ...incident().impact, ...more }, ...changes }), extras());

    test('is said to be expected, with its rate, its duration and what that rests on', () => {
      expect(costing({}).impact).toContain('6,000 USD expected (12,000 USD/h × 30 min, 12 similar incidents)');
      const assumed = { p50: 3600, p90: 3600, basis: 'assumed, no similar incidents' };
      expect(costing({ totalRevenueImpact: 12000, estimatedDurationSeconds: assumed }).impact).toContain(
        '12,000 USD expected (12,000 USD/h × 1 h, assumed, no similar incidents)',
      );
    });

    test('is what may be lost by a stated time once it has outlasted that, for a message is read later', () => {
      // Since 03:12, at 12,000 an hour.
      expect(costing({ totalRevenueImpact: 18000 }).impact).toContain(
        'up to 18,000 USD lost by 2026-11-20 04:42 UTC (12,000 USD/h, longer than the 30 min expected)',
      );
      expect(costing({ totalRevenueImpact: 6000.01 }).impact).toContain('longer than the 30 min expected');
    });

    test('is an upper bound when it is over', () => {
      expect(buildMessage(resolvedIncident(), extras()).impact).toContain('at most 6,000 USD lost');
      expect(buildMessage(resolvedIncident(), extras()).impact).not.toContain('expected');
    });

    test('is not there without a figure or a currency, and a lock screen shows what an hour costs', () => {
      const none = { revenuePerHour: null, currency: null, totalRevenueImpact: null };
      expect(costing(none).impact).toBe(
        'high customer impact · 40,000 users · SLO breach risk high · regulated service',
      );
      expect(costing({ currency: null }).impact).not.toMatch(/000\/h|expected/);
      expect(costing({ revenuePerHour: 0, totalRevenueImpact: 0 }).impact).not.toContain('USD');
      expect(costing({}).toll).toBe('40,000 users · 12,000 USD/h at stake');
      expect(costing(none).toll).toBe('40,000 users');
    });

    test('below ten is shown to the cent', () => {
      expect(costing({ revenuePerHour: 2.5, totalRevenueImpact: 1.25 }).impact).toContain(
        '1.25 USD expected (2.5 USD/h × 30 min',
      );
    });
  });

  test('the risk to an objective says how fast its budget burns, where that is measured', () => {
    const risk = (errorBudget: Incident['impact']['errorBudget'], slaBreachRisk: 'high' | 'low' = 'high') =>
      buildMessage(incident({ impact: { ...incident().impact, slaBreachRisk, errorBudget } }), extras()).impact;
    expect(risk(null)).toContain('· SLO breach risk high ·');
    expect(risk({ service: 'checkout', burnRate: 47.6, left: 0.124 })).toContain(
      '· SLO breach risk high (checkout burns its error budget 48 times too fast, 12 % left) ·',
    );
    expect(risk({ service: 'checkout', burnRate: 1.25, left: -3 })).toContain('1.3 times too fast, none left)');
    expect(risk({ service: 'checkout', burnRate: 0.5, left: null })).toContain('· SLO breach risk high ·');
    expect(risk({ service: 'checkout', burnRate: 0.5, left: 1 }, 'low')).not.toContain('SLO');
  });

  test('services that will follow are named while it lasts; that it may spread is said where none is', () => {
    const reaching = (expectedServices: string[], cascadeRisk: 'high' | 'low', changes: Partial<Incident> = {}) =>
      buildMessage(incident({ impact: { ...incident().impact, expectedServices, cascadeRisk }, ...changes }), extras())
        .impact;
    expect(reaching(['a', 'b'], 'high')).toMatch(/^expected to reach a, b · high customer impact · 40,000 users/);
    expect(reaching(['a', 'b'], 'high')).not.toContain('likely to spread');
    expect(reaching(['a', 'b', 'c', 'd', 'e'], 'low')).toContain('expected to reach a, b, c and 2 more');
    expect(reaching([], 'high')).toContain('likely to spread');
    expect(reaching(['a'], 'high', { status: 'resolved' })).not.toMatch(/to reach|spread/);
  });

  test('alerts alike are one line with their number', () => {
    const shown = JSON.stringify(slackOf(incident()));
    expect(shown).toContain('🟠 HighErrorRate (checkout) ×12');
    expect(shown).toContain('…and 3 more');
  });

  test('without a signing secret there is no button, for it could not work', () => {
    expect(slackOf(incident(), false).blocks.some((block) => block.type === 'actions')).toBe(false);
  });

  test('a button carries the incident id and nothing else', () => {
    const actions = slackOf(incident()).blocks.find((block) => block.type === 'actions');
    for (const element of actions?.type === 'actions' ? actions.elements : []) {
      if (element.type === 'button') expect(element.value).toBe(incident().id);
    }
    expect(actions?.type === 'actions' ? actions.elements.length : 0).toBeGreaterThan(3);
  });

  test('without a public address nothing links to us', () => {
    const message = buildMessage(incident(), extras({ publicUrl: null }));
    expect(JSON.stringify(renderSlack(message, { interactive: true }))).not.toContain('/api/v1/incidents');
  });

  test('assist marks what would have been held back, everywhere; shadow and pass-through send as if nothing was', () => {
    const doc = (mode: Incident['decision']['mode']) =>
      incident({
        decision: {
          verdict: 'suppress',
          actionability: 0.1,
          mode,
          reasons: [{ code: 'noise', text: 'nobody is on call for dev' }],
        },
      });
    const said = (mode: Incident['decision']['mode']) => {
      const message = buildMessage(doc(mode), extras());
      return [
        JSON.stringify(renderSlack(message, { interactive: true }).blocks),
        oneLine(message),
        renderMail(message, mailOptions).text,
        JSON.stringify(renderPagerDuty(message, lead)),
      ];
    };
    for (const text of said('assist')) expect(text).toContain('Would have been held back: nobody is on call for dev');
    for (const mode of ['shadow', 'passthrough'] as const)
      for (const text of said(mode)) expect(text).not.toMatch(/held/i);
  });

  test('the same incident gives the same fingerprint, a change another, a new timeline line the same', () => {
    const print = (doc: Incident, more = {}) => fingerprintOf(buildMessage(doc, extras(more)));
    expect(print(incident())).toBe(print(incident()));
    expect(print(incident({ firingCount: 11 }))).not.toBe(print(incident()));
    expect(print(incident(), { timeline: [] })).toBe(print(incident()));
  });
});

describe('the other channels say the same', () => {
  test('mail as text and HTML', () => {
    expect(renderMail(buildMessage(incident(), extras()), mailOptions)).toMatchSnapshot();
  });

  test('later mails answer the first one by ids made from the incident alone', () => {
    const message = buildMessage(resolvedIncident(), extras());
    const first = renderMail(message, mailOptions);
    const last = renderMail(message, { ...mailOptions, kind: 'resolve', notificationId: 'n2' });
    expect(first.messageId).toBe(threadId(message.incidentId, 'example.com'));
    expect(last.headers['In-Reply-To']).toBe(first.messageId);
    expect(last.headers.References).toBe(first.messageId);
    expect(last.messageId).not.toBe(first.messageId);
  });

  test('PagerDuty gets a trigger whose dedup key is the incident', () => {
    const event = renderPagerDuty(buildMessage(incident(), extras()), lead);
    expect(event).toMatchSnapshot();
    expect(event.dedup_key).toBe(incident().id);
  });

  test('severities become PagerDuty words', () => {
    const severityOf = (severity: Incident['severity']) =>
      renderPagerDuty(buildMessage(incident({ severity }), extras()), lead).payload?.severity;
    expect([
      severityOf('critical'),
      severityOf('high'),
      severityOf('medium'),
      severityOf('low'),
      severityOf('info'),
    ]).toEqual(['critical', 'error', 'warning', 'info', 'info']);
  });

  test('a webhook gets the incident as the API shows it, and the kind', () => {
    const doc = incident();
    const body = renderWebhook({
      id: 'n1',
      kind: 'open',
      incident: doc,
      message: buildMessage(doc, extras()),
      text: null,
    });
    expect(body).toMatchObject({ ...doc, kind: 'open', notificationId: 'n1' });
  });

  test('the log gets one line', () => {
    expect(renderLog(buildMessage(incident(), extras()), 'open', null)).toMatch(
      /^open CRITICAL HighErrorRate on checkout .* #42$/,
    );
  });
});

const evil = {
  mention: '<!channel> <!here> <@U0ANA> <#C0SRE>',
  link: '<https://evil.example.com|click>',
  lines: 'a\r\nBcc: everyone@example.com\n\nsecond',
  turned: 'safe\u202egnp.exe\u2066\u200b',
  control: '\u0000\u0007\u001b[31mred\u009b',
  html: '<img src=x onerror=alert(1)>"\'&',
  ticks: '``` `code` *bold* _x_ ~y~ &amp; :tada:',
  lone: 'half \ud83d of a pair',
};

/** The incident with one text put wherever a label can reach. */
const withText = (text: string): Incident => {
  const base = incident();
  return incident({
    title: text,
    services: [text, `${text}2`],
    team: text,
    assignee: text,
    rootCauses: base.rootCauses.map((cause) => ({
      ...cause,
      service: text,
      alertname: text,
      causalChain: [text, text],
      evidence: cause.evidence.map((line) => ({ ...line, text })),
    })),
    recommendations: [{ action: text, why: text, runbook: text }],
    deploys: base.deploys.map((deploy) => ({
      ...deploy,
      service: text,
      version: text,
      previousVersion: text,
      author: text,
      url: text,
    })),
    similarIncidents: base.similarIncidents.map((similar) => ({ ...similar, title: text, endedBy: text })),
    degraded: [{ stage: text, reason: text }],
    decision: { verdict: 'suppress', actionability: 0, mode: 'shadow', reasons: [{ code: 'x', text }] },
    nextEscalation: { at: base.nextEscalation!.at, notify: [text] },
    lead: {
      ...base.lead,
      service: text,
      alertname: text,
      summary: text,
      runbook: text,
      dashboard: text,
      labels: { cluster: text },
    },
    metrics: { prometheus: leadMetrics({ value: null, text, expression: text }) },
    configHash: text,
  });
};
const evilExtras = (text: string) =>
  extras({
    alerts: alerts.map((alert) => ({ ...alert, alertname: text, service: text })),
    timeline: [{ incidentId: 'i', at: 0, kind: 'note', text, by: text, data: {} }],
  });

describe('labels are hostile', () => {
  const everything = Object.values(evil).join(' ');

  test('nobody is mentioned and no link is forged in Slack', () => {
    const shown = JSON.stringify(
      renderSlack(buildMessage(withText(everything), evilExtras(everything)), { interactive: true }),
    );
    expect(shown).not.toMatch(/<!(channel|here|everyone)/);
    expect(shown).not.toMatch(/<[@#]/);
    expect(shown).not.toContain('<https://evil.example.com|click>');
    expect(shown).toContain('&lt;!channel&gt;');
    expect(renderSlackLine(everything)).not.toMatch(/<[!@#h]/);
  });

  test('no header, line or markup is forged in mail', () => {
    const mail = renderMail(buildMessage(withText(everything), evilExtras(everything)), {
      ...mailOptions,
      line: everything,
    });
    expect(mail.subject).not.toMatch(/[\r\n]/);
    expect(mail.html).not.toContain('<img');
    expect(mail.text).not.toMatch(/^Bcc:/m);
    expect(JSON.stringify(mail.headers)).not.toMatch(/\\[rn]/);
  });

  test('no character that steers a terminal or turns the text survives', () => {
    const message = buildMessage(withText(everything), evilExtras(everything));
    const said = [
      oneLine(message),
      renderLog(message, 'open', everything),
      renderPagerDuty(message, lead).payload!.summary,
      renderMail(message, mailOptions).subject,
    ];
    for (const text of said) {
      // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what must not be there
      expect(text).not.toMatch(/[\u0000-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069\u200b]/);
      expect(text.isWellFormed()).toBe(true);
    }
  });

  test('only http and https become links', () => {
    for (const address of [
      'javascript:alert(1)',
      'data:text/html,x',
      'file:///etc/passwd',
      'https://user:pass@example.com/',
      'slack://x',
    ]) {
      const message = buildMessage(withText(address), evilExtras('x'));
      expect(message.links.runbook).toBeNull();
      expect(message.links.dashboard).toBeNull();
      expect(message.deploys[0]?.url).toBeNull();
      expect(renderPagerDuty(message, lead).links?.map((link) => link.href)).toEqual([message.links.incident]);
    }
  });

  test('a 1 MB label fits every limit', () => {
    for (const piece of ['x', '<', '&', '"', '\\', '`', '🔥', '\u202e', 'é\u0301', '\n']) {
      const text = piece.repeat(1_000_000 / piece.length);
      const message = buildMessage(withText(text), evilExtras(text));
      const shown = renderSlack(message, { interactive: true });
      expect(slackFaults(shown), piece).toEqual([]);
      expect(JSON.stringify(shown.blocks).length).toBeLessThanOrEqual(12_000);
      expect(shown.text.length).toBeLessThanOrEqual(4_000);
      const event = renderPagerDuty(message, { service: text, alertname: text });
      expect(event.payload!.summary.length).toBeLessThanOrEqual(1024);
      expect(JSON.stringify(event).length).toBeLessThan(100_000);
      expect(renderMail(message, mailOptions).subject.length).toBeLessThanOrEqual(200);
    }
  });

  test('whatever the text, Slack would take the message', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 600 }), (text) => {
        const shown = renderSlack(buildMessage(withText(text), evilExtras(text)), { interactive: true });
        expect(slackFaults(shown)).toEqual([]);
        expect(JSON.stringify(shown.blocks).length).toBeLessThanOrEqual(12_000);
        expect(shown.blocks.length).toBeLessThanOrEqual(10);
      }),
      { numRuns: 300, seed: 42 },
    );
  });

  test('the validator itself finds what is too long, unknown or doubled', () => {
    const text = (length: number) => ({ type: 'mrkdwn', text: 'x'.repeat(length) });
    expect(slackFaults({ blocks: [{ type: 'section', text: text(3001) }] })).toHaveLength(1);
    expect(
      slackFaults({ blocks: [{ type: 'header', text: { type: 'plain_text', text: 'x'.repeat(151) } }] }),
    ).toHaveLength(1);
    expect(slackFaults({ blocks: [{ type: 'context', elements: Array(11).fill(text(1)) }] })).toHaveLength(1);
    expect(slackFaults({ blocks: Array(5).fill({ type: 'section', text: text(3000) }) })).toEqual([
      expect.stringContaining('msg_blocks_too_long'),
    ]);
    expect(slackFaults({ blocks: [{ type: 'banner' }] })).toHaveLength(1);
    expect(slackFaults({ blocks: [{ type: 'section', text: text(0) }] })).toHaveLength(1);
  });
});
