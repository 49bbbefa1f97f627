import { afterEach, describe, expect, it } from 'vitest';
import { makeSeries } from '../../bench/anomaly/synthetic.ts';
import { scoreSeries } from '../../src/enrich/anomaly/detector.ts';
import { loadAnomalyModel } from '../../src/enrich/anomaly/model.ts';
import { createAnomalyService } from '../../src/enrich/anomaly/service.ts';

const model = loadAnomalyModel();
const { points } = makeSeries('noise', 'spike', 1, 400);
const running: { stop(): Promise<void> }[] = [];
function service(size: number): ReturnType<typeof createAnomalyService> {
  const started = createAnomalyService({ size, model });
  running.push(started);
  return started;
}
afterEach(async () => {
  for (const one of running.splice(0)) await one.stop();
});

describe('scoring in a thread', () => {
  it('gives what the detector gives, series after series', async () => {
    const scoring = service(4);
    const both = await Promise.all([scoring.score(points), scoring.score(points.slice(0, 50))]);
    expect(both[0]).toEqual({ status: 'scored', points: scoreSeries(points, model) });
    expect(both[1]).toEqual({ status: 'scored', points: scoreSeries(points.slice(0, 50), model) });
    expect(await scoring.score([])).toEqual({ status: 'scored', points: [] });
  });

  it('refuses at once what the queue has no place for', async () => {
    const scoring = service(2);
    const [first, second, third] = [scoring.score(points), scoring.score(points), scoring.score(points)];
    expect(await third).toEqual({ status: 'busy' });
    expect((await first).status).toBe('scored');
    expect((await second).status).toBe('scored');
    expect((await scoring.score(points)).status).toBe('scored');
  });

  it('answers only the points that are asked for', async () => {
    const since = points[390]![0];
    const outcome = await service(1).score(points, { since });
    expect(outcome).toEqual({ status: 'scored', points: scoreSeries(points, model).slice(390) });
  });

  it('puts what is extra behind the rest, and gives it half of the places', async () => {
    const scoring = service(4);
    const done: string[] = [];
    const score = async (name: string, extra: boolean) => {
      const outcome = await scoring.score(points, { extra });
      done.push(`${name} ${outcome.status}`);
    };
    await Promise.all([score('first', false), score('golden', true), score('golden too', true), score('lead', false)]);
    expect(done).toEqual(['golden too busy', 'first scored', 'lead scored', 'golden scored']);
  });

  it('lets a caller give up without losing the next one', async () => {
    const scoring = service(4);
    const given = new AbortController();
    const first = scoring.score(points, { signal: given.signal });
    const waiting = scoring.score(points, { signal: given.signal });
    const next = scoring.score(points.slice(0, 20));
    given.abort();
    expect(await first).toEqual({ status: 'gave-up' });
    expect(await waiting).toEqual({ status: 'gave-up' });
    expect((await next).status).toBe('scored');
    expect(await scoring.score(points, { signal: given.signal })).toEqual({ status: 'gave-up' });
  });

  it('answers what still waits when it is stopped, and everything after', async () => {
    const scoring = service(4);
    const waiting = [scoring.score(points), scoring.score(points)];
    await scoring.stop();
    expect(await Promise.all(waiting)).toEqual([{ status: 'stopped' }, { status: 'stopped' }]);
    expect(await scoring.score(points)).toEqual({ status: 'stopped' });
  });

  it('says what broke and starts anew when the thread dies', async () => {
    const broken = createAnomalyService({ size: 2, model: { ...model, history: -1 } });
    running.push(broken);
    expect((await broken.score(points)).status).toBe('failed');
    expect((await broken.score(points)).status).toBe('failed');
  });
});
