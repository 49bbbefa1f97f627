import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type DeployHints, parseDeploys } from '../../src/receive/deploys/parse.ts';
import type { DeploySender } from '../../src/receive/envelope.ts';

const NOW = Date.parse('2026-11-20T08:00:00Z');
const at = (time: string): number => Date.parse(time);

const api = {
  service: 'checkout',
  version: '1.4.2',
  previousVersion: '1.4.1',
  environment: 'prod',
  startedAt: '2026-11-20T07:30:00Z',
  author: 'ana',
  commit: '4f2c9be',
  url: 'https://ci.example.com/1',
};
const changeEvent = {
  routing_key: 'R1',
  payload: {
    summary: 'Build success: checkout 1.4.2',
    timestamp: '2026-11-20T07:30:00.000Z',
    source: 'acme-build-pipeline',
    custom_details: { service: 'checkout', version: '1.4.2', environment: 'prod', user: 'ana', commit: '4f2c9be' },
  },
  links: [{ href: 'https://ci.example.com/1', text: 'build' }],
};
const deploymentStatus = {
  action: 'created',
  deployment_status: {
    state: 'success',
    environment: 'prod',
    created_at: '2026-11-20T07:30:00Z',
    creator: { login: 'ana' },
    description: '',
    log_url: 'https://github.com/shop/checkout/actions/runs/1',
    target_url: '',
  },
  deployment: {
    id: 1,
    sha: '4f2c9be0c3a94d1f7e5b6a8d9c0e1f2a3b4c5d6e',
    ref: 'v1.4.2',
    task: 'deploy',
    payload: {},
    environment: 'prod',
    created_at: '2026-11-20T04:00:00Z',
    creator: { login: 'ana' },
  },
  repository: { name: 'checkout', full_name: 'shop/checkout' },
};
const gitlabDeployment = {
  object_kind: 'deployment',
  status: 'success',
  status_changed_at: '2026-11-20 08:30:00 +0100',
  deployment_id: 15,
  environment: 'prod',
  deployable_url: 'https://gitlab.example.com/shop/checkout/-/jobs/796',
  short_sha: '4f2c9be0',
  ref: 'v1.4.2',
  commit_url: 'https://gitlab.example.com/shop/checkout/-/commit/4f2c9be0c3a94d1f7e5b6a8d9c0e1f2a3b4c5d6e',
  project: { name: 'Checkout', path_with_namespace: 'shop/checkout' },
  user: { name: 'Ana', username: 'ana' },
  commit_title: 'Faster basket',
};
const argocd = {
  app: 'checkout',
  project: 'shop',
  namespace: 'shop',
  cluster: 'in-cluster',
  revision: '9b1d0c3a94d1f7e5b6a8d9c0e1f2a3b4c5d6e111',
  environment: 'prod',
  images: ['registry.example.com:5000/shop/checkout:1.4.2', 'envoyproxy/envoy:v1.30'],
  phase: 'Succeeded',
  message: 'successfully synced',
  startedAt: '2026-11-20T07:30:00Z',
  finishedAt: '2026-11-20T07:31:00Z',
  initiatedBy: { username: 'ana' },
  url: 'https://argocd.example.com/applications/checkout',
};
const cdevent = {
  context: {
    version: '0.3.0',
    id: '271069a8',
    source: '/ci',
    type: 'dev.cdevents.service.deployed.0.1.1',
    timestamp: '2026-11-20T07:30:00Z',
  },
  subject: {
    id: 'service/checkout',
    source: '/ci',
    type: 'service',
    content: {
      environment: { id: 'env/prod' },
      artifactId: 'pkg:oci/checkout@sha256%3A0b31b1c02ff458ad?repository_url=x&tag=1.4.2',
    },
  },
  customData: { author: 'ana' },
};

type Sample = { sender: DeploySender; body: unknown; hints?: DeployHints };
const github = { headers: { 'x-github-event': 'deployment_status' } };
const samples: Sample[] = [
  { sender: 'api', body: api },
  { sender: 'pagerduty', body: changeEvent },
  { sender: 'github', body: deploymentStatus, hints: github },
  { sender: 'gitlab', body: gitlabDeployment },
  { sender: 'argocd', body: argocd },
  {
    sender: 'cdevents',
    body: { specversion: '1.0', id: '1', source: '/ci', type: cdevent.context.type, data: cdevent },
  },
];
const one = (sender: DeploySender, body: unknown, hints?: DeployHints) => {
  const parsed = parseDeploys(sender, body, NOW, hints);
  expect(parsed.faults).toEqual([]);
  expect(parsed.deploys).toHaveLength(1);
  return parsed.deploys[0]!;
};

describe.each(samples)('the $sender adapter', ({ sender, body, hints }) => {
  test('tells service, version, environment, time and author of the same change alike', () => {
    const deploy = one(sender, body, hints);
    expect(deploy).toMatchObject({
      service: 'checkout',
      environment: 'prod',
      author: 'ana',
      sources: [sender],
      rollback: false,
    });
    expect(deploy.version?.replace(/^v/, '')).toBe('1.4.2');
    expect(deploy.startedAt).toBe(at('2026-11-20T07:30:00Z'));
    expect(deploy.id).toMatch(/^dep-[0-9a-f]{24}$/);
  });

  test('gives a repeated delivery the same id', () => {
    expect(parseDeploys(sender, structuredClone(body), NOW + 60_000, hints).deploys[0]!.id).toBe(
      one(sender, body, hints).id,
    );
  });

  test('maps the name to the catalogue whatever its case, and keeps one that is unknown', () => {
    expect(one(sender, body, { ...hints, services: ['cart', 'Checkout'] }).service).toBe('Checkout');
    expect(one(sender, body, { ...hints, services: ['cart'] }).service).toBe('checkout');
  });

  test('takes a time in the future as now, and notes it', () => {
    const early = at('2026-11-20T05:00:00Z');
    const parsed = parseDeploys(sender, body, early, hints);
    expect(parsed.deploys[0]!.startedAt).toBe(early);
    expect(parsed.notes.map((n) => n.reason).join()).toContain('in the future');
  });

  test('survives any JSON with faults, a reason to ignore it, or clean deploys', () => {
    const broken = fc.jsonValue({ maxDepth: 4 });
    fc.assert(
      fc.property(broken, (value) => {
        const parsed = parseDeploys(sender, value, NOW, hints);
        const told = parsed.deploys.length + parsed.faults.length + (parsed.ignored ? 1 : 0);
        return told > 0 || (Array.isArray(value) && value.length === 0);
      }),
      { numRuns: 200, seed: 3 },
    );
  });

  test('survives every field of a good body turned into something else', () => {
    let seen = 0;
    for (const bad of [
      'x'.repeat(100_000),
      'nul \u0000 \ud800 \u202e',
      1e308,
      -1,
      [],
      { a: { b: 1 } },
      null,
      true,
      '0001-01-01T00:00:00Z',
      '9999-12-31T23:59:59Z',
    ]) {
      for (const path of pathsOf(body)) {
        const parsed = parseDeploys(sender, replaced(body, path, bad), NOW, hints);
        seen += 1;
        for (const deploy of parsed.deploys) {
          expect(deploy.service.length).toBeLessThanOrEqual(512);
          expect(JSON.stringify(deploy).length).toBeLessThan(8_000);
          expect(JSON.stringify(deploy)).not.toMatch(/\\u0000|\\ud800/);
          expect(deploy.startedAt).toBeGreaterThan(at('2000-01-01T00:00:00Z'));
          expect(deploy.startedAt).toBeLessThanOrEqual(NOW);
          expect(deploy.finishedAt === null || deploy.finishedAt >= deploy.startedAt).toBe(true);
        }
      }
    }
    expect(seen).toBeGreaterThan(50);
  });
});

describe('POST /api/v1/deploys', () => {
  test('takes every field of the contract', () => {
    expect(
      one('api', { ...api, cluster: 'prod-1', finishedAt: '2026-11-20T07:35:00+00:00', status: 'success' }),
    ).toEqual({
      id: expect.any(String),
      service: 'checkout',
      version: '1.4.2',
      previousVersion: '1.4.1',
      environment: 'prod',
      cluster: 'prod-1',
      startedAt: at('2026-11-20T07:30:00Z'),
      finishedAt: at('2026-11-20T07:35:00Z'),
      status: 'success',
      author: 'ana',
      commit: '4f2c9be',
      url: 'https://ci.example.com/1',
      sources: ['api'],
      summary: null,
      rollback: false,
    });
  });

  test('takes a list, a change event in it too, and refuses only what is bad', () => {
    const parsed = parseDeploys(
      'api',
      [api, { ...api, service: 'cart' }, { version: '1' }, 7, changeEvent, { ...api, startedAt: 'soon' }],
      NOW,
    );
    expect(parsed.deploys.map((d) => d.service)).toEqual(['checkout', 'cart', 'checkout']);
    expect(parsed.faults).toEqual([
      { place: '[2].service', reason: expect.stringContaining('missing') },
      { place: '[2].startedAt', reason: expect.stringContaining('RFC 3339') },
      { place: '[3]', reason: expect.stringContaining('not a JSON object') },
      { place: '[5].startedAt', reason: expect.stringContaining('RFC 3339') },
    ]);
  });

  test('takes a thousand at once and says where to go on when there are more', () => {
    const parsed = parseDeploys('api', Array(1001).fill(api), NOW);
    expect(parsed.deploys).toHaveLength(1000);
    expect(parsed.faults).toEqual([{ place: '[1000]', reason: expect.stringContaining('at most 1000') }]);
  });

  test('takes a PagerDuty change event unchanged', () => {
    expect(one('api', changeEvent)).toMatchObject({
      service: 'checkout',
      version: '1.4.2',
      summary: 'Build success: checkout 1.4.2',
    });
  });

  test('drops a link that is none and a finish before the start', () => {
    const odd = one('api', { ...api, url: 'javascript:alert(1)', finishedAt: '2026-11-20T07:00:00Z' });
    expect(odd).toMatchObject({ url: null, finishedAt: null });
  });

  test('refuses a service name that is too long instead of cutting it', () => {
    const parsed = parseDeploys('api', { ...api, service: 's'.repeat(513) }, NOW);
    expect(parsed.deploys).toEqual([]);
    expect(parsed.faults[0]).toMatchObject({ place: 'service' });
  });

  test('recognises a rollback by its status or its own word for it', () => {
    expect(one('api', { ...api, status: 'rolled back' }).rollback).toBe(true);
    expect(one('api', { ...api, rollback: true }).rollback).toBe(true);
    expect(one('api', { ...api, status: 'rolling' }).rollback).toBe(false);
  });
});

describe('a PagerDuty change event', () => {
  test('without custom_details.service is of its source; without either it is refused', () => {
    const { custom_details: _, ...bare } = changeEvent.payload;
    expect(one('pagerduty', { payload: bare }).service).toBe('acme-build-pipeline');
    expect(parseDeploys('pagerduty', { payload: { summary: 'x' } }, NOW).faults[0]?.place).toBe('payload.service');
  });

  test('without a timestamp happened when it arrived', () => {
    const { timestamp: _, ...payload } = changeEvent.payload;
    expect(one('pagerduty', { payload }).startedAt).toBe(NOW);
  });

  test('with a numeric build number has it as its version', () => {
    const payload = { summary: 's', source: 'checkout', custom_details: { build_number: 220 } };
    expect(one('pagerduty', { payload }).version).toBe('220');
  });
});

describe('GitHub', () => {
  const status = (given: object, deployment: object = {}) => ({
    ...deploymentStatus,
    deployment_status: { ...deploymentStatus.deployment_status, ...given },
    deployment: { ...deploymentStatus.deployment, ...deployment },
  });
  const run = (given: object, action = 'completed') => ({
    action,
    workflow_run: {
      id: 1,
      name: 'Deploy to production',
      path: '.github/workflows/cd.yml',
      head_branch: 'main',
      head_sha: '4f2c9be0c3a94d1f7e5b6a8d9c0e1f2a3b4c5d6e',
      conclusion: 'success',
      run_started_at: '2026-11-20T07:20:00Z',
      updated_at: '2026-11-20T07:30:00Z',
      html_url: 'https://github.com/x',
      actor: { login: 'ana' },
      display_title: 'Faster basket',
      ...given,
    },
    repository: deploymentStatus.repository,
  });
  const of = (event: string, body: unknown, services?: string[]) =>
    parseDeploys('github', body, NOW, { headers: { 'x-github-event': event }, ...(services ? { services } : {}) });

  test('a deployment that waits or was replaced is no change', () => {
    for (const state of ['pending', 'queued', 'waiting', 'inactive'])
      expect(of('deployment_status', status({ state }))).toMatchObject({
        deploys: [],
        ignored: expect.stringContaining(state),
      });
  });

  test('a deployment counts from its roll-out, not from when it was asked for', () => {
    const begun = of('deployment_status', status({ state: 'in_progress' })).deploys[0]!;
    expect(begun).toMatchObject({ startedAt: at('2026-11-20T07:30:00Z'), finishedAt: null });
    expect(of('deployment_status', status({})).deploys[0]).toMatchObject({ finishedAt: at('2026-11-20T07:30:00Z') });
  });

  test('of a branch has the short hash as its version', () => {
    expect(of('deployment_status', status({}, { ref: 'main' })).deploys[0]?.version).toBe('4f2c9be0c3a9');
  });

  test('of a repository of many services belongs to the one its payload or environment names', () => {
    const services = ['cart', 'payment'];
    expect(of('deployment_status', status({}, { payload: '{"service":"cart"}' }), services).deploys[0]?.service).toBe(
      'cart',
    );
    expect(of('deployment_status', status({ environment: 'Payment' }), services).deploys[0]?.service).toBe('payment');
    expect(of('deployment_status', status({}), services).deploys[0]?.service).toBe('checkout');
  });

  test('a task called rollback is a rollback', () => {
    expect(of('deployment_status', status({}, { task: 'rollback' })).deploys[0]?.rollback).toBe(true);
  });

  test('a workflow is a deploy only when its name says so and it ended well or badly, or runs', () => {
    expect(of('workflow_run', run({})).deploys[0]).toMatchObject({
      service: 'checkout',
      version: '4f2c9be0c3a9',
      startedAt: at('2026-11-20T07:20:00Z'),
      finishedAt: at('2026-11-20T07:30:00Z'),
      status: 'success',
      summary: 'Faster basket',
    });
    expect(of('workflow_run', run({ conclusion: null }, 'in_progress')).deploys[0]).toMatchObject({
      status: 'in_progress',
      finishedAt: null,
    });
    for (const body of [
      run({ name: 'Unit tests' }),
      run({ conclusion: 'cancelled' }),
      run({ conclusion: null }, 'requested'),
    ])
      expect(of('workflow_run', body)).toMatchObject({ deploys: [], ignored: expect.any(String) });
  });

  test('a release is a deploy when it is published', () => {
    const release = {
      tag_name: 'v2.0.0',
      name: 'Two',
      published_at: '2026-11-20T07:30:00Z',
      author: { login: 'ana' },
      target_commitish: 'main',
      html_url: 'https://github.com/r',
      draft: false,
    };
    const body = { action: 'published', release, repository: deploymentStatus.repository };
    expect(of('release', body).deploys[0]).toMatchObject({
      service: 'checkout',
      version: 'v2.0.0',
      commit: null,
      author: 'ana',
      summary: 'Two',
    });
    expect(of('release', { ...body, action: 'created' }).deploys).toEqual([]);
  });

  test('any other event is ignored, and a missing header refused', () => {
    expect(of('ping', { zen: 'x' })).toMatchObject({
      deploys: [],
      faults: [],
      ignored: expect.stringContaining('ping'),
    });
    expect(parseDeploys('github', deploymentStatus, NOW).faults[0]?.place).toBe('X-GitHub-Event');
  });
});

describe('GitLab', () => {
  const pipeline = {
    object_kind: 'pipeline',
    object_attributes: {
      id: 31,
      ref: 'main',
      tag: false,
      sha: '4f2c9be0c3a94d1f7e5b6a8d9c0e1f2a3b4c5d6e',
      status: 'success',
      created_at: '2026-11-20 07:00:00 UTC',
      url: 'https://gitlab.example.com/p/31',
    },
    user: { username: 'ana' },
    project: { path_with_namespace: 'shop/checkout' },
    commit: { title: 'Faster basket' },
    builds: [
      { stage: 'test', name: 'unit', status: 'success', environment: null },
      {
        stage: 'deploy',
        name: 'staging',
        status: 'success',
        started_at: '2026-11-20 07:10:00 UTC',
        finished_at: '2026-11-20 07:12:00 UTC',
        environment: { name: 'staging', action: 'start' },
      },
      {
        stage: 'deploy',
        name: 'production',
        status: 'running',
        started_at: '2026-11-20 07:20:00 UTC',
        environment: { name: 'production', action: 'start' },
      },
      { stage: 'deploy', name: 'later', status: 'manual', environment: { name: 'eu', action: 'start' } },
      { stage: 'cleanup', name: 'stop', status: 'success', environment: { name: 'review', action: 'stop' } },
    ],
  };

  test('a pipeline is one deploy per job that started an environment', () => {
    const { deploys } = parseDeploys('gitlab', pipeline, NOW);
    expect(deploys.map((d) => [d.environment, d.status, d.startedAt, d.finishedAt])).toEqual([
      ['staging', 'success', at('2026-11-20T07:10:00Z'), at('2026-11-20T07:12:00Z')],
      ['production', 'running', at('2026-11-20T07:20:00Z'), null],
    ]);
    expect(deploys[0]).toMatchObject({ service: 'checkout', version: '4f2c9be0c3a9', author: 'ana' });
  });

  test('a pipeline that deployed nothing, a deployment that waits and other events are ignored', () => {
    for (const body of [
      { ...pipeline, builds: [] },
      { ...gitlabDeployment, status: 'created' },
      { object_kind: 'push' },
    ])
      expect(parseDeploys('gitlab', body, NOW)).toMatchObject({ deploys: [], faults: [], ignored: expect.any(String) });
  });

  test('a deployment has its full commit from the address of it', () => {
    expect(one('gitlab', gitlabDeployment).commit).toBe('4f2c9be0c3a94d1f7e5b6a8d9c0e1f2a3b4c5d6e');
  });
});

describe('Argo CD', () => {
  test('takes the version from the image of the service, else from the revision', () => {
    expect(one('argocd', argocd)).toMatchObject({
      version: '1.4.2',
      cluster: null,
      finishedAt: at('2026-11-20T07:31:00Z'),
    });
    expect(one('argocd', { ...argocd, images: null }).version).toBe('9b1d0c3a94d1');
    expect(one('argocd', { ...argocd, app: 'checkout-prod', service: 'checkout' })).toMatchObject({
      service: 'checkout',
      version: '1.4.2',
    });
    expect(one('argocd', { ...argocd, images: ['x/other@sha256:0b31b1c02ff458ad'] }).version).toBe(
      'sha256:0b31b1c02ff458ad',
    );
  });

  test('names another cluster than its own, and the automation when no person synced', () => {
    expect(one('argocd', { ...argocd, cluster: 'prod-2', initiatedBy: { automated: true } })).toMatchObject({
      cluster: 'prod-2',
      author: 'Argo CD (automated)',
    });
    expect(one('argocd', { ...argocd, finishedAt: null, phase: 'Running' }).finishedAt).toBeNull();
  });
});

describe('CDEvents', () => {
  const typed = (predicate: string) => ({
    ...cdevent,
    context: { ...cdevent.context, type: `dev.cdevents.service.${predicate}.0.1.1` },
  });

  test('come alone, in a CloudEvent or in a batch of them', () => {
    expect(one('cdevents', cdevent).id).toBe(one('cdevents', samples[5]!.body).id);
    expect(parseDeploys('cdevents', [cdevent, typed('upgraded'), typed('started'), 3], NOW)).toMatchObject({
      deploys: [{ status: 'deployed' }, { status: 'upgraded' }],
      faults: [{ place: '[3].body' }],
    });
  });

  test.each(['deployed', 'upgraded', 'rolledback', 'removed', 'published'])('service.%s is a change', (predicate) => {
    expect(one('cdevents', typed(predicate))).toMatchObject({
      status: predicate,
      rollback: predicate === 'rolledback',
    });
  });

  test('of other subjects are ignored', () => {
    const build = { ...cdevent, context: { ...cdevent.context, type: 'dev.cdevents.build.finished.0.1.1' } };
    expect(parseDeploys('cdevents', build, NOW)).toMatchObject({
      deploys: [],
      ignored: expect.stringContaining('build'),
    });
  });

  test('without a tag have the digest as their version', () => {
    const content = { environment: { id: 'prod' }, artifactId: 'pkg:oci/checkout@sha256%3A0b31b1c02ff458ad' };
    expect(one('cdevents', { ...cdevent, subject: { id: 'x', content } }).version).toBe('sha256:0b31b1c02ff458ad');
  });
});

type Path = (string | number)[];

/** Every path into a value, leaves and branches. */
function pathsOf(value: unknown, before: Path = []): Path[] {
  if (typeof value !== 'object' || value === null) return [before];
  return [before, ...Object.entries(value).flatMap(([key, inner]) => pathsOf(inner, [...before, key]))];
}

function replaced(value: unknown, path: Path, by: unknown): unknown {
  const [key, ...rest] = path;
  if (key === undefined) return by;
  const copy = structuredClone(value) as Record<string, unknown>;
  copy[key as string] = replaced(copy[key as string], rest, by);
  return copy;
}
