import { onTestFinished } from 'vitest';
import { startFakePagerDuty } from '../fakes/pagerduty.ts';
import { withDatabase } from '../fakes/postgres.ts';
import type { ServiceOptions, Tree } from '../fakes/service.ts';
import { startFakeSlack } from '../fakes/slack.ts';
import { startFakeSmtp } from '../fakes/smtp.ts';
import { until } from '../fakes/until.ts';

/** Who is told in the little shop of these stories. */
export const payments = { slack: '#payments', pagerduty: 'payments-routing-key', email: 'payments@example.com' };
export const ana = { slack: 'U0ANA', email: 'ana@example.com' };

export type Shop = Awaited<ReturnType<typeof openShop>>;

/**
 * Fake Slack, PagerDuty and mailbox, a database of its own, and a config tree that leads there. Everything ends with the
 * test; `quiet()` fails when anybody was told something that the story did not expect.
 */
export async function openShop(more: { database?: boolean } = {}) {
  const [slack, pagerduty, smtp] = await Promise.all([startFakeSlack(), startFakePagerDuty(), startFakeSmtp()]);
  onTestFinished(async () => {
    await Promise.all([slack.close(), pagerduty.close(), smtp.close()]);
  });
  const database = more.database === false ? null : await withDatabase({ migrated: false });
  if (database) onTestFinished(() => database.close());

  const env: Record<string, string> = {
    SLACK_BOT_TOKEN: slack.token,
    SLACK_SIGNING_SECRET: slack.signingSecret,
    PAGERDUTY_WEBHOOK_SECRET: pagerduty.webhookSecret,
    PD_PAYMENTS_KEY: payments.pagerduty,
    SMTP_URL: smtp.url,
    ...(database ? { DATABASE_URL: database.url } : {}),
  };

  return {
    slack,
    pagerduty,
    smtp,
    database,
    env,
    /** Options to start a service with; `files` replaces whole top-level keys of the tree's files. */
    service(files: Record<string, Tree> = {}, options: Partial<ServiceOptions> = {}): ServiceOptions {
      return { ...options, config: shopTree({ slack, pagerduty }, files), env: { ...env, ...options.env } };
    },
    /** Nobody was told anything that no expectation took. */
    quiet(): void {
      slack.expectNothingElse();
      pagerduty.expectNothingElse();
      smtp.expectNothingElse();
    },
  };
}

/** checkout calls payment and cart; payment calls payment-db. The team payments owns all of it. */
function shopTree({ slack, pagerduty }: { slack: { url: string }; pagerduty: { url: string } }, files: Tree): Tree {
  const tree: Record<string, Tree> = {
    'tocsin.yaml': {
      channels: {
        slack: {
          token: { env: 'SLACK_BOT_TOKEN' },
          signing_secret: { env: 'SLACK_SIGNING_SECRET' },
          api_url: slack.url,
        },
        pagerduty: { events_url: pagerduty.url, webhook_secret: { env: 'PAGERDUTY_WEBHOOK_SECRET' } },
        email: { smtp_url: { env: 'SMTP_URL' }, from: 'tocsin@example.com' },
      },
      server: { min_free_disk: 0 },
    },
    'business-context.yaml': {
      services: {
        checkout: { owner: 'payments', tier: 1, depends_on: ['payment', 'cart'] },
        payment: { owner: 'payments', tier: 1, depends_on: ['payment-db'] },
        'payment-db': { owner: 'payments', tier: 2 },
        cart: { owner: 'payments', tier: 2 },
      },
    },
    'routing.yaml': {
      teams: {
        payments: { slack: payments.slack, pagerduty: { env: 'PD_PAYMENTS_KEY' }, email: [payments.email] },
      },
      people: { ana },
      routes: { default_team: 'payments', channels: ['slack', 'pagerduty', 'email'] },
    },
  };
  for (const [name, keys] of Object.entries(files)) tree[name] = { ...tree[name], ...(keys as Tree) };
  return tree;
}

/** Waits until the fake's state fits; says what was there. */
export const see = (fits: () => unknown, what: () => string, timeoutMs = 15_000): Promise<unknown> =>
  until(() => Boolean(fits()), what, timeoutMs);
