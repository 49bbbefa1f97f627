import { symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type Fault, formatFault, formatFaults } from '../../src/config/fault.ts';
import { loadConfig } from '../../src/config/load.ts';
import { compilePolicy } from '../../src/decide/policy.ts';
import { folder } from '../fakes/config-tree.ts';

const load = (files: Record<string, string>, env: Record<string, string> = {}) => {
  const dir = folder(files);
  const result = loadConfig(dir, env);
  const bare = (faults: Fault[]) => faults.map((f) => formatFault(f).replace(`${dir}/`, ''));
  return { ok: result.ok, faults: result.ok ? [] : bare(result.faults), warnings: bare(result.warnings) };
};

const routing = (more: string) => `teams:\n  sre: { slack: "#sre" }\n${more}`;

type Story = { says: string; files: Record<string, string>; fault: string };
const tocsin = (says: string, text: string, fault: string): Story => ({
  says,
  files: { 'tocsin.yaml': text },
  fault: `tocsin.yaml:${fault}`,
});
const routes = (says: string, text: string, fault: string): Story => ({
  says,
  files: { 'routing.yaml': routing(text) },
  fault: `routing.yaml:${fault}`,
});
const business = (says: string, text: string, fault: string): Story => ({
  says,
  files: { 'business-context.yaml': text },
  fault: `business-context.yaml:${fault}`,
});
const quiet = (says: string, text: string, fault: string): Story => ({
  says,
  files: { 'suppression.yaml': text },
  fault: `suppression.yaml:${fault}`,
});

const stories: Story[] = [
  // ---- YAML
  tocsin(
    'a brace that is not closed',
    'enrich: { deadline: 2s\n',
    '2:1: this is not YAML: flow map in block collection must be sufficiently indented and end with a }. Indent the keys of one mapping alike, and close every bracket and brace that you open.',
  ),
  tocsin(
    'a tab as indentation',
    'enrich:\n\tdeadline: 2s\n',
    '2:1: this is not YAML: tabs are not allowed as indentation. Indent with spaces.',
  ),
  tocsin(
    'a second document',
    'enrich: {}\n---\nenrich: {}\n',
    '2:1: this is not YAML: source contains multiple documents; please use YAML.parseAllDocuments(). Keep one document: remove the "---" in the middle.',
  ),
  tocsin(
    'a tag that would run something',
    'enrich: !include other.yaml\n',
    '1:9: this is not YAML: unresolved tag: !include. Remove the !tag; a secret is written { env: NAME } or { file: PATH }.',
  ),
  tocsin(
    'a key that stands twice',
    'enrich: { deadline: 2s }\nenrich: { deadline: 3s }\n',
    '2:1: `enrich` stands here a second time. Keep one of the two.',
  ),
  tocsin(
    'an alias of nothing',
    'enrich: *facts\n',
    '1:9: *facts refers to nothing. Write &facts before the value it shall repeat.',
  ),
  tocsin(
    'an alias of itself',
    'enrich: &facts { deadline: *facts }\n',
    '1:28: this contains itself, or repeats itself without end. Write it out instead of using the alias.',
  ),
  tocsin('a mapping as a key', '? { a: b }\n: c\n', '1:3: this cannot be a key. Write a plain word before the colon.'),
  tocsin(
    'a list where the file should be a mapping',
    '- enrich\n',
    '1:1: the file must be a mapping, and is a list. Write a mapping instead.',
  ),
  // ---- keys and types
  tocsin(
    'a mistyped key',
    'enrich:\n  dedline: 2s\n',
    '2:3: unknown key `dedline` in enrich. Did you mean `deadline`? Write that instead.',
  ),
  tocsin(
    'a key of no kind',
    'enrich:\n  colour: red\n',
    '2:3: unknown key `colour` in enrich. Write one of these instead: deadline, golden_signals, deploys_every, topology.',
  ),
  tocsin('a key of another file', 'teams: {}\n', '1:1: unknown key `teams`. Write it in routing.yaml instead.'),
  tocsin(
    'a mistyped key inside a list',
    'prometheus:\n  - name: main\n    url: "http://127.0.0.1:9090"\n    timout: 2s\n',
    '4:5: unknown key `timout` in prometheus[0]. Did you mean `timeout`? Write that instead.',
  ),
  routes(
    'a mistyped key deep in the route tree',
    'routes:\n  routes:\n    - match: []\n      routes:\n        - { mach: [] }\n',
    '7:13: unknown key `mach` in routes.routes[0].routes[0]. Did you mean `match`? Write that instead.',
  ),
  tocsin(
    'a key that must be there',
    'prometheus: [ { name: main } ]\n',
    '1:15: `url` is missing in prometheus[0]. Add `url`: for example http://127.0.0.1:9090.',
  ),
  tocsin(
    'a duration that is none',
    'enrich: { deadline: two seconds }\n',
    '1:21: `deadline`: "two seconds" is not a duration. Write for example 30s, 5m, 1h30m or 30d instead.',
  ),
  tocsin(
    'a duration without its unit',
    'correlate: { window: 15 }\n',
    '1:22: `window`: this is not a duration. Write for example 30s, 5m, 1h30m or 30d instead.',
  ),
  tocsin(
    'a time that would be a loop without a pause',
    'alertmanager: [ { name: main, url: "http://x", poll: 0s } ]\n',
    '1:54: `poll`: this is too often. Write 1s or more instead.',
  ),
  tocsin(
    'a retention that keeps nothing',
    'retention: { incidents: "0" }\n',
    '1:25: `incidents`: this must be longer than 0. Write for example 30s or 5m instead.',
  ),
  tocsin(
    'a word that is not one of the few',
    'suppress: { mode: shadov }\n',
    '1:19: `mode` cannot be "shadov". Did you mean `shadow`? Write that instead.',
  ),
  tocsin(
    'a severity of no kind',
    'severity_map: { page: awful }\n',
    '1:23: `page` cannot be "awful". Write one of these instead: critical, high, medium, low, info.',
  ),
  tocsin(
    'text for a number',
    'server: { max_body: "16777216" }\n',
    '1:21: `max_body` must be a number, and is text. Write 16777216 without quotes instead.',
  ),
  tocsin(
    'a number out of bounds',
    'prometheus: [ { name: a, url: "http://x", max_in_flight: 99 } ]\n',
    '1:58: `max_in_flight` must be at most 64. Write at most 64 instead.',
  ),
  tocsin(
    'text for a list',
    'heartbeats:\n  - match: alertname="Watchdog"\n',
    '2:12: `match` must be a list, and is text. Write a list instead: [ "alertname=\\"Watchdog\\"" ].',
  ),
  tocsin(
    'a URL that is none',
    'alertmanager: [ { name: main, url: 127.0.0.1 } ]\n',
    '1:36: `url`: this is not a URL. Write for example http://127.0.0.1:9090 instead.',
  ),
  tocsin(
    'a name that cannot be used',
    'prometheus: [ { name: "a/b", url: "http://x" } ]\n',
    '1:23: `name`: this name cannot be used. Write letters, digits, dot, dash and underscore, at most 64, the first a letter or digit instead.',
  ),
  tocsin(
    'a name that cannot be used as a key',
    'channels: { webhook: { targets: { "a b": { url: "http://x" } } } }\n',
    '1:35: `a b`: this name cannot be used. Write letters, digits, dot, dash and underscore, at most 64, the first a letter or digit instead.',
  ),
  routes(
    'a channel that YAML took for a comment',
    'people:\n  ana:\n    slack: #ana\n',
    '5:5: `slack` has no value. A # after a space begins a comment: put the text in quotes, for example "#sre".',
  ),
  routes(
    'an entry without a value',
    'people:\n  ana:\n',
    '4:3: `ana` has no value. Write a mapping, or remove the key.',
  ),
  {
    says: 'a currency that is none',
    files: { 'business-context.yaml': 'services:\n  shop: { currency: Euro }\n' },
    fault: 'business-context.yaml:2:21: `currency`: this is not an ISO 4217 currency. Write for example USD instead.',
  },
  {
    says: 'a tier that is none',
    files: { 'business-context.yaml': 'services:\n  shop: { tier: 0 }\n' },
    fault: 'business-context.yaml:2:17: `tier` must be at least 1. Write at least 1 instead.',
  },
  // ---- secrets
  tocsin(
    'a secret written out',
    'channels:\n  slack: { token: xoxb-very-secret }\n',
    '2:19: `token`: a secret is never written here, only where it is found. Write { env: NAME } or { file: PATH } instead.',
  ),
  tocsin(
    'a reference that is none',
    'channels:\n  slack: { token: { evn: SLACK } }\n',
    '2:19: `token`: a secret is never written here, only where it is found. Write { env: NAME } or { file: PATH } instead.',
  ),
  tocsin(
    'a password in a URL',
    'prometheus: [ { name: main, url: "http://me:pw@127.0.0.1:9090" } ]\n',
    '1:34: this URL holds a password. Write auth: { username: NAME, password: { env: NAME } } beside the plain URL instead.',
  ),
  tocsin(
    'a password in the address of the mail server',
    'channels: { email: { from: a@example.com, smtp_url: "smtp://me:pw@mail" } }\n',
    '1:53: this URL holds a password. Write smtp_url: { env: SMTP_URL } instead.',
  ),
  tocsin(
    'a token whose variable is not set',
    'server:\n  tokens:\n    - { name: am, role: webhook, token: { env: NOT_SET } }\n',
    '3:41: this token has no value: NOT_SET is not set. Set it before the start, or remove the token.',
  ),
  tocsin(
    'a token whose file is not there',
    'server: { tokens: [ { name: am, role: webhook, token: { file: gone } } ] }\n',
    '1:55: this token has no value: gone cannot be read (ENOENT). Set it before the start, or remove the token.',
  ),
  // ---- names that refer to nothing
  routes(
    'a default team that is none',
    'routes: { default_team: sri }\n',
    '3:25: there is no team "sri". Did you mean `sre`? Write that instead.',
  ),
  routes(
    'a team of a route that is none',
    'routes: { default_team: sre, routes: [ { team: payments } ] }\n',
    '3:48: there is no team "payments". Write one of these instead: sre.',
  ),
  routes(
    'an escalation policy that is none',
    'routes: { default_team: sre, escalation: default }\n',
    '3:42: there is no escalation policy "default". There is no escalation policy yet: add it, or remove this.',
  ),
  routes(
    'a team of a step that is none',
    'routes: { default_team: sre }\nescalation_policies:\n  p: { steps: [ { after: 0s, notify: [team, "team:ser"] } ] }\n',
    '5:45: there is no team "ser". Did you mean `team:sre`? Write that instead.',
  ),
  routes(
    'a schedule of a step that is none',
    'routes: { default_team: sre }\nescalation_policies:\n  p: { steps: [ { after: 0s, notify: ["schedule:primary"] } ] }\n',
    '5:39: there is no schedule "primary". There is no schedule yet: add it, or remove this.',
  ),
  routes(
    'a person of a step that is none',
    'routes: { default_team: sre }\npeople: { ana: { slack: U1 } }\nescalation_policies:\n  p: { steps: [ { after: 0s, notify: ["person:ann"] } ] }\n',
    '6:39: there is no person "ann". Did you mean `person:ana`? Write that instead.',
  ),
  routes(
    'a step that notifies nobody',
    'routes: { default_team: sre }\nescalation_policies:\n  p: { steps: [ { after: 0s, notify: [ana] } ] }\n',
    '5:39: `notify[0]`: nobody can be notified by this. Write team, team:NAME, schedule:NAME or person:NAME instead.',
  ),
  routes(
    'a member of a schedule that is nobody',
    'routes: { default_team: sre }\nschedules:\n  p: { rotation: weekly, members: [ana] }\n',
    '5:36: there is no person "ana". There is no person yet: add it, or remove this.',
  ),
  routes(
    'an override by nobody',
    'routes: { default_team: sre }\npeople: { ana: { slack: U1 } }\nschedules:\n  p: { rotation: daily, handover: "09:00", members: [ana], overrides: [ { from: "2026-12-24T09:00:00Z", until: "2026-12-25T09:00:00Z", person: bo } ] }\n',
    '6:144: there is no person "bo". Write one of these instead: ana.',
  ),
  routes(
    'an override that ends before it begins',
    'routes: { default_team: sre }\npeople: { bo: { slack: U1 } }\nschedules:\n  p: { rotation: daily, handover: "09:00", members: [bo], overrides: [ { from: "2026-12-25T09:00:00Z", until: "2026-12-24T09:00:00Z", person: bo } ] }\n',
    '6:111: `until` is not after `from`. Write a later time instead.',
  ),
  routes(
    'a time zone that is none',
    'routes: { default_team: sre }\npeople: { ana: { slack: U1 } }\nschedules: { p: { rotation: weekly, time_zone: Berlin, members: [ana] } }\n',
    '5:48: `time_zone`: this is not a time zone of the IANA database. Write for example Europe/Berlin or UTC instead.',
  ),
  routes(
    'a webhook target of a route that is none',
    'routes: { default_team: sre, channels: ["webhook:siem"] }\n',
    '3:41: there is no webhook target "siem". There is no webhook target yet: add it, or remove this.',
  ),
  {
    says: 'a webhook target of a team that is none',
    files: {
      'tocsin.yaml': 'channels: { webhook: { targets: { siem: { url: "http://127.0.0.1:1/" } } } }\n',
      'routing.yaml': 'teams: { sre: { webhook: [seim] } }\nroutes: { default_team: sre }\n',
    },
    fault: 'routing.yaml:1:27: there is no webhook target "seim". Did you mean `siem`? Write that instead.',
  },
  routes(
    'a channel of no kind',
    'routes: { default_team: sre, channels: [sms] }\n',
    '3:41: `channels[0]`: there is no such channel. Write one of slack, pagerduty, email, log, webhook or webhook:TARGET instead.',
  ),
  // ---- points and rules by impact
  routes(
    'points that grow less with more money',
    'priority:\n  revenue_impact:\n    - { over: 100, points: 9 }\n    - { over: 500, points: 8 }\n',
    '6:28: more than 500 would count less than more than 100. Write 9 or more, or remove the row.',
  ),
  routes(
    'two rows for the same figure',
    'priority: { users: [ { over: 5, points: 1 }, { over: 5, points: 2 } ] }\n',
    '3:46: there are two rows over 5. Keep one of them.',
  ),
  routes(
    'a priority that nothing would have',
    'priority: { at_least: { 2: 70 } }\n',
    '3:28: no incident would have priority 2: it takes 70 points, and priority 1 takes 70. Write fewer points for each less urgent priority.',
  ),
  routes(
    'the same, by what only the default says of the other',
    'priority: { at_least: { 1: 20 } }\n',
    '3:28: no incident would have priority 2: it takes 50 points, and priority 1 takes 20. Write fewer points for each less urgent priority.',
  ),
  routes(
    'a rule by impact behind one that holds always',
    'by_impact:\n  urgency:\n    - { add: [sre] }\n    - { when: [{ severity: high }], add: [sre] }\n',
    '6:7: no incident reaches this rule: the first that holds counts, and one above it holds always. Write it before that one, or give that one a `when`.',
  ),
  routes(
    'a criterion that asks for nothing',
    'by_impact: { also: [ { when: [ {} ], add: [sre] } ] }\n',
    '3:32: `when[0]`: this holds always. Write a criterion such as severity: critical instead.',
  ),
  // ---- business figures
  business(
    'negative money',
    'services:\n  shop: { revenue_per_hour: -1 }\n',
    '2:29: `revenue_per_hour`: money cannot be negative. Write 0 or more instead.',
  ),
  business(
    'fewer users than none',
    'services:\n  shop: { users: -1 }\n',
    '2:18: `users`: there cannot be fewer than none. Write 0 or more instead.',
  ),
  business(
    'users that are neither a number nor a query',
    'services:\n  shop: { users: many }\n',
    '2:18: `users`: these are no users. Write a number that is not negative, or { query: PROMQL } instead.',
  ),
  business(
    'users by what is no PromQL',
    'services:\n  shop: { users: { query: "sum(" } }\n',
    '2:27: `query`: this is not PromQL. Write for example sum(rate(http_requests_total{service="{{service}}"}[5m])) instead.',
  ),
  business(
    'errors of an objective without the window',
    'services:\n  shop: { slo: { objective: 99, errors: "rate(x[5m])" } }\n',
    '2:41: `errors`: this is no PromQL with {{window}} as its range. Write for example sum(rate(http_requests_total{service="{{service}}",code=~"5.."}[{{window}}])) / sum(rate(http_requests_total{service="{{service}}"}[{{window}}])) instead.',
  ),
  business(
    'a service that depends on itself',
    'services:\n  shop: { depends_on: [shop] }\n',
    '2:24: "shop" depends on itself. Remove the entry that is no real call of the service above it.',
  ),
  business(
    'services that depend on each other in a circle',
    'services:\n  way: { depends_on: [a] }\n  a: { depends_on: [b, d] }\n  b: { depends_on: [c] }\n  c:\n    depends_on:\n      - d\n      - a\n  d: {}\n',
    '8:9: these depend on each other: a → b → c → a. Remove the entry that is no real call of the service above it.',
  ),
  // ---- routes nobody reaches
  routes(
    'a route behind one that takes everything',
    'routes:\n  default_team: sre\n  routes:\n    - { team: sre }\n    - { match: [\'env="dev"\'], channels: [log] }\n',
    '7:7: no alert reaches this route: the one in line 6 takes all it would match. Write it before that one, or give that one `continue: true`.',
  ),
  routes(
    'a route behind a wider one',
    'routes:\n  default_team: sre\n  routes:\n    - { match: [\'env="dev"\'] }\n    - { match: [\'service="a"\', env=dev] }\n',
    '7:7: no alert reaches this route: the one in line 6 takes all it would match. Write it before that one, or give that one `continue: true`.',
  ),
  routes(
    'a route that its parent excludes',
    'routes:\n  default_team: sre\n  routes:\n    - match: [\'env="dev"\']\n      routes:\n        - { match: [\'env="prod"\'] }\n',
    '8:11: no alert reaches this route: env="dev" and env="prod" exclude each other. Mend the matchers here or of the route around it.',
  ),
  // ---- matchers, wherever they stand
  routes(
    'a matcher without an operator',
    'routes: { default_team: sre, routes: [ { match: [service] } ] }\n',
    '3:50: bad matcher: "service" has no =, !=, =~ or !~ after the label name. Write for example severity="critical", service=~"pay.*", env!="dev" or team!~"a|b" instead.',
  ),
  tocsin(
    'a regex that RE2 does not know',
    'heartbeats: [ { match: [\'a=~"(?=b)"\'] } ]\n',
    '1:25: bad matcher: "(?=b)" is not an RE2 regular expression: error parsing regexp: invalid or unsupported Perl syntax: `(?=`. Write it as in Alertmanager, for example service=~"pay.*" instead.',
  ),
  tocsin(
    'a bad matcher of an override',
    'suppress: { overrides: [ { match: ["="], mode: active } ] }\n',
    '1:36: bad matcher: "=": a label name or value is missing or needs quotes. Write for example severity="critical", service=~"pay.*", env!="dev" or team!~"a|b" instead.',
  ),
  quiet(
    'a bad matcher of a noise pattern',
    'noise: [ { name: n, reason: r, match: ["{a=b}"] } ]\n',
    '1:40: bad matcher: "{a=b}" has braces. Write one matcher per list entry, without braces instead.',
  ),
  quiet(
    'a bad matcher of a floor',
    'floors: [ { match: ["a"] } ]\n',
    '1:21: bad matcher: "a" has no =, !=, =~ or !~ after the label name. Write for example severity="critical", service=~"pay.*", env!="dev" or team!~"a|b" instead.',
  ),
  {
    says: 'a bad matcher of a pattern',
    files: { 'patterns.yaml': 'patterns: [ { match: ["a"] } ]\n' },
    fault:
      'patterns.yaml:1:23: bad matcher: "a" has no =, !=, =~ or !~ after the label name. Write for example severity="critical", service=~"pay.*", env!="dev" or team!~"a|b" instead.',
  },
  // ---- windows
  quiet(
    'a maintenance window without a time',
    'maintenance_windows:\n  - { name: w, match: [] }\n',
    '2:5: this maintenance window has no usable time: say when it is: `every` with `for`, or `from` with `until` or `for`. Write every: "Sun 02:00" with for: 2h, or from: "2026-11-20T02:00:00Z" with until or for.',
  ),
  quiet(
    'a repeated window that never ends',
    'maintenance_windows:\n  - { name: w, match: [], every: "Sun 02:00" }\n',
    '2:5: this maintenance window has no usable time: `every` needs `for`: how long each one lasts, such as 2h. Write every: "Sun 02:00" with for: 2h, or from: "2026-11-20T02:00:00Z" with until or for.',
  ),
  quiet(
    'a window on no weekday',
    'maintenance_windows:\n  - { name: w, match: [], every: "Sunday 02:00", for: 2h }\n',
    '2:34: this maintenance window has no usable time: "Sunday 02:00" is no time to repeat at. Write "Sun 02:00", "Mon-Fri 22:30", "Sat,Sun 01:00" or "02:00" for each day.',
  ),
  quiet(
    'two windows of one name',
    'maintenance_windows:\n  - { name: w, match: [], every: "02:00", for: 2h }\n  - { name: w, match: [], every: "03:00", for: 2h }\n',
    '3:13: the name "w" is taken already. Write another name instead.',
  ),
  quiet(
    'a time without its offset',
    'maintenance_windows: [ { name: w, match: [], from: "2026-11-20T02:00:00", for: 1h } ]\n',
    '1:52: `from`: this is not a time with its offset. Write for example "2026-11-20T07:30:00Z" or "2026-11-20T08:30:00+01:00" instead.',
  ),
  quiet(
    'a window that ends before it starts',
    'maintenance_windows:\n  - { name: w, match: [], from: "2026-11-20T02:00:00Z", until: "2026-11-20T01:00:00Z" }\n',
    '2:64: this maintenance window has no usable time: `until` must come after `from`. Write every: "Sun 02:00" with for: 2h, or from: "2026-11-20T02:00:00Z" with until or for.',
  ),
  // ---- what was learned
  quiet(
    'an alert that would flap between flapping and calm',
    'flapping: { enter: 4, leave: 4 }\n',
    '1:30: an alert would leave flapping at 4 changes and enter it at 4: it would flap between the two. Write a `leave` below `enter`, such as enter: 5 and leave: 2.',
  ),
  quiet(
    'a budget of a team that is none',
    'budget: { teams: { peyments: 3 } }\n',
    '1:20: there is no team "peyments". There is no team yet: add it, or remove this.',
  ),
  quiet(
    'a bad matcher of an override',
    "transient: { overrides: [ { match: ['a'], share: 0.5 } ] }\n",
    '1:37: bad matcher: "a" has no =, !=, =~ or !~ after the label name. Write for example severity="critical", service=~"pay.*", env!="dev" or team!~"a|b" instead.',
  ),
  quiet(
    'two overrides for the same alerts, however they are written',
    "symptoms:\n  overrides:\n    - { match: ['a=b', 'c=~\"d\"'], enabled: false }\n    - { match: ['c=~d', 'a=\"b\"'], for: 5m }\n",
    '4:7: it names the very alerts of the entry in line 3, which comes first. Keep one of the two.',
  ),
  {
    says: 'two modes for the same alerts',
    files: {
      'tocsin.yaml':
        "suppress:\n  overrides:\n    - { match: ['env=dev'], mode: active }\n    - { match: ['env=\"dev\"'], mode: shadow }\n",
    },
    fault: 'tocsin.yaml:4:7: it names the very alerts of the entry in line 3, which comes first. Keep one of the two.',
  },
  // ---- files
  {
    says: 'a file with a mistyped name',
    files: { 'routng.yaml': 'teams: {}\n' },
    fault: 'routng.yaml:1:1: this file is not read. Did you mean routing.yaml? Rename it.',
  },
  {
    says: 'a file with the other ending',
    files: { 'tocsin.yml': 'enrich: {}\n' },
    fault: 'tocsin.yml:1:1: this file is not read. Did you mean tocsin.yaml? Rename it.',
  },
];

describe('a fault is shown where it stands, with what to write instead', () => {
  test.each(stories)('$says', ({ files, fault }) => {
    expect(load(files).faults).toEqual([fault]);
  });

  test('two names for one token', () => {
    const tokens =
      '- { name: a, role: webhook, token: { env: T } }\n    - { name: b, role: viewer, token: { env: T } }';
    const { faults } = load({ 'tocsin.yaml': `server:\n  tokens:\n    ${tokens}\n` }, { T: 'one-and-the-same' });
    expect(faults).toEqual([
      'tocsin.yaml:4:39: this token is the same as that of "a". Give every name its own token, or use one name twice.',
    ]);
  });

  test('the same name for two tokens is how one is rotated', () => {
    const tokens =
      '- { name: a, role: webhook, token: { env: OLD } }\n    - { name: a, role: webhook, token: { env: NEW } }';
    expect(load({ 'tocsin.yaml': `server:\n  tokens:\n    ${tokens}\n` }, { OLD: 'old', NEW: 'new' }).ok).toBe(true);
  });
});

describe('every fault of the whole tree is told at once', () => {
  test('of all files, in their order and by line, syntax and schema and meaning together', () => {
    const { faults } = load({
      'tocsin.yaml': 'enrich: { dedline: 2s }\nheartbeats: [ { match: ["nonsense"] } ]\ncorrelate: { window: soon }\n',
      'business-context.yaml': 'services: { shop: { tier: 9 } \n',
      'routing.yaml': routing('routes: { default_team: nobody, chanels: [log] }\n'),
      'suppression.yaml': 'noise: [ { name: n } ]\n',
    });
    expect(faults.map((line) => line.slice(0, line.indexOf(': ')))).toEqual([
      'tocsin.yaml:1:11',
      'tocsin.yaml:2:25',
      'tocsin.yaml:3:22',
      'business-context.yaml:2:1',
      'routing.yaml:3:25',
      'routing.yaml:3:33',
      'suppression.yaml:1:10',
      'suppression.yaml:1:10',
    ]);
  });

  test('a fault is one line that an editor can jump to', () => {
    const fault = {
      file: 'config/tocsin.yaml',
      line: 3,
      column: 5,
      message: 'unknown key `a`',
      instead: 'Write b instead.',
    };
    expect(formatFaults([fault, fault])).toBe(
      'config/tocsin.yaml:3:5: unknown key `a`. Write b instead.\nconfig/tocsin.yaml:3:5: unknown key `a`. Write b instead.',
    );
  });

  test('broken YAML in tocsin.yaml does not make the targets of routing.yaml unknown', () => {
    const { faults } = load({
      'tocsin.yaml': 'channels: {\n',
      'routing.yaml': routing('routes: { default_team: sre, channels: ["webhook:siem"] }\n'),
    });
    expect(faults).toHaveLength(1);
    expect(faults[0]).toMatch(/^tocsin.yaml:/);
  });

  test('a fault inside a team does not make the team unknown', () => {
    const { faults } = load({ 'routing.yaml': 'teams: { sre: { slak: "#sre" } }\nroutes: { default_team: sre }\n' });
    expect(faults).toEqual([
      'routing.yaml:1:17: unknown key `slak` in teams.sre. Did you mean `slack`? Write that instead.',
    ]);
  });
});

describe('what can be lived with is a warning', () => {
  // The note on the defaults of `by_impact` has a story of its own.
  const warnings = (files: Record<string, string>, env: Record<string, string> = {}, all = false) => {
    const result = load(files, env);
    expect(result.faults).toEqual([]);
    return result.warnings.filter((line) => all || !line.includes('by default impact also tells'));
  };

  test('a policy whose alerts a floor speaks for: it holds nothing back', () => {
    const text = [
      'noise: [ { name: all, match: [\'env="dev"\'], reason: x } ]',
      'business_hours:',
      "  - { name: own, match: ['alertname=\"Watchdog\"', 'env=dev'] }",
      'floors:',
      "  - { match: ['alertname=Watchdog'] }",
    ];
    expect(warnings({ 'suppression.yaml': `${text.join('\n')}\n` })).toEqual([
      'suppression.yaml:3:5: it holds nothing back: the floor in line 5 speaks for all of its alerts. Remove one.',
    ]);
  });

  test('a dependency that is not catalogued yet', () => {
    expect(warnings({ 'business-context.yaml': 'services:\n  shop: { depends_on: [db] }\n' })).toEqual([
      'business-context.yaml:2:24: "db" is not catalogued: its tier, owner and revenue are unknown. Add it to `services`, if only as `db: {}`.',
    ]);
  });

  test('whom impact adds by default and that nobody is called, once for all of them', () => {
    const told = (text: string) =>
      warnings({ 'routing.yaml': text }, {}, true).filter((line) => line.includes('impact'));
    expect(told('teams: { sre: { email: [a@b.c] } }\nroutes: { default_team: sre }\n')).toEqual([
      'routing.yaml:1:1: by default impact also tells engineering-leads, on-call-manager, secondary, compliance and customer-success, which are no team, schedule or person here: they are passed over. Add them to `teams`, or write `by_impact` with those that you have.',
    ]);
    expect(told('routes: {}\n')).toEqual([]);
  });

  test('whom a rule by impact adds and that nobody is called', () => {
    const text = routing(
      'routes: { default_team: sre }\nby_impact: { urgency: [], also: [ { add: [sre, sree, "schedule:night", ana] } ] }\npeople: { ana: { email: a@b.c } }\n',
    );
    expect(warnings({ 'routing.yaml': text }, {}, true)).toEqual([
      'routing.yaml:4:48: nobody is called "sree": it is passed over. Did you mean `sre`? Write that instead.',
      'routing.yaml:4:54: nobody is called "schedule:night": it is passed over. Write one of these instead: sre, ana.',
    ]);
  });

  test('money of several currencies or of none, and figures that no Prometheus is there to answer', () => {
    const text = `services:
  a: { revenue_per_hour: 5, currency: USD }
  b: { revenue_per_hour: 5, currency: EUR }
  c: { revenue_per_hour: 5 }
  d: { currency: EUR, users: { query: up }, slo: { objective: 99, errors: "rate(x[{{window}}])" } }
`;
    expect(warnings({ 'business-context.yaml': text })).toEqual([
      'business-context.yaml:3:39: "b" earns in EUR, others in USD: an incident of both has no revenue figure. Declare one currency for services that can fail together.',
      'business-context.yaml:4:26: the revenue of "c" has no currency: no message shows it. Add currency: USD.',
      'business-context.yaml:5:39: this is asked of nobody: there is no Prometheus. Add one to `prometheus` in tocsin.yaml.',
      'business-context.yaml:5:75: this is asked of nobody: there is no Prometheus. Add one to `prometheus` in tocsin.yaml.',
    ]);
    const asked = { 'tocsin.yaml': 'prometheus: [ { name: main, url: "http://127.0.0.1:9090" } ]\n' };
    expect(warnings({ 'business-context.yaml': 'services: { d: { users: { query: up } } }\n', ...asked })).toEqual([]);
  });

  test('an owner that is no team', () => {
    const files = {
      'business-context.yaml': 'services: { shop: { owner: srr } }\n',
      'routing.yaml': routing('routes: { default_team: sre }\n'),
    };
    expect(warnings(files)).toEqual([
      'business-context.yaml:1:28: the owner "srr" is no team of routing.yaml: alerts of "shop" go to default_team. Did you mean `sre`? Write that instead.',
    ]);
  });

  test('a channel of a route that is not configured, once for each kind', () => {
    const files = {
      'routing.yaml': routing(
        'routes: { default_team: sre, channels: [slack, log], routes: [ { match: [a=b], channels: [slack] } ] }\n',
      ),
    };
    expect(warnings(files)).toEqual([
      "routing.yaml:3:41: slack is off: channels.slack is not configured. Configure it in tocsin.yaml; until then the route's next channel, at last the log, gets its messages.",
    ]);
  });

  test('somebody on call without an address', () => {
    const files = {
      'routing.yaml': routing(
        'routes: { default_team: sre }\npeople: { ana: {} }\nschedules: { p: { rotation: weekly, members: [ana] } }\n',
      ),
    };
    expect(warnings(files)).toEqual([
      'routing.yaml:5:47: "ana" has no address: on call, nobody would be told. Give the person slack, email or pagerduty.',
    ]);
  });

  test('a team without an address, and nobody for what no team owns', () => {
    expect(warnings({ 'routing.yaml': 'teams: { sre: {} }\nroutes: {}\n' })).toEqual([
      'routing.yaml:1:10: the team "sre" has no address. Give it slack, pagerduty, email or webhook.',
      'routing.yaml:2:1: nobody gets what no team owns: it goes to the log alone. Name a team as routes.default_team.',
    ]);
  });

  test('channels that are off because their secret is not set, one line each', () => {
    const channels =
      'channels:\n  slack: { token: { env: A }, signing_secret: { env: B } }\n  pagerduty: { webhook_secret: { env: C } }\n  email: { smtp_url: { file: smtp }, from: a@example.com }\n';
    const teams =
      'teams: { x: { pagerduty: { env: PX } }, y: { pagerduty: { env: PY } } }\nroutes: { default_team: x }\n';
    expect(warnings({ 'tocsin.yaml': channels, 'routing.yaml': teams })).toEqual([
      'tocsin.yaml:2:19: slack is off: A is not set. Set A to turn it on.',
      'tocsin.yaml:4:22: email is off: smtp cannot be read (ENOENT). Write smtp to turn it on.',
      'routing.yaml:1:26: pagerduty is off: PX is not set, PY is not set. Set the routing key of a team to turn it on.',
    ]);
    expect(warnings({ 'tocsin.yaml': channels, 'routing.yaml': teams }, { A: 'a', PX: 'x', C: '' })).toEqual([
      'tocsin.yaml:2:47: the buttons in Slack are off: B is not set. Set B to turn them on.',
      'tocsin.yaml:3:32: acknowledging in PagerDuty is not seen: C is not set. Set C to turn it on.',
      'tocsin.yaml:4:22: email is off: smtp cannot be read (ENOENT). Write smtp to turn it on.',
      'routing.yaml:1:57: pagerduty is off for y: PY is not set. Set the routing key to turn it on.',
    ]);
  });

  test('a secret of anything else switches that off and nothing more', () => {
    const text =
      'prometheus: [ { name: p, url: "http://x", auth: { bearer: { env: P } } } ]\nchannels: { webhook: { targets: { t: { url: "http://x", secret: { env: T } } } } }\ndeploys: { github: { secret: { env: G } } }\nheartbeat_url: { env: H }\n';
    expect(warnings({ 'tocsin.yaml': text })).toEqual([
      'tocsin.yaml:1:59: prometheus p is not asked: P is not set. Set P, or remove `auth`.',
      'tocsin.yaml:2:65: webhook:t is off: T is not set. Set T to turn it on, or remove `secret` to send unsigned.',
      'tocsin.yaml:3:30: deploys from github are refused: G is not set. Set G to take them.',
      'tocsin.yaml:4:16: `heartbeat_url` is off: H is not set. Set H to turn it on.',
    ]);
  });

  test('a label named env is no secret', () => {
    expect(warnings({ 'tocsin.yaml': 'prometheus: [ { name: p, url: "http://x", match: { env: prod } } ]\n' })).toEqual(
      [],
    );
  });

  test('a folder with no file of ours, which is all defaults', () => {
    const dir = folder({ 'notes.txt': 'x' });
    const loaded = loadConfig(dir, {});
    expect(loaded.ok).toBe(true);
    expect(loaded.warnings[0]?.message).toMatch(/^this folder holds none of tocsin.yaml/);
  });
});

describe('bytes of any kind get an answer, never an exception', () => {
  const one = (bytes: string | Uint8Array) => {
    const dir = folder({ 'tocsin.yaml': bytes });
    const result = loadConfig(dir, {});
    if (result.ok) throw new Error('it was accepted');
    return result.faults.map((f) => formatFault(f).replace(`${dir}/`, ''));
  };

  test('a megabyte of nonsense', () => {
    const nonsense = Array.from({ length: 1 << 20 }, (_, i) =>
      String.fromCharCode(32 + ((i * 7919 + (i >> 3)) % 95)),
    ).join('');
    expect(one(nonsense).length).toBeGreaterThan(0);
    expect(one('foo: bar: baz\n'.repeat(10_000)).length).toBeLessThanOrEqual(10);
    expect(one(Array.from({ length: 5_000 }, (_, i) => `key${i}: 1`).join('\n'))[0]).toMatch(
      /^tocsin.yaml:1:1: unknown key `key0`/,
    );
  });

  test('brackets without end', () => {
    expect(one('['.repeat(1 << 16)).join()).toMatch(/nested too deeply/);
  });

  test('a binary file', () => {
    expect(one(Uint8Array.from([0x65, 0x3a, 0x0a, 0x61, 0x00, 0xff]))).toEqual([
      'tocsin.yaml:2:2: this is not text in UTF-8. Save the file as UTF-8 text.',
    ]);
    expect(one(Uint8Array.from([0x61, 0x3a, 0x20, 0xff, 0xfe]))).toEqual([
      'tocsin.yaml:1:4: this is not text in UTF-8. Save the file as UTF-8 text.',
    ]);
  });

  test('aliases of aliases that would fill the memory', () => {
    const levels = Array.from({ length: 9 }, (_, i) => `l${i + 1}: &l${i + 1} [${Array(9).fill(`*l${i}`).join(', ')}]`);
    expect(one(`l0: &l0 [x, x]\n${levels.join('\n')}\n`)[0]).toMatch(/repeats itself without end/);
  });

  test('more than four megabytes', () => {
    expect(one('#'.repeat((4 << 20) + 1))).toEqual([
      'tocsin.yaml:1:1: this file has 4194305 bytes, the limit is 4194304. Shorten it.',
    ]);
  });

  test('keys that mean something to JavaScript', () => {
    expect(one('__proto__: { admin: true }\nconstructor: 1\ntoString: 2\n').map((line) => line.split('. ')[0])).toEqual(
      [
        'tocsin.yaml:1:1: this cannot be a key',
        'tocsin.yaml:2:1: unknown key `constructor`',
        'tocsin.yaml:3:1: unknown key `toString`',
      ],
    );
  });

  test('any text at all, in any of the files', () => {
    const piece = fc.oneof(
      fc.string({ unit: 'grapheme' }),
      fc.constantFrom(
        'routes:',
        ' - ',
        '{',
        '}',
        '[',
        '&a ',
        '*a',
        '<<: ',
        '"',
        "'",
        '|\n',
        '\n',
        '  ',
        ': ',
        'match',
        'teams',
        '?',
        '#',
        '!!',
        '\t',
      ),
    );
    const name = fc.constantFrom(
      'tocsin.yaml',
      'business-context.yaml',
      'routing.yaml',
      'suppression.yaml',
      'patterns.yaml',
    );
    const dir = folder({});
    fc.assert(
      fc.property(name, fc.array(piece, { maxLength: 30 }), (file, pieces) => {
        writeFileSync(join(dir, file), pieces.join(''));
        const result = loadConfig(dir, {});
        // What is accepted can be run.
        if (result.ok) compilePolicy(result.config);
        for (const fault of result.ok ? result.warnings : result.faults) {
          expect(fault.line).toBeGreaterThan(0);
          expect(fault.column).toBeGreaterThan(0);
          expect(fault.instead).toMatch(/[.?]$/);
        }
      }),
      { numRuns: 300, seed: 20_261_120 },
    );
  });

  test('a folder in the place of a file', () => {
    const dir = folder({ 'tocsin.yaml/x': '' });
    const result = loadConfig(dir, {});
    expect(result.ok ? [] : result.faults).toEqual([
      {
        file: join(dir, 'tocsin.yaml'),
        line: 1,
        column: 1,
        message: 'this is not a file',
        instead: 'Put the YAML in a file of this name.',
      },
    ]);
  });

  test('a file that cannot be read', () => {
    const dir = folder({});
    symlinkSync('tocsin.yaml', join(dir, 'tocsin.yaml'));
    expect(loadConfig(dir, {})).toMatchObject({
      ok: false,
      unusable: false,
      faults: [{ message: 'this file cannot be read (ELOOP)' }],
    });
  });

  test('no folder, and a file in its place: there is nothing to check', () => {
    const dir = folder({ file: '' });
    expect(loadConfig(join(dir, 'gone'), {})).toMatchObject({
      ok: false,
      unusable: true,
      faults: [{ message: 'there is no such folder' }],
    });
    expect(loadConfig(join(dir, 'file'), {})).toMatchObject({
      ok: false,
      unusable: true,
      faults: [{ message: 'this is a file, not a folder' }],
    });
  });
});

describe('YAML that people write', () => {
  test('anchors and merge keys are followed', () => {
    const dir = folder({
      'business-context.yaml':
        'services:\n  a: &base { tier: 1, revenue_per_hour: 10, currency: EUR }\n  b: { <<: *base, tier: 2 }\n  c: *base\n',
    });
    const loaded = loadConfig(dir, {});
    if (!loaded.ok) throw new Error(formatFaults(loaded.faults));
    expect(loaded.config.business.services.b).toMatchObject({ tier: 2, revenue_per_hour: 10, currency: 'EUR' });
    expect(loaded.config.business.services.c).toEqual(loaded.config.business.services.a);
  });

  test('a key with everything under it commented out is as good as none', () => {
    expect(
      load({
        'tocsin.yaml': '\ufeffprometheus:\n# - { name: main }\nchannels:\n',
        'patterns.yaml': '# nothing yet\n',
        'suppression.yaml': '',
      }),
    ).toEqual({ ok: true, faults: [], warnings: [] });
  });

  test('Windows line ends', () => {
    expect(load({ 'tocsin.yaml': 'enrich:\r\n  dedline: 2s\r\n' }).faults[0]).toMatch(/^tocsin.yaml:2:3: unknown key/);
  });
});
