import { createRequire } from 'node:module';
import type { EChartsOption, SeriesOption } from 'echarts';
import { figure } from '../figures.ts';
import { cut, plain } from '../text.ts';
import type { ChartData } from './chart-data.ts';

// The bundle, not the modules: one file of 3.8 MB loads in 0.13 s, the 600 it is made of take 1 s.
const require = createRequire(import.meta.url);
const echarts = require('echarts') as typeof import('echarts');
const { Resvg } = require('@resvg/resvg-js') as typeof import('@resvg/resvg-js');

/** Logical size: on a phone 360 points wide the smallest text is still 10 points high. Drawn twice as fine. */
const size = { width: 480, height: 280 };
const fineness = 2;

const family = 'DejaVu Sans';
const fontFiles = ['DejaVuSans.ttf', 'DejaVuSans-Bold.ttf'].map((file) =>
  require.resolve(`dejavu-fonts-ttf/ttf/${file}`),
);

/** A card of its own: a picture cannot know whether it is looked at in a light or a dark client, and at night dark is kinder. */
const colour = {
  card: '#1b2027',
  edge: '#4b5563',
  text: '#f3f4f6',
  quiet: '#aeb8c4',
  grid: '#323a45',
  line: '#5cb3ff',
  limit: '#ff7b72',
  onset: '#ffc24b',
  deploy: '#d2a8ff',
  band: 'rgba(148, 178, 210, 0.26)',
};

/**
 * The chart of one incident as a PNG: the value with its limit, the onset, deploys and the expected band. 40 ms of the
 * event loop after the first: call it through `createPainter`, which has a process for it. Throws when the data hold no
 * two finite points.
 */
export function renderChart(data: ChartData): Buffer {
  return new Resvg(chartSvg(data), {
    fitTo: { mode: 'zoom', value: fineness },
    // A machine without fonts would draw no text at all, one with fonts other text than the tests saw.
    font: { loadSystemFonts: false, fontFiles, defaultFontFamily: family, sansSerifFamily: family },
    logLevel: 'off',
  })
    .render()
    .asPng();
}

/** The same as SVG. Pure but for ECharts' own counters. */
export function chartSvg(data: ChartData): string {
  const finite = data.points.filter(([at, value]) => Number.isFinite(at) && Number.isFinite(value));
  if (finite.length < 2 || finite[0]![0] >= finite.at(-1)![0])
    throw new Error('a chart needs two finite points in time');
  const chart = echarts.init(null, null, { renderer: 'svg', ssr: true, ...size });
  try {
    chart.setOption(optionOf(data));
    const svg = chart.renderToSVGString();
    // resvg panics at a shape far outside of the picture, and its panic ends the process.
    if (/\b(?:NaN|Infinity|\d{7,})\b/.test(svg.replace(/>[^<]*</g, '><')))
      throw new Error('the chart has shapes outside of the picture');
    return svg;
  } finally {
    // An undisposed chart keeps the process alive.
    chart.dispose();
  }
}

/** A label as XML 1.0 can hold it (section 2.2: no control characters, no U+FFFE and U+FFFF), on one line. */
const words = (text: string, max: number): string => plain(text.replace(/[\ufffe\uffff]/g, ''), max);

function optionOf(data: ChartData): EChartsOption {
  const [from, to] = span(data);
  const [low, high] = bounds(data);
  return {
    animation: false,
    useUTC: true,
    backgroundColor: 'transparent',
    textStyle: { fontFamily: family, color: colour.text },
    graphic: [
      {
        type: 'rect',
        z: -10,
        shape: { x: 0.5, y: 0.5, width: size.width - 1, height: size.height - 1, r: 8 },
        style: { fill: colour.card, stroke: colour.edge, lineWidth: 1 },
      },
      {
        type: 'text',
        x: 15,
        y: size.height - 22,
        style: { text: 'UTC', fill: colour.quiet, font: `13px ${family}` },
      },
    ],
    title: {
      left: 10,
      top: 8,
      itemGap: 4,
      text: words(data.title, 46),
      subtext: words(data.caption, 66),
      textStyle: { fontFamily: family, fontSize: 16, fontWeight: 'bold', color: colour.text },
      subtextStyle: { fontFamily: family, fontSize: 13, color: colour.quiet },
    },
    grid: { left: 60, right: 24, top: 76, bottom: 30 },
    xAxis: {
      type: 'time',
      min: from,
      max: to,
      splitNumber: 4,
      axisLine: { lineStyle: { color: colour.edge } },
      axisLabel: {
        color: colour.quiet,
        fontSize: 13,
        fontFamily: family,
        hideOverlap: true,
        formatter: (value: number) => clock(value, to - from),
      },
    },
    yAxis: {
      type: 'value',
      min: low,
      max: high,
      splitNumber: 3,
      splitLine: { lineStyle: { color: colour.grid } },
      axisLabel: {
        color: colour.quiet,
        fontSize: 13,
        fontFamily: family,
        formatter: (value: number) => cut(figure(value, data.unit), 9),
        showMaxLabel: false,
      },
    },
    series: [...bandOf(data, from, to), lineOf(data, from, to)],
  };
}

/** A deploy or onset a little before the first point is worth the room; one far before would squeeze the line. */
const worthMs = 15 * 60_000;
const worthLengths = 3;

/** The time shown: that of the points, and of what came shortly before. */
function span({ points, onsetAt, deploys }: ChartData): [number, number] {
  const first = points[0]![0];
  const to = points.at(-1)![0];
  const earliest = to - Math.max(worthMs, (to - first) * worthLengths);
  const marks = [onsetAt ?? first, ...deploys.map((deploy) => deploy.at)].filter((at) => at >= earliest && at < first);
  if (marks.length === 0) return [first, to];
  const from = Math.min(...marks);
  return [from - (to - from) * 0.04, to];
}

/** Room for every point, the limit and the band; from zero where that costs little height. */
function bounds({ points, threshold, expected }: ChartData): [number, number] {
  let low = threshold?.value ?? Number.POSITIVE_INFINITY;
  let high = threshold?.value ?? Number.NEGATIVE_INFINITY;
  const take = (value: number): void => {
    if (!Number.isFinite(value)) return;
    low = Math.min(low, value);
    high = Math.max(high, value);
  };
  for (const [, value] of points) take(value);
  for (const [, least, most] of expected) {
    take(least);
    take(most);
  }
  const room = (high - low || Math.abs(high) || 1) * 0.12;
  const floor = low >= 0 && low <= high * 0.5 ? 0 : low - room;
  return [floor, high + room];
}

/** ECharts has no band: an invisible lower edge and, stacked on it, the filled height. */
function bandOf(data: ChartData, from: number, to: number): SeriesOption[] {
  const expected = data.expected.filter(([at]) => at >= from && at <= to);
  if (expected.length < 2) return [];
  const shared = {
    type: 'line',
    stack: 'expected',
    stackStrategy: 'all',
    showSymbol: false,
    silent: true,
    lineStyle: { opacity: 0 },
    sampling: 'lttb',
  } as const;
  const whole = expected.map(([at, low, high]) =>
    Number.isFinite(low) && Number.isFinite(high) ? { at, low, height: Math.max(0, high - low) } : null,
  );
  return [
    { ...shared, data: whole.map((one, index) => [expected[index]![0], one?.low ?? null]) },
    {
      ...shared,
      areaStyle: { color: colour.band },
      data: whole.map((one, index) => [expected[index]![0], one?.height ?? null]),
    },
  ] as SeriesOption[];
}

function lineOf(data: ChartData, from: number, to: number): SeriesOption {
  const inside = (at: number): boolean => at >= from && at <= to;
  const share = (at: number): number => (at - from) / Math.max(1, to - from);
  const marks: object[] = [];
  if (data.threshold && Number.isFinite(data.threshold.value)) {
    const { value, operator } = data.threshold;
    marks.push({
      yAxis: value,
      lineStyle: { color: colour.limit, type: 'dashed', width: 1.5 },
      label: label(`limit ${words(operator, 2)} ${figure(value, data.unit)}`, colour.limit, {
        position: 'insideStartTop',
      }),
    });
  }
  const deploys = data.deploys.filter((deploy) => inside(deploy.at)).slice(0, 3);
  for (const [index, deploy] of deploys.entries()) {
    marks.push(upright(deploy.at, words(deploy.label, 22), colour.deploy, share(deploy.at) > 0.4, index + 1));
  }
  if (data.onsetAt !== null && inside(data.onsetAt)) {
    const text = `onset ${clock(data.onsetAt, to - from)}`;
    marks.push(upright(data.onsetAt, text, colour.onset, share(data.onsetAt) > 0.75, 0));
  }
  return {
    type: 'line',
    data: data.points.map(([at, value]) => [at, Number.isFinite(value) ? value : null]),
    showSymbol: false,
    silent: true,
    sampling: 'lttb',
    lineStyle: { color: colour.line, width: 2.5 },
    markLine: { silent: true, symbol: 'none', animation: false, data: marks },
  } as SeriesOption;
}

const label = (text: string, color: string, more: object): object => ({
  show: true,
  // A function: ECharts reads `{…}` in a string as a template, and a version may hold braces.
  formatter: () => text,
  color,
  fontSize: 13,
  fontFamily: family,
  ...more,
});

/** A moment: a line from bottom to top, its words beside its upper end, each on a row of its own so that none covers another. */
const upright = (at: number, text: string, color: string, leftOfLine: boolean, row: number): object => ({
  xAxis: at,
  lineStyle: { color, type: row === 0 ? 'solid' : 'dotted', width: 1.5 },
  label: label(text, color, {
    position: 'end',
    rotate: 0,
    align: leftOfLine ? 'right' : 'left',
    verticalAlign: 'bottom',
    padding: leftOfLine ? [0, 4, 0, 0] : [0, 0, 0, 4],
    distance: row === 0 ? 2 : -14 * row - 2,
  }),
});

/** `03:12`, with the day where the picture spans more than one, with seconds where it is a few minutes. */
function clock(at: number, spanMs: number): string {
  const iso = new Date(at).toISOString();
  if (spanMs < 8 * 60_000) return iso.slice(11, 19);
  return spanMs > 26 * 3_600_000 ? `${iso.slice(5, 10)} ${iso.slice(11, 16)}` : iso.slice(11, 16);
}
