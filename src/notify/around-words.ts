import type { Incident } from '../domain/incident.ts';
import { LeadMetrics, Places } from '../domain/metrics.ts';
import { figure } from './figures.ts';
import { metricsOf } from './metric-words.ts';
import { plain } from './text.ts';
import { unitOf } from './unit.ts';

/** From this score on a series left its usual range; the detector's own threshold. */
const UNUSUAL = 0.5;
/** Lines a reader takes in at 03:00 beside value and cause. */
const LINES = 4;

const Golden = LeadMetrics.shape.goldenSignals;
type Golden = LeadMetrics['goldenSignals'][number];

/**
 * What else Prometheus says, most telling first and one line each: how unusual the alert's own series is, golden signals
 * that left their usual range, targets that cannot be scraped, and where the pods and nodes are. Empty when nothing is known.
 */
export function aroundOf(incident: Pick<Incident, 'metrics'>): string[] {
  const metrics = metricsOf(incident);
  const golden = metrics?.goldenSignals ?? Golden.safeParse(incident.metrics.goldenSignals).data ?? [];
  const places = Places.safeParse(incident.metrics.places).data;
  const lines = [
    metrics && unusual(metrics),
    goldenText(golden),
    ...(metrics?.targetsDown ?? []).slice(0, 2).map(downText),
    places?.text ?? null,
  ];
  return lines
    .filter((line) => line !== null && line !== '')
    .slice(0, LINES)
    .map((line) => plain(line!, 240));
}

/** `Unusual: level shift, 0.1 % to 2 % is usual`, or that this is how the series usually is. */
function unusual({ anomaly, expression }: LeadMetrics): string | null {
  if (!anomaly?.expected) return null;
  const unit = unitOf(expression);
  const { low, high } = anomaly.expected;
  const usual = `${figure(low, unit)} to ${figure(high, unit)} is usual`;
  if (anomaly.score < UNUSUAL) return `Nothing unusual for this series: ${usual}`;
  return `Unusual: ${anomaly.type?.replace('-', ' ') ?? 'out of range'}, ${usual}`;
}

function goldenText(golden: readonly Golden[]): string | null {
  const out = golden
    .filter(({ anomaly }) => anomaly && anomaly.score >= UNUSUAL)
    .sort((a, b) => b.anomaly!.score - a.anomaly!.score)
    .slice(0, 3)
    .map(({ service, name, value, before, unit, anomaly }) => {
      const was = before === null ? '' : ` (was ${figure(before, unit ?? null)})`;
      return `${name} of ${service} ${figure(value, unit ?? null)}${was}, ${anomaly!.type?.replace('-', ' ') ?? 'unusual'}`;
    });
  return out.length > 0 ? `Also out of range: ${out.join('; ')}` : null;
}

const downText = ({ instance, lastError }: LeadMetrics['targetsDown'][number]): string =>
  `Target ${instance} is down${lastError ? `: ${lastError}` : ''}`;
