import { expect, test } from 'vitest';
import { lookBack, type Past } from '../../src/enrich/history.ts';
import type { Ending, PastIncident } from '../../src/store/history.ts';
import { alertOf, subjectOf } from '../fakes/prom-source.ts';

const incident = (id: string, more: Partial<PastIncident> = {}): PastIncident => ({
  id,
  number: Number(id),
  title: 'HighErrorRate on payment',
  summary: null,
  labels: { alertname: 'HighErrorRate', service: 'payment' },
  services: ['payment'],
  suspect: null,
  startedAt: 1_000 * Number(id),
  resolvedAt: 1_000 * Number(id) + 600_000,
  resolvedBy: null,
  sameRule: true,
  sameService: true,
  ...more,
});

const remember = (incidents: PastIncident[], endings: Record<string, Partial<Ending>> = {}) => {
  const past: Past = {
    incidents: async () => incidents,
    rule: async () => ({ firstEver: false, seconds: [], alone: 0, changes: { hour: 0, day: 0, week: 0 } }),
    endings: async (ids) =>
      new Map(ids.map((id): [string, Ending] => [id, { note: null, deploy: null, ...endings[id] }])),
  };
  return lookBack(past, subjectOf(alertOf({ alertname: 'HighErrorRate', service: 'payment' })));
};

test('whom incidents of this rule and service reached is counted, each service once an incident', async () => {
  const { spread } = await remember([
    incident('1', { services: ['payment', 'checkout', 'checkout'] }),
    incident('2', { services: ['checkout', 'shop'] }),
    incident('3'),
    incident('4', { sameRule: false, services: ['payment', 'search'] }),
    incident('5', { sameService: false, services: ['search'] }),
  ]);
  expect(spread).toEqual({ incidents: 3, services: { checkout: 2, shop: 1 } });
  expect((await remember([incident('5', { sameService: false })])).spread).toBeNull();
});

test('what ended an incident is something to do again: a rollback before a deploy before a note, nothing when nobody acted', async () => {
  const deploy = { service: 'payment', version: '1.1', rollback: false, at: 0 };
  const remedyOf = async (ending: Partial<Ending>, more: Partial<PastIncident> = {}) =>
    (await remember([incident('1', more)], { 1: ending })).similar![0]!.remedy;
  expect(await remedyOf({ deploy: { ...deploy, rollback: true }, note: 'x' })).toBe('Roll back payment to 1.1');
  expect(await remedyOf({ deploy })).toBe('Deploy a fix to payment, as 1.1 was');
  expect(await remedyOf({ deploy: { ...deploy, version: null } })).toBe('Deploy a fix to payment');
  expect(await remedyOf({ note: 'emptied the queue' })).toBe('Do as then: emptied the queue');
  expect(await remedyOf({})).toBeNull();
  expect(await remedyOf({ deploy }, { resolvedAt: null })).toBeNull();
});
