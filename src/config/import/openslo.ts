import { child, items, type Spot, text } from '../spot.ts';
import { type At, addFact, type Draft, note, refuse, service, usableName } from './draft.ts';

/**
 * OpenSLO v1 (https://github.com/OpenSLO/OpenSLO): a Service gives its description, an SLO its objective and window. The
 * business context holds one objective per service: the strictest, which is the first one to be missed.
 */

const placeOf = (at: Spot): At => ({ file: at.yaml.file, ...at.yaml.place(at.path) });

/** True for a document of OpenSLO, whatever its version. */
export const isOpenSlo = (apiVersion: string): boolean => /^openslo(\.com)?\//.test(apiVersion);

type Objective = { service: string; percent: number; window: string; slo: string; method: string; at: Spot };

export function readOpenSlo(documents: readonly Spot[], draft: Draft): void {
  const objectives: Objective[] = [];
  for (const at of documents) {
    const version = child(at, 'apiVersion')!;
    if (text(version) !== 'openslo/v1') {
      refuse(draft, placeOf(version), `${text(version)} is not read`, 'Convert it to openslo/v1.');
      continue;
    }
    const kind = text(child(at, 'kind'));
    if (kind === 'Service') readService(at, draft);
    else if (kind === 'SLO') objectives.push(...objectivesOf(at, draft));
  }
  const strictest = new Map<string, Objective>();
  for (const one of objectives) {
    const best = strictest.get(one.service);
    if (!best || one.percent > best.percent) strictest.set(one.service, one);
  }
  for (const one of objectives) {
    const best = strictest.get(one.service)!;
    const where = placeOf(one.at);
    if (one === best)
      addFact(draft, 'openslo', one.service, 'slo', { objective: one.percent, window: one.window }, where);
    else
      note(
        draft,
        where,
        `the SLO "${one.slo}" (${one.percent} % in ${one.window}, ${one.method}) of "${one.service}" is left out`,
        `The strictest one counts: "${best.slo}", ${best.percent} % in ${best.window}.`,
      );
  }
}

function readService(at: Spot, draft: Draft): void {
  const metadata = child(at, 'metadata');
  const name = usableName(draft, text(child(metadata, 'name')), placeOf(metadata ?? at), 'this Service');
  if (name === null) return;
  service(draft, 'openslo', name, placeOf(metadata ?? at));
  const description = child(child(at, 'spec'), 'description') ?? child(metadata, 'displayName');
  const said = text(description)?.trim().slice(0, 500);
  if (description && said) addFact(draft, 'openslo', name, 'description', said, placeOf(description));
}

function objectivesOf(at: Spot, draft: Draft): Objective[] {
  const spec = child(at, 'spec');
  const slo = usableName(draft, text(child(child(at, 'metadata'), 'name')), placeOf(at), 'this SLO');
  if (slo === null) return [];
  const of = child(spec, 'service');
  const name = usableName(draft, text(of), placeOf(of ?? spec ?? at), `the service of the SLO "${slo}"`);
  if (name === null) return [];
  const window = windowOf(child(spec, 'timeWindow'), slo, draft);
  if (window === null) return [];
  const method = text(child(spec, 'budgetingMethod')) ?? 'no budgeting method';
  return items(child(spec, 'objectives')).flatMap((one) => {
    const percent = percentOf(one, draft);
    return percent === null ? [] : [{ service: name, percent, window, slo, method, at: one }];
  });
}

function percentOf(objective: Spot, draft: Draft): number | null {
  const target = child(objective, 'target');
  const inPercent = child(objective, 'targetPercent');
  const at = target ?? inPercent;
  if (!at) {
    refuse(draft, placeOf(objective), 'this objective has no target', 'Add target: 0.999 or targetPercent: 99.9.');
    return null;
  }
  // 0.999 * 100 is 99.9 only after rounding; six digits are more than any objective has.
  const percent = typeof at.value === 'number' ? Math.round((target ? at.value * 100 : at.value) * 1e6) / 1e6 : null;
  if (percent !== null && percent > 0 && percent < 100) return percent;
  const example = target ? 'Write a share such as 0.999.' : 'Write a percentage such as 99.9.';
  refuse(draft, placeOf(at), 'a target lies between nothing and everything, both excluded', example);
  return null;
}

/** OpenSLO counts in `m` minutes, `h`, `d`, `w`, `M` months, `Q` quarters, `Y` years; a month is taken as 30 days. */
const days: Record<string, number> = { M: 30, Q: 90, Y: 365 };

function windowOf(timeWindow: Spot | null, slo: string, draft: Draft): string | null {
  // v1 has a list of one; some writers leave the list out.
  const at = child(items(timeWindow)[0] ?? timeWindow, 'duration');
  if (!at) return '30d';
  const parts = /^([1-9]\d*)([mhdwMQY])$/.exec(text(at) ?? '');
  if (!parts) {
    refuse(draft, placeOf(at), `the window of the SLO "${slo}" cannot be read`, 'Write for example 30d, 4w or 1M.');
    return null;
  }
  const length = days[parts[2]!];
  return length === undefined ? parts[0] : `${Number(parts[1]) * length}d`;
}
