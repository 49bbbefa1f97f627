import type { Alert } from '../domain/alert.ts';
import type { Poll, PolledAlert } from './poll.ts';
import type { SeenAlert } from './seen.ts';

/**
 * An Alertmanager that started less than this ago may not have all its alerts back: they live in its memory only.
 * Prometheus sends each firing alert again every minute and other clients within resolve_timeout (5 min); twice that.
 * Until then only the absence of what it has itself listed since its start is believed.
 */
export const TRUSTED_AFTER_MS = 10 * 60_000;
/**
 * How long an alert may fire there without a webhook before the webhook counts as lost: the default group_interval (5 min)
 * is the longest an Alertmanager legitimately waits, plus a minute.
 */
export const LOST_AFTER_MS = 6 * 60_000;
/** HA twins may stamp the same episode a little differently. */
const SAME_START_MS = 60_000;

/** As much of a current episode as the judgement needs; `Alert` has it. */
export type KnownAlert = Pick<Alert, 'fingerprint' | 'status' | 'startsAt' | 'lastSeenAt' | 'receiver'>;

export type Reconciliation = {
  /** Close these as `reconciled`. */
  resolve: { fingerprint: string; endsAt: number }[];
  /** These fire there as well: they were seen at `poll.polledAt`. */
  confirm: string[];
  /** These fire there and are not known to fire here: their webhook was lost. Treat each as if it had been received. */
  fire: SeenAlert[];
  /** Give this to the next call for the same source. */
  history: ReadonlySet<string>;
};

const absent = (fingerprint: string): string => `absent ${fingerprint}`;
const unknown = (fingerprint: string): string => `unknown ${fingerprint}`;
const listedYoung = (fingerprint: string): string => `listed ${fingerprint}`;
const running = (since: number): string => `since ${since}`;

/**
 * Compares what is known of one source with what its Alertmanager lists. Alertmanager sends no resolve for an alert that
 * ended while silenced or inhibited, and loses webhooks; its list knows. Nothing is believed at once: an alert must be
 * missing (or unknown) in two polls in a row, and, since the list of a restarted Alertmanager is empty, it must have been up
 * for `TRUSTED_AFTER_MS` or have listed that alert itself since it started. A failed poll never gets here, so it confirms
 * and closes nothing.
 *
 * `known` are the current episodes of that source, firing and lately ended; what was seen after the poll began is left
 * alone. `fire` names only alerts that a receiver of ours is meant to get (a receiver under which `known` alerts came) and
 * that Alertmanager was not told to keep quiet. `history` is what the previous call for this source returned.
 */
export function reconcile(known: Iterable<KnownAlert>, poll: Poll, history: ReadonlySet<string>): Reconciliation {
  const result = { resolve: [], confirm: [], fire: [], history: new Set<string>() } as Reconciliation & {
    history: Set<string>;
  };
  const listed = new Map(poll.alerts.map((alert) => [alert.fingerprint, alert]));
  const trusted = poll.uptimeSince !== null && poll.polledAt - poll.uptimeSince >= TRUSTED_AFTER_MS;
  const { uptimeSince } = poll;
  // The status is asked after the list: only when the poll before saw this very start too was the list made since.
  const sinceStart = uptimeSince !== null && history.has(running(uptimeSince));
  if (uptimeSince !== null) result.history.add(running(uptimeSince));
  const remembersListed = sinceStart && !trusted;
  if (remembersListed) for (const fingerprint of listed.keys()) result.history.add(listedYoung(fingerprint));
  const ours = new Set<string>();
  const byFingerprint = new Map<string, KnownAlert>();

  for (const alert of known) {
    byFingerprint.set(alert.fingerprint, alert);
    if (alert.receiver !== null) ours.add(alert.receiver);
    if (alert.status !== 'firing') continue;
    const wasListed = sinceStart && history.has(listedYoung(alert.fingerprint));
    if (wasListed && remembersListed) result.history.add(listedYoung(alert.fingerprint));
    if (alert.lastSeenAt >= poll.polledAt) continue;
    const there = listed.get(alert.fingerprint);
    if (there && there.endedAt === null) {
      result.confirm.push(alert.fingerprint);
    } else if (there?.endedAt && there.startsAt >= alert.startsAt - SAME_START_MS) {
      result.resolve.push({ fingerprint: alert.fingerprint, endsAt: there.endedAt });
    } else if (!trusted && !wasListed) {
      // Neither believed nor remembered: the first trusted poll begins the count.
    } else if (history.has(absent(alert.fingerprint))) {
      result.resolve.push({ fingerprint: alert.fingerprint, endsAt: poll.polledAt });
    } else {
      result.history.add(absent(alert.fingerprint));
    }
  }

  for (const there of poll.alerts) {
    const { fingerprint, seen, receivers } = there;
    if (there.suppressed || there.endedAt !== null || poll.polledAt - there.startsAt < LOST_AFTER_MS) continue;
    const receiver = receivers.find((name) => ours.has(name));
    if (receiver === undefined || isKnownThere(byFingerprint.get(fingerprint), there, poll.polledAt)) continue;
    if (seen !== null && history.has(unknown(fingerprint))) result.fire.push({ ...seen, receiver });
    else result.history.add(unknown(fingerprint));
  }
  return result;
}

/** Whether this firing is no news here: the same episode fires, or word of the alert came after the poll began. */
function isKnownThere(alert: KnownAlert | undefined, there: PolledAlert, polledAt: number): boolean {
  if (!alert) return false;
  if (alert.lastSeenAt >= polledAt) return true;
  return alert.status === 'firing' && there.startsAt <= alert.startsAt + SAME_START_MS;
}
