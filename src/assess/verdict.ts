import type { Decided } from '../decide/decide.ts';
import type { Alert } from '../domain/alert.ts';
import type { LiveIncident, World } from '../domain/world.ts';
import type { Weights } from './weigh.ts';

/** Everything about this incident that the verdict may look at, apart from what the other judges find. */
export function verdictFacts(
  world: World,
  incident: LiveIncident,
  alerts: readonly Alert[],
  services: readonly string[],
  now: number,
): Weights['decide'] {
  const { state } = incident;
  const firing = alerts.filter((a) => a.status === 'firing');
  const firstEver = new Set(firing.map((a) => a.alertname).filter((name) => world.rules.get(name) === state.id));
  const told =
    state.notifiedSeverity !== null ? { severity: state.notifiedSeverity, services: state.notifiedServices } : null;
  return {
    alerts: firing,
    services,
    firstEver,
    baseline: told ?? state.heldAt,
    snoozedUntil: state.snoozedUntil,
    silencedUntil: state.silencedUntil,
    silences: world.silences,
    killSwitch: world.killSwitch.on,
    now,
  };
}

/**
 * Nothing fires any more and nobody was told: without this its end would be the first that anybody hears of it. Null when
 * that is not so.
 */
export function endedWhileHeld({ doc, state, members, firing }: LiveIncident, actionability: number): Decided | null {
  const untold = state.heldAt !== null && state.firstNotifiedAt === null;
  if (!untold || firing > 0 || members.size === 0) return null;
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
