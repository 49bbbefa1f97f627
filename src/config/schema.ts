import { z } from 'zod';
import { Mode } from '../domain/incident.ts';
import { Severity } from '../domain/severity.ts';
import {
  containmentExporters,
  containmentOwners,
  containmentPods,
  goldenSignals,
  isPromql,
  overWindow,
  topologyMappings,
} from './metric-queries.ts';

/**
 * The config tree, file by file, as strict schemas: an unknown key is a fault. Durations come out as milliseconds,
 * matchers stay text here (route/matchers.ts compiles them), secrets stay references (config/secrets.ts resolves them).
 *
 * A message here is `what is wrong; write WHAT INSTEAD`: config/schema-faults.ts splits it at "; write ".
 */

const units: Record<string, number> = {
  ms: 1,
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
  w: 604_800_000,
  y: 31_536_000_000,
};

/** Prometheus' duration: `5m`, `1h30m`, `30d`; gives milliseconds, or null when it is none. */
export function parseDuration(text: string): number | null {
  if (text === '0') return 0;
  if (!/^(\d+y)?(\d+w)?(\d+d)?(\d+h)?(\d+m)?(\d+s)?(\d+ms)?$/.test(text) || text === '') return null;
  let total = 0;
  for (const [, n, unit] of text.matchAll(/(\d+)(ms|[ywdhms])/g)) total += Number(n) * (units[unit!] ?? 0);
  return total;
}

const Duration = z
  .string({ error: 'this is not a duration; write for example 30s, 5m, 1h30m or 30d' })
  .transform((text, context) => {
    const ms = parseDuration(text);
    if (ms === null) {
      context.addIssue({
        code: 'custom',
        message: `"${text}" is not a duration; write for example 30s, 5m, 1h30m or 30d`,
      });
      return z.NEVER;
    }
    return ms;
  })
  .meta({ description: 'A Prometheus duration: 30s, 5m, 1h30m, 30d' });

/** A time that something must take: 0 would mean a loop without a pause, or nothing kept at all. */
const LongerThanZero = Duration.refine((ms) => ms > 0, 'this must be longer than 0; write for example 30s or 5m');

/** A secret is never written in the file: `{ env: NAME }` or `{ file: PATH }`. */
const notASecret = 'a secret is never written here, only where it is found; write { env: NAME } or { file: PATH }';
export const SecretRef = z
  .union(
    [
      z.strictObject({
        env: z
          .string()
          .regex(
            /^[A-Za-z_][A-Za-z0-9_]*$/,
            'this is no name of an environment variable; write for example SLACK_BOT_TOKEN, letters, digits and underscores',
          ),
      }),
      z.strictObject({ file: z.string().min(1) }),
    ],
    { error: notASecret },
  )
  .meta({
    description: 'A reference to a secret: { env: NAME } or { file: PATH }; a path is taken from the config folder',
  });
export type SecretRef = z.infer<typeof SecretRef>;

const Name = z
  .string()
  .regex(
    /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/,
    'this name cannot be used; write letters, digits, dot, dash and underscore, at most 64, the first a letter or digit',
  );
const Url = z.url({ protocol: /^https?$/, error: 'this is not a URL; write for example http://127.0.0.1:9090' });
const Match = z.array(z.string().min(1)).describe('Alertmanager matchers, all must hold: service=~"pay.*"');
const TimeZone = z.string().refine((zone) => {
  // Node also takes offsets such as +01:00, which know no daylight saving: a schedule would be off for half the year.
  if (/^[+-]/.test(zone)) return false;
  try {
    new Intl.DateTimeFormat('en', { timeZone: zone });
    return true;
  } catch {
    return false;
  }
}, 'this is not a time zone of the IANA database; write for example Europe/Berlin or UTC');

const Instant = z.iso.datetime({
  offset: true,
  error: 'this is not a time with its offset; write for example "2026-11-20T07:30:00Z" or "2026-11-20T08:30:00+01:00"',
});
const ClockTime = z.string().regex(/^([01]\d|2[0-3]):[0-5]\d$/, 'this is not a time of day; write for example "09:00"');

export const Role = z.enum(['webhook', 'viewer', 'responder', 'editor', 'admin']);
export type Role = z.infer<typeof Role>;

const HttpAuth = z.union(
  [z.strictObject({ bearer: SecretRef }), z.strictObject({ username: z.string(), password: SecretRef })],
  {
    error:
      'this is not a way to log in; write { bearer: { env: NAME } } or { username: NAME, password: { env: NAME } }',
  },
);
export type HttpAuth = z.infer<typeof HttpAuth>;

const Promql = z
  .string()
  .max(4_000)
  .refine(isPromql, 'this is not PromQL; write for example sum(rate(http_requests_total{service="{{service}}"}[5m]))');
const MetricName = z
  .string()
  .regex(/^[a-zA-Z_:][a-zA-Z0-9_:]*$/, 'this is not the name of a metric; write for example kube_pod_info');
const LabelName = z
  .string()
  .regex(/^[a-zA-Z_][a-zA-Z0-9_]*$/, 'this is not the name of a label; write for example namespace');

const MailAddress = z.email({
  pattern: z.regexes.html5Email,
  error: 'this is not a mail address; write for example sre@example.com',
});

const noSmtpUrl =
  'this is not the address of a mail server; write smtp://HOST:PORT, or { env: SMTP_URL } when it holds a password';

export const TocsinFile = z.strictObject({
  server: z
    .strictObject({
      public_url: Url.optional().describe('where people reach Tocsin; messages link to it'),
      /** Several tokens may share a name: that is how one is rotated. */
      tokens: z
        .array(z.strictObject({ name: Name, role: Role, token: SecretRef }))
        .optional()
        .describe('who may talk to it; without any, all is open and only to this machine'),
      max_body: z
        .int()
        .min(1024)
        .max(512 * 1024 * 1024)
        .default(16 * 1024 * 1024)
        .describe('bytes'),
      inbox_limit: z.int().min(1).default(200_000).describe('deliveries waiting; at more the webhook answers 503'),
      min_free_disk: z
        .int()
        .min(0)
        .default(256 * 1024 * 1024)
        .describe('bytes free under TOCSIN_DATA; at less the webhook answers 503'),
    })
    .prefault({}),
  prometheus: z
    .array(
      z.strictObject({
        name: Name,
        url: Url,
        auth: HttpAuth.optional(),
        timeout: LongerThanZero.prefault('2s').describe('how long one query may take'),
        match: z
          .record(z.string(), z.string())
          .optional()
          .describe('labels of the alerts it knows about; without it, every alert'),
        max_in_flight: z.int().min(1).max(64).default(4),
        max_per_minute: z
          .int()
          .min(1)
          .default(300)
          .describe('requests in any minute; facts of less weight stop at half of it'),
      }),
    )
    .default([]),
  alertmanager: z
    .array(
      z.strictObject({
        name: Name,
        url: Url,
        auth: HttpAuth.optional(),
        poll: Duration.refine((ms) => ms >= 1_000, 'this is too often; write 1s or more')
          .prefault('30s')
          .describe('how often it is asked what still fires'),
      }),
    )
    .default([]),
  severity_map: z
    .record(z.string(), Severity)
    .default({})
    .describe('what senders say in their severity label; the usual words are known, an unknown one is medium'),
  labels: z
    .strictObject({
      service: z.array(z.string()).default(['service', 'app', 'app_kubernetes_io_name', 'application']),
      namespace: z.array(z.string()).default(['namespace', 'exported_namespace']),
      cluster: z.array(z.string()).default(['cluster']),
      tenant: z.array(z.string()).default(['tenant']),
    })
    .prefault({}),
  channels: z
    .strictObject({
      slack: z
        .strictObject({
          token: SecretRef,
          signing_secret: SecretRef.optional(),
          api_url: Url.default('https://slack.com/api/'),
        })
        .optional(),
      pagerduty: z
        .strictObject({
          events_url: Url.default('https://events.pagerduty.com'),
          webhook_secret: SecretRef.optional(),
        })
        .optional(),
      email: z
        .strictObject({
          smtp_url: z.union([SecretRef, z.string().regex(/^smtps?:\/\//, noSmtpUrl)], { error: noSmtpUrl }),
          from: z.string().min(3),
        })
        .optional(),
      webhook: z
        .strictObject({ targets: z.record(Name, z.strictObject({ url: Url, secret: SecretRef.optional() })) })
        .optional(),
      log: z.strictObject({}).optional(),
    })
    .prefault({}),
  deploys: z
    .strictObject({
      github: z.strictObject({ secret: SecretRef }).optional(),
      gitlab: z.strictObject({ secret: SecretRef }).optional(),
    })
    .prefault({}),
  enrich: z
    .strictObject({
      deadline: Duration.prefault('2s').describe('how long the first message waits for facts'),
      golden_signals: z
        .array(z.strictObject({ name: z.string().min(1).max(60), query: Promql }))
        .max(20)
        .default(goldenSignals)
        .describe('asked of every service of an incident; "{{service}}" and "{{namespace}}" are put in, escaped'),
      deploys_every: Duration.prefault('1m').describe(
        'how often each Prometheus is asked what was rolled out; 0: never',
      ),
      topology: z
        .strictObject({
          every: Duration.prefault('5m').describe('how often each Prometheus is asked who calls whom; 0: never'),
          mappings: z
            .array(
              z.strictObject({
                name: z.string().min(1).max(60),
                query: Promql.describe("one series per edge; its value is the edge's requests per second"),
                caller: z.string().min(1).describe('the label that names the caller'),
                callee: z.string().min(1).describe('the label that names the called service'),
                caller_namespace: z.string().min(1).optional(),
                callee_namespace: z.string().min(1).optional(),
              }),
            )
            .default(topologyMappings),
          containment: z
            .strictObject({
              pods: z
                .strictObject({
                  metric: MetricName.default(containmentPods.metric),
                  namespace: LabelName.default(containmentPods.namespace),
                  pod: LabelName.default(containmentPods.pod),
                  node: LabelName.default(containmentPods.node),
                  host_ip: LabelName.default(containmentPods.host_ip),
                  kind: LabelName.default(containmentPods.kind),
                  owner: LabelName.default(containmentPods.owner),
                })
                .prefault({})
                .describe('the metric with one series a pod, and which label says what'),
              owners: z
                .array(
                  z.strictObject({
                    child: z.string().min(1).describe('the kind of what is owned: Pod, ReplicaSet, Job, …'),
                    metric: MetricName,
                    namespace: LabelName.default('namespace'),
                    name: LabelName.describe('the label that names the child'),
                    kind: LabelName.default('owner_kind'),
                    owner: LabelName.default('owner_name'),
                  }),
                )
                .default(containmentOwners)
                .describe('which workload owns what; an empty list: containment is not learned'),
              exporters: z
                .array(z.string().min(1))
                .default(containmentExporters)
                .describe(
                  'jobs that scrape others: the service label of their alerts is their own, their pod says more',
                ),
            })
            .prefault({}),
        })
        .prefault({}),
    })
    .prefault({}),
  heartbeats: z
    .array(
      z.strictObject({
        match: Match,
        within: LongerThanZero.optional().describe(
          'missing longer than this: a critical incident; without it nobody watches',
        ),
      }),
    )
    .default([]),
  heartbeat_url: z
    .union([Url, SecretRef], {
      error: 'this is not a URL; write https://…, or { env: NAME } when the URL itself is the secret',
    })
    .optional(),
  correlate: z
    .strictObject({
      window: LongerThanZero.prefault('15m').describe(
        'an alert never joins an incident that has been quiet for longer',
      ),
      reopen: Duration.prefault('5m').describe('what fires again so soon after its end reopens its incident'),
      models: z
        .string()
        .min(1)
        .optional()
        .describe(
          'a folder of fitted models to use instead of the shipped ones, read at start (npm run train -- --from-store)',
        ),
    })
    .prefault({}),
  alerts: z
    .strictObject({
      stale_after: LongerThanZero.prefault('12h').describe(
        'a firing alert that nobody confirms for so long is closed as stale',
      ),
    })
    .prefault({}),
  suppress: z
    .strictObject({
      mode: Mode.default('shadow').describe(
        'shadow sends all and records what it would hold back; assist marks it; active holds it back; passthrough does not judge',
      ),
      overrides: z.array(z.strictObject({ match: Match, mode: Mode })).default([]),
    })
    .prefault({}),
  kill_switch: z
    .strictObject({
      latency: Duration.prefault('5m').describe(
        'it trips when a change has waited for its verdict for longer; 0: never',
      ),
      criticals: z
        .strictObject({
          share: z.number().gt(0).max(1).default(0.5),
          at_least: z.int().min(1).default(5),
          within: LongerThanZero.prefault('10m'),
        })
        .prefault({})
        .describe(
          'it trips when policy would hold back more than this share of the critical incidents that began within the time, and at least so many',
        ),
    })
    .prefault({}),
  digest: z
    .strictObject({
      at: z
        .union([ClockTime, z.literal('off')], {
          error: 'this is not a time of day; write for example "09:00", or off',
        })
        .default('09:00')
        .describe(
          'when each team gets the list of what was held back since the last one; nothing held back, nothing sent',
        ),
      time_zone: TimeZone.default('UTC'),
    })
    .prefault({}),
  retention: z
    .strictObject({
      deliveries: LongerThanZero.prefault('30d'),
      incidents: LongerThanZero.prefault('395d'),
      audit: LongerThanZero.prefault('730d'),
    })
    .prefault({}),
});
export type TocsinFile = z.infer<typeof TocsinFile>;

/** A range selector's window is no PromQL until it is put in. */
const ErrorRatio = z
  .string()
  .max(4_000)
  .refine(
    (text) => isPromql(overWindow(text, '5m') ?? ''),
    'this is no PromQL with {{window}} as its range; write for example sum(rate(http_requests_total{service="{{service}}",code=~"5.."}[{{window}}])) / sum(rate(http_requests_total{service="{{service}}"}[{{window}}]))',
  )
  .describe(
    'PromQL of the share of failed requests (0..1) over {{window}}; "{{service}}" and "{{namespace}}" are put in',
  );

export const Service = z.strictObject({
  owner: z.string().optional().describe('a team of routing.yaml'),
  tier: z.int().min(1).max(5).optional().describe('1 (the business stops) to 5 (nobody notices)'),
  revenue_per_hour: z
    .number()
    .min(0, 'money cannot be negative; write 0 or more')
    .optional()
    .describe('what an hour of full outage costs'),
  currency: z
    .string()
    .regex(/^[A-Z]{3}$/, 'this is not an ISO 4217 currency; write for example USD')
    .optional(),
  customer_impact: z.enum(['none', 'low', 'medium', 'high']).optional(),
  regulatory: z.boolean().optional().describe('an outage must be reported'),
  users: z
    .union(
      [
        z.number().min(0, 'there cannot be fewer than none; write 0 or more'),
        z.strictObject({ query: Promql.describe('"{{service}}" and "{{namespace}}" are put in') }),
      ],
      {
        error: 'these are no users; write a number that is not negative, or { query: PROMQL }',
      },
    )
    .optional()
    .describe('people who use it in a busy hour, or the PromQL that counts those who use it now'),
  depends_on: z.array(z.string()).default([]).describe('the services it calls'),
  runbook: Url.optional(),
  dashboards: z.array(Url).default([]),
  slo: z
    .strictObject({
      objective: z.number().gt(0).lt(100).describe('percent'),
      window: LongerThanZero.prefault('30d'),
      errors: ErrorRatio.optional(),
    })
    .optional(),
  description: z.string().optional(),
  system: z.string().optional().describe('the system it is a part of, shown in the topology'),
  lifecycle: z.string().optional().describe('production, experimental, deprecated; shown in the topology'),
});
export type Service = z.infer<typeof Service>;

export const BusinessFile = z.strictObject({ services: z.record(z.string().min(1), Service).default({}) });
export type BusinessFile = z.infer<typeof BusinessFile>;

export const channelKinds = ['slack', 'pagerduty', 'email', 'webhook', 'log'] as const;
const Channel = z
  .string()
  .regex(
    /^(slack|pagerduty|email|log|webhook(:[A-Za-z0-9._-]+)?)$/,
    'there is no such channel; write one of slack, pagerduty, email, log, webhook or webhook:TARGET',
  );

type RouteInput = {
  match?: string[];
  team?: string;
  unowned_team?: string;
  channels?: string[];
  escalation?: string;
  continue?: boolean;
  routes?: RouteInput[];
};

/** A node of the tree. What it leaves out it takes from its parent, as in Alertmanager. */
export type Route = {
  match: string[];
  team?: string;
  unowned_team?: string;
  channels?: string[];
  escalation?: string;
  continue: boolean;
  routes: Route[];
};
export const Route: z.ZodType<Route, RouteInput> = z.lazy(() =>
  z.strictObject({
    match: Match.default([]),
    team: z.string().optional(),
    unowned_team: z.string().optional().describe('the team of what no `team`, label or catalogue gives to anybody'),
    channels: z.array(Channel).min(1).optional(),
    escalation: z.string().optional(),
    continue: z.boolean().default(false),
    routes: z.array(Route).default([]),
  }),
) as never;

const Handover = z
  .string()
  .regex(
    /^((Mon|Tue|Wed|Thu|Fri|Sat|Sun) )?([01]\d|2[0-3]):[0-5]\d$/,
    'this is not a time of handover; write "Mon 09:00" for a weekly rotation, "09:00" for a daily one',
  );

export const TeamEntry = z.strictObject({
  slack: z.string().optional().describe('a channel: "#sre" or its id'),
  pagerduty: SecretRef.optional().describe('the routing key of an Events API v2 integration'),
  email: z.array(MailAddress).optional(),
  webhook: z.array(Name).optional(),
});

const Points = z.int().min(0).max(1_000);
const Rows = z.array(z.strictObject({ over: z.number().min(0), points: Points }));

/** What has to hold together; an unknown figure holds nothing. */
const ImpactCriteria = z
  .strictObject({
    severity: Severity.optional(),
    priority: z.int().min(1).max(5).optional().describe('this urgent or more'),
    revenue_impact_over: z.number().min(0).optional().describe('the expected revenue impact in all'),
    users_over: z.number().min(0).optional(),
    regulatory: z.boolean().optional(),
    customer_impact: z.enum(['low', 'medium', 'high']).optional().describe('this much or more'),
    sla_breach_risk: z.enum(['medium', 'high']).optional().describe('this high or more'),
  })
  .refine((one) => Object.keys(one).length > 0, 'this holds always; write a criterion such as severity: critical');

const ImpactRule = z.strictObject({
  when: z.array(ImpactCriteria).min(1).optional().describe('one of these has to hold; without it, always'),
  add: z
    .array(z.string().min(1))
    .default([])
    .describe('a team, else a schedule, else a person of this name; or team:NAME, schedule:NAME, person:NAME'),
  escalate_after: LongerThanZero.optional().describe(
    'the longest wait for the second step, from the first notification',
  ),
});
export type ImpactRule = z.infer<typeof ImpactRule>;

export const RoutingFile = z.strictObject({
  teams: z.record(z.string().min(1), TeamEntry).default({}),
  people: z
    .record(
      z.string().min(1),
      z.strictObject({
        slack: z.string().optional().describe('a member id: U0ANA'),
        email: MailAddress.optional(),
        pagerduty: SecretRef.optional(),
      }),
    )
    .default({}),
  routes: z
    .strictObject({
      default_team: z.string().default('default').describe('who gets what nobody owns'),
      channels: z.array(Channel).min(1).default(['log']),
      escalation: z.string().optional(),
      routes: z.array(Route).default([]),
    })
    .prefault({}),
  escalation_policies: z
    .record(
      z.string(),
      z.strictObject({
        steps: z
          .array(
            z.strictObject({
              after: Duration.describe('from the first notification'),
              notify: z
                .array(
                  z
                    .string()
                    .regex(
                      /^(team|team:.+|schedule:.+|person:.+)$/,
                      'nobody can be notified by this; write team, team:NAME, schedule:NAME or person:NAME',
                    ),
                )
                .min(1),
            }),
          )
          .min(1),
        repeat: z.int().min(0).max(100).default(0).describe('rounds more when still nobody answers'),
        ack_timeout: LongerThanZero.optional().describe('still firing this long after the acknowledgement: it goes on'),
      }),
    )
    .default({}),
  priority: z
    .strictObject({
      severity: z
        .strictObject({
          critical: Points.default(40),
          high: Points.default(30),
          medium: Points.default(20),
          low: Points.default(10),
          info: Points.default(0),
        })
        .prefault({}),
      revenue_impact: Rows.default([
        { over: 10_000, points: 30 },
        { over: 1_000, points: 20 },
        { over: 100, points: 10 },
      ]).describe('the expected revenue impact, in whatever currency the services declare'),
      users: Rows.default([
        { over: 1_000, points: 20 },
        { over: 100, points: 10 },
      ]),
      sla_breach_risk: z
        .strictObject({ high: Points.default(10), medium: Points.default(0), low: Points.default(0) })
        .prefault({}),
      tier: z
        .strictObject({
          1: Points.default(0),
          2: Points.default(0),
          3: Points.default(0),
          4: Points.default(0),
          5: Points.default(0),
        })
        .prefault({})
        .describe('the most important tier among the affected services'),
      at_least: z
        .strictObject({ 1: Points.default(70), 2: Points.default(50), 3: Points.default(30), 4: Points.default(20) })
        .prefault({})
        .describe('points from which on an incident has priority 1, 2, 3 and 4; with fewer it has 5'),
    })
    .prefault({})
    .describe(
      'points that make the priority, 1 (most urgent) to 5; of several rows that hold the one with the largest `over` counts',
    ),
  by_impact: z
    .strictObject({
      urgency: z
        .array(ImpactRule)
        .prefault([
          {
            when: [{ severity: 'critical' }, { revenue_impact_over: 10_000 }],
            add: ['sre', 'engineering-leads', 'on-call-manager'],
            escalate_after: '5m',
          },
          { when: [{ severity: 'high' }], add: ['sre', 'secondary'], escalate_after: '10m' },
          { add: [], escalate_after: '15m' },
        ])
        .describe('the first of these that holds counts'),
      also: z
        .array(ImpactRule)
        .prefault([
          { when: [{ regulatory: true }], add: ['compliance'] },
          { when: [{ customer_impact: 'low' }], add: ['customer-success'] },
        ])
        .describe('each of these that holds counts'),
    })
    .prefault({})
    .describe(
      'who is told from the second step of an escalation on, and how soon at the latest, by what the incident costs',
    ),
  schedules: z
    .record(
      z.string(),
      z.strictObject({
        time_zone: TimeZone.default('UTC'),
        rotation: z.enum(['daily', 'weekly']),
        handover: Handover.default('Mon 09:00'),
        start: z.iso
          .date({ error: 'this is not a date; write for example 2026-01-05' })
          .optional()
          .describe('the day the first member begins; default 2024-01-01'),
        members: z.array(z.string()).min(1),
        overrides: z
          .array(
            z.strictObject({
              from: Instant,
              until: Instant,
              person: z.string(),
            }),
          )
          .default([]),
      }),
    )
    .default({}),
});
export type RoutingFile = z.infer<typeof RoutingFile>;

const share = z.number().min(0).max(1);

export const SuppressionFile = z.strictObject({
  maintenance_windows: z
    .array(
      z.strictObject({
        name: Name,
        match: Match,
        every: z.string().optional().describe('"Sun 02:00", "Mon-Fri 22:30", or "02:00" for each day; needs `for`'),
        from: Instant.optional(),
        until: Instant.optional(),
        for: LongerThanZero.optional(),
        time_zone: TimeZone.default('UTC'),
        reason: z.string().optional(),
      }),
    )
    .default([]),
  noise: z
    .array(
      z.strictObject({
        name: Name,
        match: Match,
        reason: z.string(),
        for: LongerThanZero.prefault('24h').describe('how long one suppression lasts before it is looked at anew'),
      }),
    )
    .default([]),
  business_hours: z
    .array(
      z.strictObject({
        name: Name,
        match: Match,
        days: z
          .array(z.enum(['Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat', 'Sun']))
          .min(1)
          .default(['Mon', 'Tue', 'Wed', 'Thu', 'Fri']),
        from: ClockTime.default('09:00'),
        until: ClockTime.default('17:00'),
        time_zone: TimeZone.default('UTC'),
        reason: z.string().optional(),
      }),
    )
    .default([])
    .describe('outside these hours what matches waits for the next morning'),
  floors: z.array(z.strictObject({ match: Match })).default([]),
  actionability: z
    .strictObject({
      enabled: z.boolean().default(true),
      threshold: share.default(0.7).describe('an incident worth less than this is held back'),
      firings: z
        .number()
        .min(1)
        .default(2)
        .describe('a rule that began no more incidents than this so far is not held back for its score'),
      for: LongerThanZero.prefault('4h').describe('what still fires so long after it came notifies all the same'),
      overrides: z
        .array(
          z.strictObject({
            match: Match,
            enabled: z.boolean().optional(),
            threshold: share.optional(),
            firings: z.number().min(1).optional(),
            for: LongerThanZero.optional(),
          }),
        )
        .default([]),
    })
    .prefault({})
    .describe('how much it is worth to wake somebody, 0 to 1, as learned: models/actionability.card.md'),
  transient: z
    .strictObject({
      enabled: z.boolean().default(true),
      share: share.default(0.8).describe('share of the lone firings of a rule that ended soon and by themselves'),
      firings: z.number().min(1).default(5).describe('measured on at least so many'),
      within: LongerThanZero.prefault('5m').describe('what is soon; one that still fires then notifies'),
      overrides: z
        .array(
          z.strictObject({
            match: Match,
            enabled: z.boolean().optional(),
            share: share.optional(),
            firings: z.number().min(1).optional(),
            within: LongerThanZero.optional(),
          }),
        )
        .default([]),
    })
    .prefault({})
    .describe('rules that usually end by themselves wait for it'),
  flapping: z
    .strictObject({
      enabled: z.boolean().default(true),
      window: LongerThanZero.prefault('1h'),
      enter: z.int().min(2).max(30).default(5).describe('an alert with so many changes within the window flaps'),
      leave: z.int().min(0).max(29).default(2).describe('it is calm again when so few are left; below `enter`'),
      remind: LongerThanZero.prefault('4h').describe('what flaps on notifies again after this long'),
      overrides: z
        .array(z.strictObject({ match: Match, enabled: z.boolean().optional(), remind: LongerThanZero.optional() }))
        .default([]),
    })
    .prefault({})
    .describe('one message, then silence until it is calm'),
  symptoms: z
    .strictObject({
      enabled: z.boolean().default(true),
      for: LongerThanZero.prefault('30m').describe('a symptom that still fires then notifies'),
      overrides: z
        .array(z.strictObject({ match: Match, enabled: z.boolean().optional(), for: LongerThanZero.optional() }))
        .default([]),
    })
    .prefault({})
    .describe('what stands on the suspect of an incident that somebody was told of'),
  budget: z
    .strictObject({
      enabled: z.boolean().default(true),
      per_hour: z.int().min(1).default(10).describe('new messages a team gets in an hour; the rest is one digest'),
      from_priority: z.int().min(1).max(5).default(3).describe('more urgent ones are exempt, and so are floors'),
      teams: z.record(z.string(), z.int().min(1)).default({}).describe('another number for one team'),
    })
    .prefault({}),
});
export type SuppressionFile = z.infer<typeof SuppressionFile>;

export const PatternsFile = z.strictObject({
  patterns: z
    .array(
      z.strictObject({
        match: Match,
        cause: z.string().optional(),
        actions: z.array(z.string()).default([]),
        prevent: z.array(z.string()).default([]),
        runbook: Url.optional(),
      }),
    )
    .default([]),
});
export type PatternsFile = z.infer<typeof PatternsFile>;

/** The files of the tree and their schemas; a missing file is its defaults. */
export const files = {
  'tocsin.yaml': TocsinFile,
  'business-context.yaml': BusinessFile,
  'routing.yaml': RoutingFile,
  'suppression.yaml': SuppressionFile,
  'patterns.yaml': PatternsFile,
} as const;

/** Where a fact about a service comes from, the most trusted first. `native` is business-context.yaml itself. */
export const factSources = ['native', 'openslo', 'backstage', 'csv'] as const;
/** The origin of each fact in force, by service, then by field. `from` is `file:line`. */
export type Provenance = Record<string, Record<string, { source: (typeof factSources)[number]; from: string }>>;

/**
 * The whole tree, validated and with every secret resolved by reference into `secrets` (by JSON of the reference), which is
 * the only place values live; nothing prints it. `hash` names the tree on every message and decision.
 */
export type Config = {
  dir: string;
  hash: string;
  tocsin: TocsinFile;
  business: BusinessFile;
  routing: RoutingFile;
  suppression: SuppressionFile;
  patterns: PatternsFile;
  secrets: Record<string, string>;
  /** Where each fact about a service comes from; business-context.yaml over what was imported. */
  provenance: Provenance;
  /** Channels switched off because a reference is unset, and other things to say at start. */
  warnings: string[];
};

export type FileName = keyof typeof files;
export const fileNames = Object.keys(files) as FileName[];

/** The file that a top-level key belongs to, or null: `teams` written in tocsin.yaml is told to move to routing.yaml. */
export const fileOfKey = (key: string): FileName | null =>
  fileNames.find((name) => Object.hasOwn(files[name].shape, key)) ?? null;
