import { afterAll, beforeAll, expect, test } from 'vitest';
import { checkPictureUrl, pictureKeyOf, pictureUrl } from '../../src/notify/picture/signed-url.ts';
import { incident } from '../fakes/notify-example.ts';
import { type ApiFixture, pictureKey, putIncident, startApi } from './api-fixture.ts';

let api: ApiFixture;
beforeAll(async () => {
  api = await startApi({ tokens: { viewer: 'viewer' } });
  await putIncident(api.db, { id: 'plotted', number: 1, doc: incident({ id: 'plotted' }) });
  await putIncident(api.db, { id: 'bare', number: 2, doc: incident({ id: 'bare', metrics: {} }) });
}, 120_000);
afterAll(() => api?.close());

const addressOf = (id: string, at = Date.now()) => {
  const url = new URL(pictureUrl('https://tocsin.example.com/', pictureKey, id, at));
  return `${url.pathname}${url.search}`;
};

test('the picture is there for whoever has its address, without a token', async () => {
  const answer = await fetch(`${api.url}${addressOf('plotted')}`);
  expect(answer.status).toBe(200);
  expect(answer.headers.get('content-type')).toBe('image/png');
  expect(answer.headers.get('x-content-type-options')).toBe('nosniff');
  expect(
    Buffer.from(await answer.arrayBuffer())
      .subarray(1, 4)
      .toString(),
  ).toBe('PNG');
});

test('no other address opens it: not another incident’s, not a longer life, not a shorter signature', async () => {
  const good = addressOf('plotted');
  const wrong = [
    addressOf('bare').replace('/bare?', '/plotted?'),
    good.replace(/expires=\d+/, 'expires=99999999999'),
    good.slice(0, -1),
    `${good}x`,
    good.replace(/signature=.*/, `signature=${'A'.repeat(43)}`),
  ];
  for (const address of wrong) expect((await api.get(address)).status, address).toBe(401);
  expect((await api.get('/api/v1/pictures/plotted')).status).toBe(400);
});

test('an address that has expired is gone, and so is a picture of nothing', async () => {
  expect((await api.get(addressOf('plotted', Date.now() - 7 * 86_400_000))).status).toBe(404);
  expect((await api.get(addressOf('bare'))).status).toBe(404);
  expect((await api.get(addressOf('nowhere'))).status).toBe(404);
});

test('an address lives for five to six days, and is the same all day', () => {
  const noon = Date.parse('2026-11-20T12:00:00Z');
  expect(pictureUrl('https://x', pictureKey, 'i', noon)).toBe(
    pictureUrl('https://x', pictureKey, 'i', noon + 3_600_000),
  );
  const asked = (at: number) => {
    const { searchParams } = new URL(pictureUrl('https://x', pictureKey, 'i', noon));
    const signature = searchParams.get('signature')!;
    return checkPictureUrl(pictureKey, { id: 'i', expires: Number(searchParams.get('expires')), signature }, at);
  };
  expect(asked(noon + 5 * 86_400_000)).toBe('good');
  expect(asked(noon + 6 * 86_400_000)).toBe('expired');
});

test('the key of addresses does not give away the key it is made from', () => {
  const secret = Buffer.alloc(32, 1);
  const key = pictureKeyOf({ id: 'k', secret });
  expect(key.equals(secret)).toBe(false);
  expect(pictureKeyOf({ id: 'k', secret }).equals(key)).toBe(true);
});
