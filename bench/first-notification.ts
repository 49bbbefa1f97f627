import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { fingerprint } from '../src/receive/fingerprint.ts';
import { quantile, startService } from './running-service.ts';

/**
 * First notification: from the POST of a webhook with one new alert to the arrival of its message at (a stand-in) Slack, one
 * alert at a time, each for a service and a Slack channel of its own (Slack allows one message a second and channel). With no
 * Prometheus, a healthy one, one that answers after 1 s, and one that never answers.
 */
const { values } = parseArgs({ options: { alerts: { type: 'string', default: '60' } } });
const total = Number(values.alerts);
const names = Array.from({ length: total }, (_, i) => `svc-${i}`);

const slackArrivals = new Map<string, number>();
const slack = createServer((request, response) => {
  let body = '';
  request.on('data', (chunk) => {
    body += chunk;
  });
  request.on('end', () => {
    if (request.url?.endsWith('chat.postMessage')) {
      const channel =
        new URLSearchParams(body).get('channel') ?? (body.startsWith('{') ? JSON.parse(body).channel : '');
      if (!slackArrivals.has(channel)) slackArrivals.set(channel, performance.now());
    }
    response.setHeader('content-type', 'application/json');
    response.end(JSON.stringify({ ok: true, channel: 'C1', ts: `${Date.now() / 1000}` }));
  });
});
/** A Prometheus with one answer for everything, after a delay; `Infinity` never answers. */
const prometheus = (delayMs: number) =>
  createServer((request, response) => {
    request.resume();
    if (!Number.isFinite(delayMs)) return;
    setTimeout(() => {
      response.setHeader('content-type', 'application/json');
      const now = Date.now() / 1000;
      const matrix = request.url?.includes('query_range');
      const result = [
        {
          metric: {},
          [matrix ? 'values' : 'value']: matrix
            ? [
                [now - 60, '1'],
                [now, '2'],
              ]
            : [now, '2'],
        },
      ];
      const data = request.url?.includes('/rules')
        ? { groups: [] }
        : { resultType: matrix ? 'matrix' : 'vector', result };
      response.end(
        JSON.stringify({ status: 'success', data: request.url?.includes('buildinfo') ? { version: '2.42.0' } : data }),
      );
    }, delayMs);
  });
const listen = (server: ReturnType<typeof createServer>): Promise<string> =>
  new Promise((resolve) =>
    server.listen(0, '127.0.0.1', () => resolve(`http://127.0.0.1:${(server.address() as AddressInfo).port}`)),
  );

const slackUrl = await listen(slack);
const cases: [string, number | null][] = [
  ['none', null],
  ['healthy', 2],
  ['slow (1 s)', 1_000],
  ['hung', Number.POSITIVE_INFINITY],
];

console.log(`First notification: ${total} alerts, one at a time, POST to Slack, ms.\n`);
console.log('| Prometheus | p50 | p90 | p99 | max |\n|---|---|---|---|---|');
for (const [name, delay] of cases) {
  const source = delay === null ? null : prometheus(delay);
  const sourceUrl = source ? await listen(source) : null;
  slackArrivals.clear();
  const service = await startService(
    {
      'tocsin.yaml': {
        channels: { slack: { token: { env: 'SLACK' }, api_url: `${slackUrl}/api/` } },
        ...(sourceUrl ? { prometheus: [{ name: 'main', url: sourceUrl, timeout: '2s' }] } : {}),
      },
      'business-context.yaml': { services: Object.fromEntries(names.map((service) => [service, { owner: service }])) },
      'routing.yaml': {
        teams: { sre: {}, ...Object.fromEntries(names.map((team) => [team, { slack: `#${team}` }])) },
        routes: { default_team: 'sre', channels: ['slack'] },
      },
    },
    { SLACK: 'xoxb-bench' },
  );
  const took: number[] = [];
  for (const service_ of names) {
    const labels = { alertname: `Rule-${service_}`, severity: 'critical', service: service_ };
    const generatorURL = `${sourceUrl ?? 'http://prometheus.example'}/graph?g0.expr=up%7Bservice%3D%22${service_}%22%7D+%3E+1&g0.tab=1`;
    const alert = {
      status: 'firing',
      labels,
      annotations: {},
      startsAt: new Date().toISOString(),
      endsAt: '0001-01-01T00:00:00Z',
      generatorURL,
      fingerprint: fingerprint(labels),
    };
    const begun = performance.now();
    await service.post('/webhook', Buffer.from(JSON.stringify({ version: '4', groupKey: service_, alerts: [alert] })));
    for (let i = 0; i < 15_000 && !slackArrivals.has(`#${service_}`); i += 1) await sleep(1);
    took.push((slackArrivals.get(`#${service_}`) ?? Number.POSITIVE_INFINITY) - begun);
  }
  const at = (share: number) => quantile(took, share).toFixed(0);
  console.log(`| ${name} | ${at(0.5)} | ${at(0.9)} | ${at(0.99)} | ${Math.max(...took).toFixed(0)} |`);
  await service.stop();
  source?.closeAllConnections();
  source?.close();
}
slack.closeAllConnections();
slack.close();
