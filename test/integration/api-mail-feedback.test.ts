import { afterAll, beforeAll, expect, test } from 'vitest';
import { shouldHavePagedUrl } from '../../src/notify/feedback-url.ts';
import { incident } from '../fakes/notify-example.ts';
import { type ApiFixture, pictureKey, putIncident, startApi, startOwner } from './api-fixture.ts';

let api: ApiFixture;
beforeAll(async () => {
  api = await startApi({ tokens: { reader: 'viewer' } });
  await putIncident(api.db, { id: 'one', number: 41, doc: incident({ id: 'one' }) });
  await putIncident(api.db, { id: 'two', number: 42, doc: incident({ id: 'two' }) });
}, 60_000);
afterAll(() => api.close());

const pathOf = (id: string, to = 'payments@example.com', at = Date.now()) =>
  shouldHavePagedUrl('http://x', pictureKey, id, to, at).slice('http://x'.length);

test('the link in a mail shows a page and changes nothing; its button says that it should have paged, once per reader', async () => {
  const owner = startOwner(api.db, () => ({ status: 200, incidentId: 'one', detail: 'noted' }));
  try {
    const path = pathOf('one');
    const asked = await api.get(path);
    expect([asked.status, asked.headers.get('content-type')]).toEqual([200, 'text/html; charset=utf-8']);
    expect(asked.text).toMatch(/Should incident #\d+ have paged\?.*<form method="post"><button>/);
    expect(asked.text).not.toContain('<script');
    expect(owner.taken).toEqual([]);

    const said = await api.post(path, '', { 'content-type': 'application/x-www-form-urlencoded' });
    expect([said.status, said.text]).toEqual([200, expect.stringContaining('Noted')]);
    await api.post(path, '', { 'content-type': 'application/x-www-form-urlencoded' });
    expect(owner.taken).toMatchObject([
      {
        do: 'feedback',
        incident: { id: 'one' },
        by: 'payments@example.com',
        origin: 'mail',
        body: { kind: 'should-have-paged' },
      },
    ]);
  } finally {
    await owner.stop();
  }
});

test('an address that is forged, expired or about nothing says so', async () => {
  const good = pathOf('one');
  expect((await api.get(good.replace('payments', 'eve'))).status).toBe(401);
  expect((await api.post(good.replace('/one?', '/two?'), '')).status).toBe(401);
  expect((await api.get(pathOf('one', 'a@example.com', Date.now() - 8 * 86_400_000))).status).toBe(404);
  expect((await api.get(pathOf('nowhere'))).status).toBe(404);
});
