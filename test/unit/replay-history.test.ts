import { expect, test } from 'vitest';
import { loadConfig } from '../../src/config/load.ts';
import { loadModels } from '../../src/config/models.ts';
import type { StreamLine } from '../../src/domain/stream.ts';
import { replay } from '../../src/replay.ts';
import { compileRules } from '../../src/rules.ts';
import { folder } from '../fakes/config-tree.ts';

const rules = () => {
  const loaded = loadConfig(
    folder({ 'business-context.yaml': 'services: { checkout: { tier: 1 } }\n', 'tocsin.yaml': '' }),
    {},
  );
  if (!loaded.ok) throw new Error(JSON.stringify(loaded.faults));
  return compileRules(loaded.config, loadModels());
};
const minute = 60_000;
const begin = Date.parse('2026-11-20T00:00:00Z');
const rfc = (at: number) => new Date(at).toISOString();

function alert(at: number, from: number, until: number | null, name = 'HighLatency'): StreamLine {
  const labels = { alertname: name, service: 'checkout', severity: 'high' };
  const alerts = [
    {
      status: until === null ? 'firing' : 'resolved',
      labels,
      annotations: { summary: 'p99 above 800 ms' },
      startsAt: rfc(from),
      endsAt: until === null ? '0001-01-01T00:00:00Z' : rfc(until),
      fingerprint: name.toLowerCase(),
      generatorURL: '',
    },
  ];
  return { at: rfc(at), kind: 'alertmanager', body: { version: '4', groupKey: name, receiver: 'tocsin', alerts } };
}
/** Fires at `at` (minutes) for `lasts` minutes. */
const episode = (at: number, lasts: number, name?: string): StreamLine[] => {
  const from = begin + at * minute;
  return [alert(from, from, null, name), alert(from + lasts * minute, from, from + lasts * minute, name)];
};
async function run(lines: StreamLine[]) {
  async function* stream() {
    for (const [i, entry] of lines.entries()) yield { line: i + 1, entry };
  }
  const { timing, ...outcomes } = await replay(stream(), { rules: rules() });
  return outcomes;
}

test('the second time something happens in a stream, the first is known: how long it took and what ended it', async () => {
  const acknowledge: StreamLine = {
    at: rfc(begin + 4 * minute),
    kind: 'action',
    incident: { fingerprint: 'highlatency' },
    do: 'acknowledge',
    by: 'ana',
  };
  const deploy: StreamLine = {
    at: rfc(begin + 5 * minute),
    kind: 'deploy',
    body: { service: 'checkout', version: '1.1', previousVersion: '1.2', startedAt: rfc(begin + 5 * minute) },
  };
  const [fire, end] = episode(0, 10);
  const { incidents } = await run([fire!, acknowledge, deploy, end!, ...episode(240, 20), ...episode(480, 5)]);
  expect(incidents).toHaveLength(3);
  const [first, second, third] = incidents;
  expect(first).toMatchObject({
    similarIncidents: [],
    impact: { estimatedDurationSeconds: { p50: 3600, p90: 3600, basis: 'assumed, no similar incidents' } },
    metrics: { history: { firstEver: true, incidents: 0, selfResolvedShare: null, changesLastHour: 1 } },
  });
  expect(second!.similarIncidents).toEqual([
    expect.objectContaining({
      number: first!.number,
      durationSeconds: 600,
      similarity: 1,
      endedBy: null,
      ended: 'it resolved by itself, 5 min after a deploy of checkout to 1.1',
    }),
  ]);
  expect(second!.recommendations).toContainEqual({
    action: 'Deploy a fix to checkout, as 1.1 was',
    why: 'Incident 1 was 100 % alike: it resolved by itself, 5 min after a deploy of checkout to 1.1',
    runbook: null,
  });
  expect(second!.impact.estimatedDurationSeconds).toEqual({ p50: 600, p90: 600, basis: '1 similar incident' });
  expect(third!.impact.estimatedDurationSeconds).toEqual({ p50: 600, p90: 1200, basis: '2 similar incidents' });
  expect(third!.metrics.history).toMatchObject({
    firstEver: false,
    incidents: 2,
    selfResolvedShare: 0.5,
    changesLastDay: 5,
  });
});

test('another rule on the same service is no reason to speak of the past', async () => {
  const { incidents } = await run([...episode(0, 10), ...episode(240, 10, 'DiskFull')]);
  expect(incidents[1]!.similarIncidents).toEqual([]);
  expect(incidents[1]!.metrics.history).toMatchObject({ firstEver: true, incidents: 0 });
});

test('the same stream gives the same bytes', async () => {
  const lines = [...episode(0, 10), ...episode(240, 20), ...episode(480, 5)];
  expect(JSON.stringify(await run(lines))).toBe(JSON.stringify(await run(lines)));
});
