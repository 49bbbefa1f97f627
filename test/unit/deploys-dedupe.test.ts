import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Deploy } from '../../src/domain/deploy.ts';
import { dedupe, sameChange } from '../../src/receive/deploys/dedupe.ts';

const MINUTE = 60_000;
const T = Date.parse('2026-11-20T07:30:00Z');
const SHA = '4f2c9be0c3a94d1f7e5b6a8d9c0e1f2a3b4c5d6e';

let made = 0;
const deploy = (given: Partial<Deploy> & { at?: number } = {}): Deploy => {
  const { at = 0, ...fields } = given;
  made += 1;
  return {
    id: `dep-${made}`,
    service: 'checkout',
    version: '1.4.2',
    previousVersion: null,
    environment: null,
    cluster: null,
    startedAt: T + at * MINUTE,
    finishedAt: null,
    status: null,
    author: null,
    commit: null,
    url: null,
    sources: ['api'],
    summary: null,
    rollback: false,
    ...fields,
  };
};

/** Applies the reports one after the other, as the engine does. */
function told(...reports: Deploy[]): Deploy[] {
  const known: Deploy[] = [];
  for (const report of reports) {
    const merged = dedupe(known, report);
    const at = known.findIndex((d) => d.id === merged.id);
    if (at === -1) known.push(merged);
    else known[at] = merged;
  }
  return known;
}

describe('one change', () => {
  test('told by three sources is one deploy with all they know', () => {
    const [only, ...more] = told(
      deploy({
        sources: ['github'],
        version: 'v1.4.2',
        commit: SHA,
        environment: 'production',
        at: 1,
        status: 'in_progress',
      }),
      deploy({ sources: ['api'], author: 'ana', environment: 'prod', cluster: 'prod-1' }),
      deploy({
        sources: ['argocd'],
        finishedAt: T + 5 * MINUTE,
        at: 2,
        status: 'Succeeded',
        url: 'https://argocd.example.com/',
      }),
    );
    expect(more).toEqual([]);
    expect(only).toMatchObject({
      version: 'v1.4.2',
      commit: SHA,
      author: 'ana',
      cluster: 'prod-1',
      startedAt: T,
      finishedAt: T + 5 * MINUTE,
      status: 'Succeeded',
      sources: ['api', 'argocd', 'github'],
      url: 'https://argocd.example.com/',
    });
  });

  test('delivered twice is one deploy', () => {
    const first = deploy();
    expect(told(first, { ...first, startedAt: T + 60 * MINUTE })).toHaveLength(1);
  });

  test('may be known by its tag here and by its commit there, or by two lengths of a hash', () => {
    expect(
      told(deploy({ version: '1.4.2', commit: SHA }), deploy({ version: SHA.slice(0, 12), sources: ['gitlab'] })),
    ).toHaveLength(1);
    expect(told(deploy({ version: SHA.slice(0, 7) }), deploy({ version: SHA }))).toHaveLength(1);
    const [merged] = told(
      deploy({ version: SHA.slice(0, 12), commit: SHA.slice(0, 8) }),
      deploy({ version: 'v9', commit: SHA, sources: ['argocd'] }),
    );
    expect(merged).toMatchObject({ version: 'v9', commit: SHA });
  });

  test('that begins in one report and ends an hour later in another is one deploy', () => {
    const running = deploy({ status: 'in_progress', sources: ['github'] });
    const [only, ...more] = told(
      running,
      deploy({ status: 'success', finishedAt: T + 60 * MINUTE, at: 60, sources: ['github'] }),
    );
    expect(more).toEqual([]);
    expect(only).toMatchObject({ startedAt: T, finishedAt: T + 60 * MINUTE, status: 'success' });
  });

  test('keeps a word for its end when an older word for running comes late', () => {
    expect(told(deploy({ status: 'success', finishedAt: T + MINUTE }), deploy({ status: 'running' }))[0]?.status).toBe(
      'success',
    );
  });

  test('seen in the metrics without a version joins the deploy that explains it', () => {
    const sign = deploy({ version: null, sources: ['prometheus:main'], at: 2 });
    expect(told(deploy(), sign)).toHaveLength(1);
    expect(told(sign, deploy())).toHaveLength(1);
  });
});

describe('two changes', () => {
  test.each([
    ['of other versions', {}, { version: '1.4.3' }],
    ['of other services', {}, { service: 'cart' }],
    ['in other environments', { environment: 'prod' }, { environment: 'staging' }],
    ['in other clusters', { cluster: 'a' }, { cluster: 'b' }],
    ['more than ten minutes apart', {}, { at: 11 }],
    [
      'of configuration, with other words',
      { version: null, summary: 'flag on' },
      { version: null, summary: 'limit raised' },
    ],
    ['one of configuration and one of code', { version: null, summary: 'flag on' }, {}],
    ['of two tags of one commit by one sender', { version: '1', commit: SHA }, { version: '2', commit: SHA }],
  ])('%s stay two', (_, a, b) => {
    expect(told(deploy(a), deploy(b))).toHaveLength(2);
    expect(told(deploy(b), deploy(a))).toHaveLength(2);
  });

  test('to the same version with another in between stay two', () => {
    expect(
      told(deploy({ version: '2' }), deploy({ version: '1', at: 3 }), deploy({ version: '2', at: 6 })),
    ).toHaveLength(3);
  });
});

describe('a rollback', () => {
  test('is a version that was there before, with another one in between', () => {
    const all = told(deploy({ version: '1' }), deploy({ version: '2', at: 60 }), deploy({ version: '1', at: 90 }));
    expect(all.map((d) => d.rollback)).toEqual([false, false, true]);
  });

  test('is not the same version again, nor a version seen first elsewhere', () => {
    expect(told(deploy({ version: '1' }), deploy({ version: '1', at: 60 }))[1]?.rollback).toBe(false);
    const promoted = told(
      deploy({ version: '2', environment: 'staging' }),
      deploy({ version: '1', environment: 'prod', at: 30 }),
      deploy({ version: '2', environment: 'prod', at: 60 }),
    );
    expect(promoted.map((d) => d.rollback)).toEqual([false, false, false]);
  });

  test('said by one source stays said when others tell of it too', () => {
    expect(told(deploy({ rollback: true }), deploy({ sources: ['argocd'] }))[0]?.rollback).toBe(true);
  });
});

test('in whatever order three sources tell of one change, it is one deploy with the same facts', () => {
  const reports = [
    deploy({ sources: ['api'], environment: 'prod', author: 'ana' }),
    deploy({
      sources: ['github'],
      version: 'v1.4.2',
      commit: SHA,
      at: 1,
      finishedAt: T + 4 * MINUTE,
      status: 'success',
    }),
    deploy({ sources: ['cdevents'], cluster: 'prod-1', at: 3, finishedAt: T + 3 * MINUTE }),
  ];
  fc.assert(
    fc.property(fc.shuffledSubarray(reports, { minLength: 3 }), (order) => {
      const all = told(...order);
      expect(all).toHaveLength(1);
      expect(all[0]).toMatchObject({
        startedAt: T,
        finishedAt: T + 4 * MINUTE,
        commit: SHA,
        author: 'ana',
        environment: 'prod',
        cluster: 'prod-1',
        status: 'success',
        sources: ['api', 'cdevents', 'github'],
      });
    }),
  );
});

test('of several that fit, the nearest in time is the same change', () => {
  const far = deploy({ at: 0 });
  const near = deploy({ at: 9 });
  expect(sameChange([far, near], deploy({ at: 8 }))?.id).toBe(near.id);
});
