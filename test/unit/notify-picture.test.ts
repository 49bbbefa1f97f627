import { Resvg } from '@resvg/resvg-js';
import { describe, expect, test } from 'vitest';
import { altOf, type ChartData, chartDataOf, pictureTopic } from '../../src/notify/picture/chart-data.ts';
import { chartSvg, renderChart } from '../../src/notify/picture/render.ts';
import { incident, leadMetrics } from '../fakes/notify-example.ts';

const data = (changes: Partial<ChartData> = {}): ChartData => ({ ...chartDataOf(incident())!, ...changes });

/** Pixels of a PNG as [r, g, b, a] by place; resvg reads what it wrote. */
function pixelsOf(png: Buffer): { width: number; height: number; at(x: number, y: number): number[] } {
  const [width, height] = [png.readUInt32BE(16), png.readUInt32BE(20)];
  const svg = `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}"><image width="${width}" height="${height}" href="data:image/png;base64,${png.toString('base64')}"/></svg>`;
  const { pixels } = new Resvg(svg).render();
  return { width, height, at: (x, y) => [...pixels.subarray((y * width + x) * 4, (y * width + x) * 4 + 4)] };
}

/** Light pixels in a part of the picture: the ink of letters on the dark card. */
function ink(png: Buffer, part: { x: number; y: number; width: number; height: number }): number {
  const { at } = pixelsOf(png);
  let count = 0;
  for (let y = part.y; y < part.y + part.height; y += 1)
    for (let x = part.x; x < part.x + part.width; x += 1) if (at(x, y)[0]! > 150) count += 1;
  return count;
}
const titleArea = { x: 16, y: 16, width: 600, height: 48 };

describe('a picture', () => {
  test('is a PNG of the size a phone shows well, opaque in its middle and clear at its corners', async () => {
    const png = renderChart(data());
    expect(png.subarray(1, 4).toString()).toBe('PNG');
    const pixels = pixelsOf(png);
    expect([pixels.width, pixels.height]).toEqual([960, 560]);
    expect(pixels.at(480, 280)[3]).toBe(255);
    expect(pixels.at(0, 0)[3]).toBe(0);
    expect(png.length).toBeLessThan(200_000);
  });

  test('its words are really drawn: no title, no ink; no font, no ink', async () => {
    expect(ink(renderChart(data()), titleArea)).toBeGreaterThan(1_000);
    expect(ink(renderChart(data({ title: '', caption: '' })), titleArea)).toBe(0);
    const fontless = new Resvg(chartSvg(data()), {
      fitTo: { mode: 'zoom', value: 2 },
      font: { loadSystemFonts: false },
    }).render();
    expect(ink(fontless.asPng(), titleArea)).toBe(0);
  });

  test('shows limit, onset, deploys and expected range, each with its words', () => {
    const svg = chartSvg(data());
    for (const words of ['HighErrorRate on checkout', '12.4 %', 'limit &gt; 5 %', 'onset 03:07', 'deploy 4f2c', 'UTC'])
      expect(svg).toContain(words);
    const without = chartSvg(data({ threshold: null, onsetAt: null, deploys: [], expected: [] }));
    for (const words of ['limit &gt;', 'onset', 'deploy']) expect(without).not.toContain(words);
    expect(svg.match(/<path/g)!.length).toBeGreaterThan(without.match(/<path/g)!.length);
  });

  test('reaches back to a deploy shortly before the first point, and not to one long before', () => {
    const onset = Date.parse('2026-11-20T03:07:00Z');
    const points = Array.from({ length: 20 }, (_, i): [number, number] => [onset + i * 15_000, i]);
    const minutesBefore = (minutes: number) =>
      chartSvg(data({ points, onsetAt: onset, deploys: [{ at: onset - minutes * 60_000, label: 'deploy 4f2c' }] }));
    expect(minutesBefore(5)).toContain('deploy 4f2c');
    expect(minutesBefore(55)).not.toContain('deploy 4f2c');
    expect(minutesBefore(55)).toContain('onset 03:07:00');
  });

  test('is the same in every time zone and locale', () => {
    const zone = process.env.TZ;
    const strip = (svg: string) => svg.replace(/zr\d+-[\w-]+/g, '').replace(/\.zr\d+/g, '');
    const here = strip(chartSvg(data()));
    process.env.TZ = 'Pacific/Kiritimati';
    try {
      expect(strip(chartSvg(data()))).toBe(here);
    } finally {
      if (zone === undefined) delete process.env.TZ;
      else process.env.TZ = zone;
    }
  });

  test.each([
    ['flat', Array.from({ length: 10 }, (_, i) => [i * 1000, 0])],
    ['negative and huge', Array.from({ length: 10 }, (_, i) => [i * 60_000, (-1) ** i * 1e300])],
    [
      'with gaps and infinities',
      [
        [0, 1],
        [1000, Number.NaN],
        [2000, Number.POSITIVE_INFINITY],
        [3000, 2],
      ],
    ],
    ['11,000 points over a week', Array.from({ length: 11_000 }, (_, i) => [i * 55_000, Math.sin(i)])],
  ] as [string, [number, number][]][])('draws a series that is %s', async (_, points) => {
    const png = renderChart(data({ points, onsetAt: points[1]![0] }));
    expect(ink(png, titleArea)).toBeGreaterThan(1_000);
  });

  test('draws hostile words as words', async () => {
    const evil = '</text><image href="file:///etc/passwd"/> {a|b} {c} \u0000\u001b[31m\ud800\uffff <!--';
    const svg = chartSvg(data({ title: evil, caption: evil, deploys: [{ at: data().onsetAt!, label: evil }] }));
    expect(svg).not.toMatch(/<image|<!--/);
    expect(renderChart(data({ title: evil, caption: evil, threshold: { value: 1, operator: evil } }))).toBeInstanceOf(
      Buffer,
    );
  });

  test('is not drawn of nothing', async () => {
    expect(() => renderChart(data({ points: [] }))).toThrow('two finite points in time');
    expect(() =>
      renderChart(
        data({
          points: [
            [0, Number.NaN],
            [1, 1],
          ],
        }),
      ),
    ).toThrow('two finite points in time');
  });
});

describe('what an incident gives to draw', () => {
  const withMetrics = (changes: Parameters<typeof leadMetrics>[0]) =>
    incident({ metrics: { prometheus: leadMetrics(changes) } });

  test('nothing without a series, with one point, or from a source that says something else', () => {
    expect(chartDataOf(incident({ metrics: {} }))).toBeNull();
    expect(chartDataOf(incident({ metrics: { prometheus: { value: 'x' } } }))).toBeNull();
    expect(chartDataOf(withMetrics({ plot: null }))).toBeNull();
    expect(chartDataOf(withMetrics({ plot: { start: 0, step: 15, values: [null, 1, null] } }))).toBeNull();
  });

  test('times in ms, gaps as gaps, the expected range from the onset on, the alternative in words', () => {
    const onset = Date.parse('2026-11-20T03:07:00Z');
    const chart = chartDataOf(withMetrics({ plot: { start: onset / 1000 - 60, step: 60, values: [1, null, 3] } }))!;
    expect(chart.points).toEqual([
      [onset - 60_000, 1],
      [onset, Number.NaN],
      [onset + 60_000, 3],
    ]);
    expect(chart.expected).toEqual([
      [onset, 0.006, 0.02],
      [onset + 60_000, 0.006, 0.02],
    ]);
    expect(altOf(chart)).toBe(
      'Chart of HighErrorRate on checkout: 12.4 %, 2.5 times the limit of 5 %, getting worse, +1.1 % a minute',
    );
  });

  test('a new picture is worth it for a rise, another limit, a later onset or deploy; not for the next value', () => {
    const topic = pictureTopic(incident());
    expect(topic).toMatch(/^[\w-]{16}$/);
    expect(pictureTopic(withMetrics({ value: 0.2, trend: null }))).toBe(topic);
    expect(pictureTopic(incident({ alertCount: 99 }))).toBe(topic);
    for (const other of [incident({ severity: 'high' }), incident({ deploys: [] }), withMetrics({ threshold: 0.1 })])
      expect(pictureTopic(other)).not.toBe(topic);
    expect(pictureTopic(incident({ metrics: {} }))).toBeNull();
  });
});
