/** Where a turn of the switch came from; `trip` is Tocsin itself, which turns it on only. */
export type KillSwitchOrigin = 'api' | 'cli' | 'signal' | 'file' | 'trip' | 'replay' | 'slack' | 'pagerduty' | 'mail';

/** Why it tripped by itself. */
export type TripCause = 'ledger' | 'latency' | 'criticals';

/**
 * Whether everything is passed through plainly, and who said so. `by`, `origin`, `reason` and `at` (epoch ms) are of the
 * last turn; null when it was never turned. `incidentId`: the incident by which a trip told the default team.
 */
export type KillSwitch = {
  on: boolean;
  by: string | null;
  origin: KillSwitchOrigin | null;
  reason: string | null;
  at: number | null;
  incidentId: string | null;
};

export const neverTurned = (): KillSwitch => ({
  on: false,
  by: null,
  origin: null,
  reason: null,
  at: null,
  incidentId: null,
});

/** The switch as the store keeps it; older stores kept `true` or `false` alone. */
export function readKillSwitch(value: unknown): KillSwitch {
  if (typeof value === 'object' && value !== null) return { ...neverTurned(), ...value };
  return { ...neverTurned(), on: value === true };
}

/** `on since 2026-11-20T03:12:00.000Z by ana (api): reason`, for logs, health and messages. */
export function killSwitchInWords({ on, by, origin, reason, at }: KillSwitch): string {
  if (!on) return 'off';
  const since = at === null ? '' : ` since ${new Date(at).toISOString()}`;
  return `on${since}${by === null ? '' : ` by ${by}`}${origin === null ? '' : ` (${origin})`}${reason ? `: ${reason}` : ''}`;
}
