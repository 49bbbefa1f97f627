import type { Config, Route } from '../config/schema.ts';
import { next, onCall, type Shift } from './schedule.ts';

/** A turn as people see it; RFC 3339 times. */
export type ShownShift = { person: string; since: string; until: string; override: boolean };

/** The answer of `GET /api/v1/oncall` and of `tocsin oncall --json`. */
export type OnCallReport = {
  schedules: { name: string; timeZone: string; now: ShownShift | null; next: ShownShift | null }[];
  /** The schedules that the team's escalations use: who has each of them until when, and who takes over when. */
  teams: {
    name: string;
    now: { schedule: string; person: string | null; until: string | null }[];
    next: { schedule: string; person: string | null; since: string | null }[];
  }[];
};

const shown = (shift: Shift | null): ShownShift | null =>
  shift && {
    person: shift.person,
    since: new Date(shift.since).toISOString(),
    until: new Date(shift.until).toISOString(),
    override: shift.override,
  };

/** Who is on call at `at` (epoch ms) and next, per schedule and per team. */
export function whoIsOnCall(config: Pick<Config, 'routing'>, at: number): OnCallReport {
  const { schedules, teams } = config.routing;
  const used = schedulesOfTeams(config.routing);
  const turns = Object.entries(schedules).map(([name, schedule]) => ({
    name,
    timeZone: schedule.time_zone,
    now: shown(onCall(schedule, at)),
    next: shown(next(schedule, at)),
  }));
  return {
    schedules: turns,
    teams: Object.keys(teams).map((name) => {
      const own = [...(used.get(name) ?? [])].flatMap((schedule) => turns.find((turn) => turn.name === schedule) ?? []);
      return {
        name,
        now: own.map((turn) => ({
          schedule: turn.name,
          person: turn.now?.person ?? null,
          until: turn.now?.until ?? turn.next?.since ?? null,
        })),
        next: own.map((turn) => ({
          schedule: turn.name,
          person: turn.next?.person ?? null,
          since: turn.next?.since ?? null,
        })),
      };
    }),
  };
}

/**
 * A team's schedules are those named in the escalation policies of the routes that lead to it: the routes of that team, and
 * those that name no team (they go to whichever team owns the service).
 */
function schedulesOfTeams(routing: Config['routing']): Map<string, Set<string>> {
  const used = new Map(Object.keys(routing.teams).map((name) => [name, new Set<string>()]));
  const visit = (routes: readonly Route[], team: string | undefined, escalation: string | undefined): void => {
    for (const name of team === undefined ? used.keys() : [team])
      for (const schedule of schedulesOf(routing, escalation)) used.get(name)?.add(schedule);
    for (const route of routes) visit(route.routes, route.team ?? team, route.escalation ?? escalation);
  };
  visit(routing.routes.routes, undefined, routing.routes.escalation);
  return used;
}

function schedulesOf(routing: Config['routing'], escalation: string | undefined): string[] {
  const policies = routing.escalation_policies;
  const policy = escalation !== undefined && Object.hasOwn(policies, escalation) ? policies[escalation] : undefined;
  return (policy?.steps ?? [])
    .flatMap((step) => step.notify)
    .filter((word) => word.startsWith('schedule:'))
    .map((word) => word.slice('schedule:'.length))
    .filter((name) => Object.hasOwn(routing.schedules, name));
}
