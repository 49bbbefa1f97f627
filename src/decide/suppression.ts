import type { Config } from '../config/schema.ts';
import type { Labels } from '../domain/alert.ts';
import type { Mode } from '../domain/incident.ts';
import type { Reason } from '../domain/reason.ts';
import { type CompiledMatchers, compileMatchers, names } from '../route/matchers.ts';
import { closedCalendar, maintenanceCalendar, type Stretch, wallText } from './calendar.ts';
import type { FlapRule } from './habits.ts';

/** Why something is held back and until when (epoch ms; in the reason RFC 3339, since it goes out as it is). */
export type Hold = { until: number; reason: Reason };

/** One entry of suppression.yaml. */
export type HoldingPolicy = {
  name: string;
  matchers: CompiledMatchers;
  /** Its matchers single out severities or rules, so that it may hold back even a critical alert. */
  namesIt: boolean;
  /** Whether it holds at `now` an episode that reached us at `receivedAt`. */
  holds(now: number, receivedAt: number): Hold | null;
};

export type SuppressionPolicy = {
  /** `suppress.mode`, for what no override matches. */
  mode: Mode;
  /**
   * The mode for one alert: the first override that matches its labels, with `team` and `service` as Tocsin found them put
   * in the place of the labels of those names; else `mode`.
   */
  modeOf(labels: Labels, team: string, service: string | null): Mode;
  /** The entries and the floor that these labels match; worked out once per labels object, not once per look. */
  matched(labels: Labels): Matched;
  /** How many messages of priority `from` and below a team gets anew in an hour; null: as many as there are. */
  budgetOf(team: string): { perHour: number; from: number } | null;
  /** Every entry, for explanations: which do not match, and by what. */
  entries: readonly HoldingPolicy[];
};

/** The rules that act on what was learned, for one alert; null: turned off for it. Times are ms. */
export type Learning = {
  actionability: { threshold: number; firings: number; for: number } | null;
  transient: { share: number; firings: number; within: number } | null;
  flapping: (FlapRule & { remind: number }) | null;
  symptoms: { for: number } | null;
};

export type Matched = {
  holding: readonly HoldingPolicy[];
  /** Nothing may hold it back, and why. */
  floor: Reason | null;
  learning: Learning;
};

export const hold = (code: string, policy: string, until: number, text: string): Hold => ({
  until,
  reason: { code, text, policy, until: new Date(until).toISOString() },
});

/** Alerts that fire all the time to show that the road works; the names that kube-prometheus and Robusta ship. */
const watchdogNames = new Set(['Watchdog', 'DeadMansSwitch', 'DeadMansSnitch']);

/** Compiles suppression.yaml and the modes once. Throws on matchers and windows that `check` refuses. */
export function compileSuppression(config: Config): SuppressionPolicy {
  const { maintenance_windows, noise, business_hours, floors } = config.suppression;
  const entry = (name: string, match: readonly string[], holds: HoldingPolicy['holds']): HoldingPolicy => {
    const matchers = compileMatchers(match);
    return { name, matchers, namesIt: names(matchers, 'severity') || names(matchers, 'alertname'), holds };
  };
  const holding = [
    ...maintenance_windows.map((window) => {
      const calendar = maintenanceCalendar(window);
      const held = onceAStretch((running) => {
        const end = `Maintenance window ${window.name} runs until ${wallText(running.until, window.time_zone)}`;
        return hold('maintenance-window', window.name, running.until, because(end, window.reason));
      });
      return entry(window.name, window.match, (now) => held(calendar(now)));
    }),
    ...noise.map((policy) =>
      entry(policy.name, policy.match, (now, receivedAt) => {
        const until = receivedAt + policy.for;
        if (now >= until) return null;
        return hold('noise', policy.name, until, `Noise policy ${policy.name}: ${policy.reason}`);
      }),
    ),
    ...business_hours.map((hours) => {
      const calendar = closedCalendar(hours);
      const held = onceAStretch((closed) => {
        const end = `Outside the business hours ${hours.name}, it waits until ${wallText(closed.until, hours.time_zone)}`;
        return hold('outside-business-hours', hours.name, closed.until, because(end, hours.reason));
      });
      return entry(hours.name, hours.match, (now) => held(calendar(now)));
    }),
  ];
  const learningOf = compileLearning(config.suppression);
  const compiledFloors = floors.map((floor) => compileMatchers(floor.match));
  const watchdogs = config.tocsin.heartbeats.map((heartbeat) => compileMatchers(heartbeat.match));
  const match = (labels: Labels): Matched => ({
    holding: holding.filter((policy) => policy.matchers.matches(labels)),
    floor: floorOf(labels, compiledFloors, watchdogs),
    learning: learningOf(labels),
  });
  const { mode } = config.tocsin.suppress;
  const overrides = config.tocsin.suppress.overrides.map((override) => ({
    matchers: compileMatchers(override.match),
    mode: override.mode,
  }));
  const { budget } = config.suppression;
  const matched = new WeakMap<Labels, Matched>();
  const modes = new WeakMap<Labels, { team: string; service: string | null; mode: Mode }>();
  return {
    mode,
    entries: holding,
    modeOf: (labels, team, service) => {
      if (overrides.length === 0) return mode;
      const before = modes.get(labels);
      if (before && before.team === team && before.service === service) return before.mode;
      const seen: Labels = { ...labels, team, ...(service === null ? {} : { service }) };
      const fresh = overrides.find((override) => override.matchers.matches(seen))?.mode ?? mode;
      modes.set(labels, { team, service, mode: fresh });
      return fresh;
    },
    budgetOf: (team) => {
      if (!budget.enabled) return null;
      const perHour = Object.hasOwn(budget.teams, team) ? budget.teams[team]! : budget.per_hour;
      return { perHour, from: budget.from_priority };
    },
    matched: (labels) => {
      const before = matched.get(labels);
      if (before) return before;
      const fresh = match(labels);
      matched.set(labels, fresh);
      return fresh;
    },
  };
}

/** Each rule with what the first override that matches says otherwise. */
function compileLearning(file: Config['suppression']): (labels: Labels) => Learning {
  const withOverrides = <Rule extends { enabled: boolean }>(
    rule: Rule & { overrides: ({ match: string[] } & { [key in keyof Rule]?: Rule[key] | undefined })[] },
  ) => {
    const { overrides, ...rest } = rule;
    const compiled = overrides.map(({ match, ...other }) => ({
      matchers: compileMatchers(match),
      rule: { ...rest, ...other } as unknown as Rule,
    }));
    return (labels: Labels): Rule | null => {
      const found = compiled.find(({ matchers }) => matchers.matches(labels))?.rule ?? (rest as unknown as Rule);
      return found.enabled ? found : null;
    };
  };
  const actionability = withOverrides(file.actionability);
  const transient = withOverrides(file.transient);
  const flapping = withOverrides(file.flapping);
  const symptoms = withOverrides(file.symptoms);
  const of = (labels: Labels): Learning => ({
    actionability: actionability(labels),
    transient: transient(labels),
    flapping: flapping(labels),
    symptoms: symptoms(labels),
  });
  const all = [file.actionability, file.transient, file.flapping, file.symptoms];
  if (all.some(({ overrides }) => overrides.length > 0)) return of;
  // Kept for each alert: 100,000 of them share one object.
  const shared = of({});
  return () => shared;
}

/** 10,000 alerts in one window share one hold: writing its sentence anew for each took 120 ms. */
function onceAStretch(write: (stretch: Stretch) => Hold): (stretch: Stretch | null) => Hold | null {
  let last: { until: number; held: Hold } | null = null;
  return (stretch) => {
    if (stretch === null) return null;
    if (last?.until !== stretch.until) last = { until: stretch.until, held: write(stretch) };
    return last.held;
  };
}

const because = (sentence: string, reason: string | undefined): string =>
  reason ? `${sentence}: ${reason}` : sentence;

function floorOf(
  labels: Labels,
  floors: readonly CompiledMatchers[],
  watchdogs: readonly CompiledMatchers[],
): Reason | null {
  const floor = floors.find((matchers) => matchers.matches(labels));
  if (floor) return { code: 'floor-configured', text: `A floor in suppression.yaml always notifies: ${floor.text}` };
  const name = Object.hasOwn(labels, 'alertname') ? labels.alertname! : '';
  if (watchdogNames.has(name) || watchdogs.some((matchers) => matchers.matches(labels)))
    return { code: 'floor-watchdog', text: 'Alerts that watch the alerting itself are never held back' };
  return null;
}
