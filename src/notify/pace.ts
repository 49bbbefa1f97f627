import type { ChannelKind } from '../domain/notification.ts';

/** Calls a second and how many may come at once. */
type Rate = { perSecond: number; burst: number };

/**
 * What each far side bears, per address.
 * Slack: about 1 message a second per channel, short bursts tolerated (https://docs.slack.dev/apis/web-api/rate-limits).
 * PagerDuty: about 120 events a minute per integration key. Mail and webhooks: modest, so that a storm of incidents is not
 * taken for abuse.
 */
const perAddress: Record<Exclude<ChannelKind, 'log'>, Rate> = {
  slack: { perSecond: 1, burst: 4 },
  pagerduty: { perSecond: 2, burst: 30 },
  email: { perSecond: 1, burst: 10 },
  webhook: { perSecond: 10, burst: 50 },
};

/** `chat.update` is a tier 3 method: 50 a minute for the whole workspace, whatever the channel. */
const slackEdits: Rate = { perSecond: 50 / 60, burst: 10 };

/** One message is edited at most this often, ms: what comes in between is coalesced into the next edit. */
export const editEveryMs = 3_000;

/** First wait 1 s, doubling to at most 60 s (contract section 4). */
const firstBackoffMs = 1_000;
const maxBackoffMs = 60_000;

/** How long to wait after the nth failure in a row (n from 1), ms; `random` 0..1 spreads it over the upper half. */
export function backoffMs(failures: number, random: number): number {
  const full = Math.min(maxBackoffMs, firstBackoffMs * 2 ** Math.min(failures - 1, 10));
  return Math.round(full * (0.5 + random / 2));
}

type Bucket = { tokens: number; at: number };

export type Pacer = {
  /**
   * How long to wait before this call, ms; 0 takes its turn. A call that is no page leaves one turn over, so that a page
   * never waits for an edit.
   */
  turn(channel: ChannelKind, address: string, call: 'page' | 'state' | 'edit', now: number): number;
};

/** Token buckets in memory, one per address: each worker keeps its own, Retry-After settles what several add up to. */
export function createPacer(): Pacer {
  const buckets = new Map<string, Bucket>();

  function wait(key: string, rate: Rate, keep: number, now: number): { ms: number; take(): void } {
    const bucket = buckets.get(key) ?? { tokens: rate.burst, at: now };
    bucket.tokens = Math.min(rate.burst, bucket.tokens + (Math.max(0, now - bucket.at) / 1000) * rate.perSecond);
    bucket.at = now;
    buckets.set(key, bucket);
    // A hair of tolerance: waiting exactly as long as was said must be enough, whatever floating point makes of it.
    const missing = 1 + keep - bucket.tokens;
    return {
      ms: missing <= 1e-6 ? 0 : Math.ceil((missing / rate.perSecond) * 1000),
      take: () => {
        bucket.tokens -= 1;
      },
    };
  }

  return {
    turn(channel, address, call, now) {
      if (channel === 'log') return 0;
      const waits = [wait(`${channel} ${address}`, perAddress[channel], call === 'page' ? 0 : 1, now)];
      if (channel === 'slack' && call === 'edit') waits.push(wait('slack edits', slackEdits, 0, now));
      const ms = Math.max(...waits.map((one) => one.ms));
      if (ms === 0) for (const one of waits) one.take();
      return ms;
    },
  };
}
