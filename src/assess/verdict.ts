import { type DecideAlert, type Decided, decide } from '../decide/decide.ts';
import type { Alert } from '../domain/alert.ts';
import type { Severity } from '../domain/severity.ts';
import type { LiveIncident, World } from '../domain/world.ts';
import type { RouteResult } from '../route/route.ts';
import type { Rules } from '../rules.ts';

/** Whether anybody is to be told, asked of the policy with everything it may look at. */
export function decideFor(
  world: World,
  rules: Rules,
  incident: LiveIncident,
  alerts: Alert[],
  judged: { severity: Severity; routed: RouteResult; actionability: number; services: string[] },
  now: number,
): Decided {
  const { state } = incident;
  const firing: DecideAlert[] = alerts.filter((a) => a.status === 'firing');
  const untold = state.heldAt !== null && state.firstNotifiedAt === null;
  if (untold && firing.length === 0 && incident.members.size > 0) return endedWhileHeld(incident, judged.actionability);
  const firstEver = new Set(firing.map((a) => a.alertname).filter((name) => world.rules.get(name) === state.id));
  const told =
    state.notifiedSeverity !== null ? { severity: state.notifiedSeverity, services: state.notifiedServices } : null;
  return decide(
    {
      alerts: firing,
      severity: judged.severity,
      services: judged.services,
      team: judged.routed.primaryTeam,
      unknownOwner: judged.routed.unknownOwner,
      actionability: judged.actionability,
      firstEver,
      baseline: told ?? state.heldAt,
      snoozedUntil: state.snoozedUntil,
      silencedUntil: state.silencedUntil,
      silences: world.silences,
      killSwitch: world.killSwitch,
      now,
    },
    rules.policy,
  );
}

/** Nothing fires any more and nobody was told: without this its end would be the first that anybody hears of it. */
function endedWhileHeld({ doc, state }: LiveIncident, actionability: number): Decided {
  const reason = { code: 'ended-while-held', text: 'It ended while it was held back; there is nothing left to tell' };
  const before = doc?.decision.reasons.filter((r) => r.code !== reason.code) ?? [];
  const mode = doc?.decision.mode ?? 'active';
  return {
    decision: { verdict: 'suppress', actionability, mode, reasons: [reason, ...before] },
    done: 'suppress',
    perAlert: [],
    expiresAt: state.suppressedUntil,
  };
}
