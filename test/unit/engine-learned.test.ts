import { describe, expect, test } from 'vitest';
import { tell } from './engine-story.ts';

const quiet = 'actionability: { enabled: false }\n';
const active = (suppression = quiet) => ({
  'tocsin.yaml': 'channels: { slack: { token: { env: SLACK } } }\nsuppress: { mode: active }\n',
  'suppression.yaml': suppression,
});
const cart = { service: 'cart', severity: 'warning' };
type Story = ReturnType<typeof tell>;
const time = (minutes: number) =>
  `${String(Math.floor(minutes / 60)).padStart(2, '0')}:${String(minutes % 60).padStart(2, '0')}`;

/** The rule fires alone at each of these minutes and ends so many minutes later. */
function blips(story: Story, rule: string, at: number[], lasts: number, labels: Record<string, string> = cart): void {
  for (const minute of at) {
    story.at(time(minute));
    story.fire(rule, labels);
    story.at(time(minute + lasts));
    story.resolve(rule, labels);
  }
}
const news = (story: Story) => story.sent().filter((line) => !line.startsWith('escalate'));
const codes = (story: Story) =>
  story
    .incidents()
    .at(-1)!
    .decision.reasons.map(({ code }) => code);

describe('a rule that usually ends by itself', () => {
  const measured = () => {
    const story = tell(active());
    blips(story, 'Blip', [0, 60, 120, 180, 240], 2);
    story.at('05:00');
    story.sent();
    return story;
  };

  test('waits, and when it ends in time nobody hears of it', () => {
    const story = measured();
    story.fire('Blip', cart);
    expect(codes(story)).toEqual(['transient']);
    story.at('05:03');
    story.resolve('Blip', cart);
    story.at('05:30');
    expect(story.sent({ updates: true })).toEqual([]);
  });

  test('notifies at the deadline when it still fires, and is what was done then', () => {
    const story = measured();
    story.fire('Blip', cart);
    story.at('05:04');
    expect(story.sent()).toEqual([]);
    expect(story.record.ledger.suppressed).toBe(1);
    story.at('05:05');
    expect(story.sent()).toEqual(['open slack:#shop']);
    expect(story.record.ledger).toMatchObject({ suppressed: 0, inFlight: 0 });
    expect(story.record.timeline.at(-1)).toMatchObject({ kind: 'released' });
  });

  test('does not wait beside another alert of the incident, when it is critical, or after a restart that forgot nothing', () => {
    const wider = measured();
    wider.fire('Blip', cart);
    wider.fire('Slow', cart);
    expect(wider.sent()).toContain('open slack:#shop');
    const critical = measured();
    critical.fire('Blip', { service: 'cart', severity: 'critical' });
    expect(critical.sent()).toContain('open slack:#shop');
    const restarted = measured();
    restarted.afterKill();
    restarted.fire('Blip', cart);
    expect(codes(restarted)).toEqual(['transient']);
  });

  test('is not believed when people acted, or on fewer firings than configured', () => {
    const story = tell(active());
    for (const minute of [0, 60, 120, 180, 240]) {
      story.at(time(minute));
      story.fire('Blip', cart);
      story.act('acknowledge', story.incidents().at(-1)!.id, 'ana');
      story.at(time(minute + 2));
      story.resolve('Blip', cart);
    }
    story.at('05:00');
    story.sent();
    story.fire('Blip', cart);
    expect(story.sent()).toEqual(['open slack:#shop']);

    const once = tell(active(`${quiet}transient: { overrides: [ { match: ['service="cart"'], firings: 20 } ] }\n`));
    blips(once, 'Blip', [0, 60, 120, 180, 240], 2);
    once.at('05:00');
    once.sent();
    once.fire('Blip', cart);
    expect(once.sent()).toEqual(['open slack:#shop']);
  });
});

describe('an alert that comes and goes', () => {
  const flapping = (): Story => {
    const story = tell(active(`${quiet}transient: { enabled: false }\n`));
    blips(story, 'Flap', [0, 8, 16], 1);
    return story;
  };

  test('is told once while it flaps, then held until it is calm, and tells again after that', () => {
    const story = flapping();
    expect(story.sent().filter((line) => line.startsWith('open'))).toHaveLength(3);
    blips(story, 'Flap', [24, 32, 40], 1);
    story.at('00:45');
    expect(story.sent({ updates: true })).toEqual([]);
    expect(codes(story)).toContain('flapping');
    story.at('03:00');
    story.fire('Flap', cart);
    expect(story.sent()).toEqual(['open slack:#shop']);
  });

  test('leaves that state at fewer changes than it enters: one change more or less makes no difference', () => {
    const story = flapping();
    story.at('01:01');
    story.fire('Flap', cart);
    expect(story.incidents().at(-1)!.decision.reasons[0]).toMatchObject({ code: 'flapping' });
  });

  test('notifies again when it still flaps after the reminder`s time, and when it becomes worse', () => {
    const story = flapping();
    for (let minute = 24; minute < 24 + 5 * 60; minute += 8) blips(story, 'Flap', [minute], 1);
    const opened = story.sent().filter((line) => line.startsWith('open'));
    expect(opened).toHaveLength(4);
    const worse = flapping();
    worse.at('00:24');
    worse.fire('Flap', cart);
    worse.sent();
    worse.fire('Down', { service: 'cart', severity: 'critical' });
    expect(worse.sent()).toContain('open slack:#shop');
  });

  test('flaps on over a restart', () => {
    const story = flapping();
    story.afterKill();
    story.at('00:24');
    story.sent();
    story.fire('Flap', cart);
    expect(codes(story)).toEqual(['flapping']);
  });
});

describe('a team`s hour', () => {
  const services = Array.from({ length: 14 }, (_, i) => `job-${i}`);
  const files = (budget = '') => ({
    ...active(`${quiet}symptoms: { enabled: false }\n${budget}`),
    'business-context.yaml': `services:\n${services.map((name) => `  ${name}: { owner: shop, tier: 4 }`).join('\n')}\n`,
  });
  /** Every rule is known, and nobody is told of that. */
  const started = (budget = '') => {
    const story = tell(files(budget));
    story.engine.know(services.map((_, i) => `Rule${i}`));
    return story;
  };
  const fireAll = (story: Story, severity = 'warning') =>
    services.forEach((service, i) => {
      story.at(time(i * 2));
      story.fire(`Rule${i}`, { service, severity, namespace: service });
    });

  test('takes ten new messages; the rest comes as one digest at its end, and what still fires comes up again', () => {
    const story = started();
    fireAll(story);
    expect(story.sent().filter((line) => line.startsWith('open'))).toHaveLength(10);
    expect(codes(story)).toEqual(['budget']);
    story.resolve('Rule13', { service: 'job-13', severity: 'warning', namespace: 'job-13' });
    story.at('00:59');
    expect(news(story)).toEqual([]);
    story.at('01:00');
    expect(news(story)).toEqual(['digest slack:#shop', ...Array.from({ length: 3 }, () => 'open slack:#shop')]);
    const { received, notified, grouped, suppressed, inFlight } = story.record.ledger;
    expect(received).toBe(notified + grouped + suppressed + inFlight);
  });

  test('lists in the digest what was held, the most urgent first, with how it stands', () => {
    const story = started();
    fireAll(story);
    story.resolve('Rule13', { service: 'job-13', severity: 'warning', namespace: 'job-13' });
    story.at('01:00');
    const { digest } = story.jobs().find(({ kind }) => kind === 'digest')!;
    expect(digest).toMatchObject({ kind: 'budget', team: 'shop', total: 4 });
    expect(digest!.items.map(({ outcome }) => outcome)).toEqual([
      'still firing',
      'still firing',
      'still firing',
      expect.stringMatching(/^ended by itself after/),
    ]);
  });

  test('leaves urgent incidents, floors and other teams alone', () => {
    const urgent = started();
    fireAll(urgent, 'critical');
    expect(urgent.sent().filter((line) => line.startsWith('open'))).toHaveLength(14);
    const floored = started('floors: [ { match: [\'service=~"job-.*"\'] } ]\n');
    fireAll(floored);
    expect(floored.sent().filter((line) => line.startsWith('open'))).toHaveLength(14);
    const more = started('budget: { teams: { shop: 12 } }\n');
    fireAll(more);
    expect(more.sent().filter((line) => line.startsWith('open'))).toHaveLength(12);
  });

  test('is remembered over a restart', () => {
    const story = started();
    fireAll(story);
    story.afterKill();
    story.sent();
    story.at('01:00');
    expect(story.sent()).toContain('digest slack:#shop');
  });
});

describe('a symptom', () => {
  const shop = (extra = '') => ({
    ...active(`${quiet}${extra}`),
    'business-context.yaml': `services:
  db: { owner: shop }
  api: { owner: shop, depends_on: [db] }
  web: { owner: shop, depends_on: [api] }
  mail: { owner: shop }
`,
  });
  /** The database is down and somebody was told; so was somebody, on another day, of the rule that fires on what stands on it. */
  const down = (extra = '') => {
    const story = tell(shop(extra));
    story.engine.know(['DiskFull', 'QueueGrows']);
    story.fire('DiskFull', { service: 'db', severity: 'high' });
    const { state, doc } = story.record.incidents.get(story.only().id)!;
    // How sure the ranking is of a lone alert is not the point here.
    expect([state.wanted, doc!.rootCauses[0]!.service]).toEqual([true, 'db']);
    doc!.rootCauses[0]!.confidence = 'high';
    story.afterKill();
    story.engine.know(['DiskFull', 'QueueGrows', 'Slow']);
    story.sent();
    story.at('00:04');
    return story;
  };
  const last = (story: Story) => story.incidents().at(-1)!;
  const queue = { service: 'web', severity: 'warning' };

  test('of an incident that somebody was told of waits, and says whose it is', () => {
    const story = down();
    story.fire('QueueGrows', queue);
    expect(last(story).decision.reasons[0]).toMatchObject({
      code: 'symptom',
      text: expect.stringContaining('incident 1'),
      incidentId: story.incidents()[0]!.id,
    });
    expect(news(story)).toEqual([]);
  });

  test('stands for itself once that incident is over, or after its time', () => {
    const story = down();
    story.fire('QueueGrows', queue);
    story.at('00:10');
    story.resolve('DiskFull', { service: 'db', severity: 'high' });
    expect(news(story)).toEqual(['resolve slack:#shop', 'resolve slack:U0ANA', 'open slack:#shop']);
    const still = down('symptoms: { for: 20m }\n');
    still.fire('QueueGrows', queue);
    still.at('00:23');
    expect(news(still)).toEqual([]);
    still.at('00:24');
    expect(news(still)).toEqual(['open slack:#shop']);
  });

  test('is only what stands on the suspect in the same cluster, is no worse, and begins soon after', () => {
    const beside = down();
    beside.fire('QueueGrows', { service: 'mail', severity: 'warning' });
    expect(news(beside)).toEqual(['open slack:#shop']);
    const elsewhere = down();
    elsewhere.fire('QueueGrows', { ...queue, cluster: 'other' });
    expect(news(elsewhere)).toEqual(['open slack:#shop']);
    const worse = down();
    worse.fire('Slow', { service: 'web', severity: 'critical' });
    expect(news(worse)).toEqual(['open slack:#shop']);
    const later = down();
    later.at('00:09');
    later.fire('QueueGrows', queue);
    expect(news(later)).toEqual(['open slack:#shop']);
    const off = down('symptoms: { enabled: false }\n');
    off.fire('QueueGrows', queue);
    expect(news(off)).toEqual(['open slack:#shop']);
  });
});

describe('what is hardly worth waking anybody for', () => {
  /** It fires alone again and again, and nobody ever acts on it. */
  const lonely = (suppression = '') => {
    const story = tell(active(`transient: { enabled: false }\nflapping: { enabled: false }\n${suppression}`));
    blips(story, 'Probe', [0, 90, 180], 30);
    story.at('05:00');
    return story;
  };

  test('is held back once its rule has been seen often enough, and says why in words and numbers', () => {
    const story = lonely();
    expect(news(story).filter((line) => line.startsWith('open'))).toHaveLength(2);
    story.fire('Probe', cart);
    expect(news(story)).toEqual([]);
    const { decision } = story.incidents().at(-1)!;
    expect(decision).toMatchObject({ verdict: 'suppress', mode: 'active' });
    expect(decision.actionability).toBeLessThan(0.7);
    expect(decision.reasons[0]).toMatchObject({ code: 'actionability', policy: 'actionability' });
    expect(decision.reasons[0]!.text).toMatch(/below 0\.7 \(Probe has so far mostly fired alone/);
  });

  test('notifies when it still fires after hours, and at once when it is not alone any more', () => {
    const story = lonely();
    story.fire('Probe', cart);
    news(story);
    story.at('08:59');
    expect(news(story)).toEqual([]);
    story.at('09:00');
    expect(news(story)).toEqual(['open slack:#shop']);
    const joined = lonely();
    joined.fire('Probe', cart);
    news(joined);
    joined.fire('Slow', cart);
    expect(news(joined)).toEqual(['open slack:#shop']);
  });

  test('counts as grouped once it is part of an incident that somebody was told of', () => {
    const story = lonely();
    story.at('05:00');
    story.fire('Slow', { service: 'checkout', severity: 'warning' });
    const elder = story.incidents().at(-1)!.id;
    story.fire('Probe', cart);
    const younger = story.incidents().at(-1)!;
    expect([younger.decision.verdict, story.record.ledger.suppressed]).toEqual(['suppress', 2]);
    story.act('merge', younger.id, 'ana', { into: elder });
    // The one that ended before stays what it was.
    expect(story.record.ledger).toMatchObject({ suppressed: 1, inFlight: 0 });
    expect([...story.record.alerts.values()].at(-1)!.fireVerdict).toBe('group');
  });

  test('is told again when people say that it is real, and when they act on it', () => {
    const real = lonely();
    real.fire('Probe', cart);
    const { id } = real.incidents().at(-1)!;
    for (const by of ['ana', 'bilal', 'chen']) real.act('feedback', id, by, { kind: 'should-have-paged' });
    real.at('05:30');
    real.resolve('Probe', cart);
    real.at('07:00');
    news(real);
    real.fire('Probe', cart);
    expect(news(real)).toEqual(['open slack:#shop']);
  });

  test('is whatever the config says: another threshold, another rule, or not at all', () => {
    const off = lonely(`actionability: { overrides: [ { match: ['service="cart"'], enabled: false } ] }\n`);
    news(off);
    off.fire('Probe', cart);
    expect(news(off)).toEqual(['open slack:#shop']);
    const low = lonely('actionability: { threshold: 0.05 }\n');
    news(low);
    low.fire('Probe', cart);
    expect(news(low)).toEqual(['open slack:#shop']);
  });
});
