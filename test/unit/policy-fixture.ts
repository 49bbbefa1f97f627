import {
  BusinessFile,
  type Config,
  PatternsFile,
  RoutingFile,
  SuppressionFile,
  TocsinFile,
} from '../../src/config/schema.ts';
import { compilePolicy, type Policy } from '../../src/decide/policy.ts';

type Tree = {
  tocsin?: unknown;
  business?: unknown;
  routing?: unknown;
  suppression?: unknown;
  patterns?: unknown;
  /** Names of variables that are set. */
  set?: string[];
};

/** A config as the loader would give it, from the files' plain data. */
export function configOf(tree: Tree): Config {
  return {
    dir: 'test',
    hash: 'test',
    provenance: {},
    tocsin: TocsinFile.parse(tree.tocsin ?? {}),
    business: BusinessFile.parse(tree.business ?? {}),
    routing: RoutingFile.parse(tree.routing ?? {}),
    suppression: SuppressionFile.parse(tree.suppression ?? {}),
    patterns: PatternsFile.parse(tree.patterns ?? {}),
    secrets: Object.fromEntries((tree.set ?? []).map((env) => [JSON.stringify({ env }), `value of ${env}`])),
    warnings: [],
  };
}

export const policyOf = (tree: Tree, options?: { assumeSecrets?: boolean }): Policy =>
  compilePolicy(configOf(tree), options);

/** The shop of the contract's sample tree, with every channel on. */
export const shop = {
  tocsin: {
    channels: {
      slack: { token: { env: 'SLACK_BOT_TOKEN' }, signing_secret: { env: 'SLACK_SIGNING_SECRET' } },
      pagerduty: { webhook_secret: { env: 'PAGERDUTY_WEBHOOK_SECRET' } },
      email: { smtp_url: { env: 'SMTP_URL' }, from: 'tocsin@example.com' },
      webhook: { targets: { siem: { url: 'http://127.0.0.1:9999/alert', secret: { env: 'SIEM_SECRET' } } } },
    },
    heartbeats: [{ match: ['alertname="Watchdog"'], within: '10m' }],
  },
  business: {
    services: {
      checkout: {
        owner: 'payments',
        tier: 1,
        revenue_per_hour: 12000,
        currency: 'USD',
        customer_impact: 'high',
        regulatory: true,
        users: 40000,
        depends_on: ['payment', 'cart'],
        runbook: 'https://runbooks.example.com/checkout',
        slo: { objective: 99.9, window: '30d' },
      },
      payment: { owner: 'payments', tier: 1 },
      cart: { owner: 'shop', tier: 2 },
      search: { owner: 'nobody-we-know', tier: 3 },
    },
  },
  routing: {
    teams: {
      sre: { slack: '#sre', email: ['sre@example.com'] },
      payments: { slack: '#payments-oncall', pagerduty: { env: 'PD_PAYMENTS_KEY' }, email: ['payments@example.com'] },
      shop: { slack: '#shop' },
      board: { email: ['ceo@example.com', 'cfo@example.com'] },
    },
    people: { ana: { slack: 'U0ANA', email: 'ana@example.com' }, bo: { email: 'bo@example.com' } },
    routes: {
      default_team: 'sre',
      channels: ['slack', 'pagerduty', 'email'],
      escalation: 'default',
      routes: [
        { match: ['severity="info"'], channels: ['log'] },
        { match: ['service=~"pay.*"', 'env!="dev"'], team: 'payments' },
      ],
    },
    escalation_policies: {
      default: {
        steps: [
          { after: '0s', notify: ['team'] },
          { after: '5m', notify: ['schedule:primary'] },
          { after: '15m', notify: ['team:sre'] },
        ],
        repeat: 2,
        ack_timeout: '30m',
      },
    },
    schedules: { primary: { time_zone: 'Europe/Berlin', rotation: 'weekly', handover: 'Mon 09:00', members: ['ana'] } },
  },
  set: [
    'SLACK_BOT_TOKEN',
    'SLACK_SIGNING_SECRET',
    'PAGERDUTY_WEBHOOK_SECRET',
    'SMTP_URL',
    'SIEM_SECRET',
    'PD_PAYMENTS_KEY',
  ],
};
