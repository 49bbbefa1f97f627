import { buildGraph } from '../../src/correlate/graph.ts';
import type { Deploy } from '../../src/domain/deploy.ts';
import { dedupe } from '../../src/receive/deploys/dedupe.ts';
import type { DeploySuspects } from '../../src/score/deploys.ts';
import { alertOf, deployOf, type Story } from './stories.ts';

/** Three in the morning; minutes before are positive in `before`, after negative. */
const ONSET = Date.parse('2026-11-20T03:00:00Z');
const before = (minutes: number): number => ONSET - minutes * 60_000;

/** frontend → checkout → payment → ledger; frontend → cart → redis; frontend → search. */
const graph = buildGraph({
  edges: [
    ['frontend', 'checkout'],
    ['checkout', 'payment'],
    ['payment', 'ledger'],
    ['frontend', 'cart'],
    ['cart', 'redis'],
    ['frontend', 'search'],
  ].map(([caller, callee]) => ({ caller: caller!, callee: callee!, namespace: 'shop' })),
});

/** Alerts as `service: minutes after the onset`; causes by id. */
function story(
  name: string,
  alerting: Record<string, number>,
  deploys: readonly Deploy[],
  causes: string[],
  more: { labels?: Record<string, string>; graph?: DeploySuspects['graph'] } = {},
): Story {
  const alerts = Object.entries(alerting).map(([service, after]) => alertOf(service, before(-after), more.labels));
  return { name, causes, input: { deploys, alerts, declared: [], graph: more.graph ?? graph, startedAt: ONSET } };
}

/** Several reports of one change, taken in as they come. */
const reported = (reports: readonly Deploy[]): Deploy[] =>
  reports.reduce<Deploy[]>((known, report) => {
    const kept = dedupe(known, report);
    return [...known.filter(({ id }) => id !== kept.id), kept];
  }, []);

/** The cases that the issue and the field name, each as an engineer would judge it at three in the morning. */
export const handWritten: Story[] = [
  story('five minutes before, same service', { checkout: 0 }, [deployOf('a', 'checkout', before(5))], ['a']),
  story('right at the onset', { checkout: 0 }, [deployOf('a', 'checkout', before(0))], ['a']),
  story('twenty minutes before, a leak', { checkout: 0 }, [deployOf('a', 'checkout', before(20))], ['a']),
  story('thirty minutes before, same service', { checkout: 0 }, [deployOf('a', 'checkout', before(30))], ['a']),
  story(
    'half a minute after the alert, which is jitter',
    { checkout: 0 },
    [deployOf('a', 'checkout', before(-0.5))],
    ['a'],
  ),
  story('two minutes after the onset', { checkout: 0 }, [deployOf('a', 'checkout', before(-2))], []),
  story('the fix, after the onset', { checkout: 0 }, [deployOf('a', 'checkout', before(-12), { rollback: true })], []),
  story('too old: three hours', { checkout: 0 }, [deployOf('a', 'checkout', before(180))], []),
  story('too old: fifty-five minutes, done at once', { checkout: 0 }, [deployOf('a', 'checkout', before(55))], []),
  story('an unrelated service', { checkout: 0 }, [deployOf('a', 'search', before(4))], []),
  story('a service that nobody knows', { checkout: 0 }, [deployOf('a', 'intranet-wiki', before(3))], []),
  story('a dependency one call away', { checkout: 0 }, [deployOf('a', 'payment', before(5))], ['a']),
  story('a dependency two calls away', { checkout: 0, frontend: 1 }, [deployOf('a', 'ledger', before(3))], ['a']),
  story(
    'a dependency that alerts first',
    { payment: 0, checkout: 1, frontend: 2 },
    [deployOf('a', 'payment', before(6))],
    ['a'],
  ),
  story(
    'the edge was deployed, but the fault is below it',
    { ledger: 0, payment: 1, checkout: 2, frontend: 3 },
    [deployOf('a', 'frontend', before(8))],
    [],
  ),
  story(
    'two branches: only what both depend on',
    { cart: 0, checkout: 0, frontend: 1 },
    [deployOf('a', 'redis', before(14))],
    [],
  ),
  story(
    'several at once, one of them on the way',
    { payment: 0, checkout: 1, frontend: 2 },
    [deployOf('a', 'payment', before(4)), deployOf('b', 'search', before(4)), deployOf('c', 'cart', before(4))],
    ['a'],
  ),
  story(
    'a release train long before',
    { checkout: 0 },
    [deployOf('a', 'checkout', before(50)), deployOf('b', 'payment', before(50)), deployOf('c', 'cart', before(50))],
    [],
  ),
  story(
    'a rollback that brought an old fault back',
    { checkout: 0 },
    [deployOf('a', 'checkout', before(7), { rollback: true })],
    ['a'],
  ),
  story(
    'a canary that runs for forty minutes',
    { checkout: 0 },
    [deployOf('a', 'checkout', before(40), { status: 'running', finishedAt: before(-5) })],
    ['a'],
  ),
  story(
    'a slow roll-out that ended just before',
    { checkout: 0 },
    [deployOf('a', 'checkout', before(45), { finishedAt: before(6) })],
    ['a'],
  ),
  story(
    'only configuration changed',
    { checkout: 0 },
    [deployOf('a', 'checkout', before(5), { version: null, summary: 'configuration of checkout changed' })],
    ['a'],
  ),
  story(
    'told by three sources',
    { checkout: 0 },
    reported([
      deployOf('a', 'checkout', before(5), { version: 'v1.4.2', sources: ['github'] }),
      deployOf('b', 'checkout', before(4.5), { version: '1.4.2', sources: ['argocd'] }),
      deployOf('c', 'checkout', before(4), { version: '1.4.2', sources: ['prometheus:main'] }),
    ]),
    ['a'],
  ),
  story(
    'to staging, the alert is of production',
    { checkout: 0 },
    [deployOf('a', 'checkout', before(5), { environment: 'stg' })],
    [],
    { labels: { env: 'prod' } },
  ),
  story(
    'to production under another name',
    { checkout: 0 },
    [deployOf('a', 'checkout', before(5), { environment: 'Prod' })],
    ['a'],
    { labels: { environment: 'production' } },
  ),
  story('to another cluster', { checkout: 0 }, [deployOf('a', 'checkout', before(5), { cluster: 'us-1' })], [], {
    labels: { cluster: 'eu-1' },
  }),
  story(
    'no graph at all',
    { checkout: 0, frontend: 1 },
    [deployOf('a', 'checkout', before(5)), deployOf('b', 'payment', before(5))],
    ['a'],
    { graph: buildGraph({ edges: [] }) },
  ),
  story(
    'the deployed service is silent, everybody who calls it alerts',
    { frontend: 1, checkout: 0 },
    [deployOf('a', 'payment', before(2))],
    ['a'],
  ),
  story('upper and lower case', { checkout: 0 }, [deployOf('a', 'Checkout', before(5))], ['a']),
];
