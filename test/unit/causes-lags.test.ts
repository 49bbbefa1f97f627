import { describe, expect, it } from 'vitest';
import { loadModels } from '../../src/config/models.ts';
import { buildGraph } from '../../src/correlate/graph.ts';
import { createLags } from '../../src/score/causes/lags.ts';
import { type CauseAlert, rankCauses } from '../../src/score/causes.ts';
import { tell } from './engine-story.ts';

const noon = Date.UTC(2026, 0, 5, 12);
const day = 86_400_000;
const at = (service: string | null, seconds: number) => ({
  namespace: 'shop',
  service,
  startsAt: noon + seconds * 1000,
});
const place = (service: string) => ({ namespace: 'shop', service });

describe('who begins before whom', () => {
  it('is counted per incident by the first alert of each service, and read both ways round', () => {
    const lags = createLags();
    lags.learn('', [at('db', 0), at('db', 300), at('web', 40), at(null, 5)], noon);
    lags.learn('', [at('web', 80), at('db', 0)], noon);
    lags.learn('', [at('db', 60), at('web', 0)], noon);
    expect(lags.between('', place('db'), place('web'))).toEqual({ before: 2, after: 1, lagMs: 20_000 });
    expect(lags.between('', place('web'), place('db'))).toEqual({ before: 1, after: 2, lagMs: -20_000 });
    expect(lags.between('', place('db'), place('mail'))).toBeNull();
    expect(lags.between('other', place('db'), place('web'))).toBeNull();
  });

  it('says nothing of onsets as close as the clocks of rules are', () => {
    const lags = createLags();
    lags.learn('', [at('db', 0), at('web', 4)], noon);
    expect(lags.between('', place('db'), place('web'))).toBeNull();
    expect(lags.drain()).toEqual([]);
  });

  it('fades, and outlives a restart through the store', () => {
    const lags = createLags();
    for (let i = 0; i < 8; i += 1) lags.learn('', [at('db', 0), at('web', 30)], noon);
    lags.learn('', [at('web', 0), at('db', 30)], noon + 120 * day);
    const records = lags.drain();
    expect(records).toHaveLength(1);
    expect(lags.drain()).toEqual([]);
    const again = createLags();
    again.load([...records, { scope: 'rule', key: 'x', doc: {} }]);
    const known = again.between('', place('db'), place('web'))!;
    expect(known).toEqual(lags.between('', place('db'), place('web')));
    expect(known.before).toBeCloseTo(2);
    expect(known.after).toBe(1);
  });

  it('compares the first twenty services of a storm and forgets what is longest untouched', () => {
    const lags = createLags();
    const storm = Array.from({ length: 500 }, (_, i) => at(`s${i}`, i * 10));
    lags.learn('', storm, noon);
    expect(lags.drain()).toHaveLength(190);
    expect(lags.between('', place('s3'), place('s400'))).toBeNull();
  });
});

describe('a ranking with history', () => {
  const alert = (service: string): CauseAlert => ({
    key: `t/${service}@1`,
    alert: `t/${service}`,
    tenant: '',
    alertname: 'LatencyHigh',
    service,
    destination: null,
    namespace: 'shop',
    cluster: null,
    severity: 'high',
    labels: {},
    summary: null,
    groupKey: null,
    startsAt: noon,
    at: noon,
    status: 'firing',
  });
  const ranked = (lags: ReturnType<typeof createLags>) =>
    rankCauses(
      {
        alerts: [alert('alpha'), alert('beta')],
        graph: buildGraph({ edges: [] }),
        deploys: [],
        serviceMetrics: [],
        precedence: (a, b) => lags.between('', a, b),
        startedAt: noon,
        now: noon,
      },
      loadModels().causes,
    );

  it('prefers of two equals the one that used to begin, and says in how many incidents', () => {
    const lags = createLags();
    expect(ranked(lags)[0]!.service).toBe('alpha');
    for (let i = 0; i < 9; i += 1) lags.learn('', [at('beta', 0), at('alpha', 40)], noon);
    const [first] = ranked(lags);
    expect(first!.service).toBe('beta');
    expect(first!.evidence).toContainEqual({
      kind: 'history',
      text: 'in 9 of 9 past incidents beta began before alpha, on average 40 s earlier',
      weight: expect.any(Number),
    });
  });
});

describe('the engine', () => {
  it('learns who began before whom from an incident that is over, and knows it after a restart', () => {
    const story = tell();
    const past = () =>
      story.engine.world.lags.between(
        '',
        { namespace: 'shop', service: 'payment' },
        { namespace: 'shop', service: 'checkout' },
      );
    story.fire('ContainerMemoryHigh', { service: 'payment', namespace: 'shop' });
    story.later(40);
    story.fire('HighLatency', { service: 'checkout', namespace: 'shop' });
    story.later(300);
    story.resolve('ContainerMemoryHigh', { service: 'payment', namespace: 'shop' });
    story.resolve('HighLatency', { service: 'checkout', namespace: 'shop' });
    expect(past()).toBeNull();
    story.later(2 * 3_600);
    expect(past()).toMatchObject({ before: 1, after: 0, lagMs: 40_000 });
    story.afterKill();
    expect(past()).toMatchObject({ lagMs: 40_000 });
  });
});
