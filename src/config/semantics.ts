import { windowFault } from '../decide/calendar.ts';
import { wordOf } from '../route/by-impact.ts';
import { type Matcher, matcherText, parseMatcher } from '../route/matchers.ts';
import { type Fault, insteadOf } from './fault.ts';
import { channelKinds, parseDuration, RoutingFile } from './schema.ts';
import { child, entries, faultAt, items, type Spot, spot, type Tree, text } from './spot.ts';

/** Faults refuse the tree; warnings are said and lived with. */
export type Findings = { faults: Fault[]; warnings: Fault[] };

/** `targets` is null when tocsin.yaml cannot be read: then nothing can be said about them. */
type Names = {
  teams: string[];
  people: string[];
  policies: string[];
  schedules: string[];
  targets: string[] | null;
};

/**
 * What no schema can see: names that refer to nothing, matchers that cannot be read, routes that nothing reaches, windows
 * without a time. A name that refers to nothing is a fault, with two exceptions that a growing catalogue needs, told as
 * warnings: a `depends_on` that is not catalogued, and an `owner` that is no team (its alerts go to `default_team`). So is
 * everything for which the contract says what happens at run time: a channel that is not configured, a person without an
 * address. `imported`: what the files under `imported/` know beside the tree.
 */
export function crossCheck(
  tree: Tree,
  imported: { services: readonly string[]; teams: readonly string[] } = { services: [], teams: [] },
): Findings {
  const found: Findings = { faults: [], warnings: [] };
  const namesIn = (file: 'routing.yaml' | 'tocsin.yaml', ...path: string[]) =>
    entries(spot(tree, file, ...path)).map(([name]) => name);
  const blind = tree['tocsin.yaml']?.data === null && tree['tocsin.yaml'].faults.length > 0;
  const names: Names = {
    teams: [...new Set([...namesIn('routing.yaml', 'teams'), ...imported.teams])],
    people: namesIn('routing.yaml', 'people'),
    policies: namesIn('routing.yaml', 'escalation_policies'),
    schedules: namesIn('routing.yaml', 'schedules'),
    targets: blind ? null : namesIn('tocsin.yaml', 'channels', 'webhook', 'targets'),
  };
  checkMatchers(tree, found);
  checkRoutes(tree, names, found);
  checkTeamsAndPeople(tree, names, found);
  checkByImpact(tree, names, found);
  checkPriority(tree, found);
  checkEscalation(tree, names, found);
  checkSchedules(tree, names, found);
  checkServices(tree, names, imported.services, found);
  checkCycles(tree, found);
  checkFigures(tree, found);
  checkWindows(tree, found);
  checkContradictions(tree, names, found);
  checkPlainPasswords(tree, found);
  checkRepeatedNames(tree, found);
  return found;
}

/** A name that must be one of the known, after its prefix. */
function mustExist(at: Spot | null, known: readonly string[] | null, what: string, found: Findings, prefix = ''): void {
  const name = text(at);
  if (at === null || name === null || known === null || known.includes(name.slice(prefix.length))) return;
  const wanted = name.slice(prefix.length);
  const instead = insteadOf(wanted, known, what).replace(/`(.+?)`/, (_, guess) => `\`${prefix}${guess}\``);
  found.faults.push(faultAt(at, `there is no ${what} "${wanted}"`, instead));
}

function checkMatchers(tree: Tree, found: Findings): void {
  for (const list of matcherLists(tree)) {
    for (const one of items(list)) {
      const written = text(one);
      const parsed = written === null ? null : parseMatcher(written);
      if (!parsed || parsed.ok) continue;
      const [message, instead] = parsed.message.split('; write ', 2);
      found.faults.push(
        faultAt(
          one,
          `bad matcher: ${message}`,
          `Write ${instead ?? 'it as in Alertmanager, for example service=~"pay.*"'} instead.`,
        ),
      );
    }
  }
}

function matcherLists(tree: Tree): Spot[] {
  const withMatch = [
    ...items(spot(tree, 'tocsin.yaml', 'heartbeats')),
    ...items(spot(tree, 'tocsin.yaml', 'suppress', 'overrides')),
    ...['maintenance_windows', 'noise', 'business_hours', 'floors'].flatMap((key) =>
      items(spot(tree, 'suppression.yaml', key)),
    ),
    ...learned.flatMap((key) => items(spot(tree, 'suppression.yaml', key, 'overrides'))),
    ...items(spot(tree, 'patterns.yaml', 'patterns')),
    ...allRoutes(spot(tree, 'routing.yaml', 'routes')),
  ];
  return withMatch.flatMap((at) => child(at, 'match') ?? []);
}

/** The root and every route under it. */
function allRoutes(root: Spot | null): Spot[] {
  return root === null ? [] : [root, ...items(child(root, 'routes')).flatMap(allRoutes)];
}

function checkRoutes(tree: Tree, names: Names, found: Findings): void {
  const root = spot(tree, 'routing.yaml', 'routes');
  mustExist(child(root, 'default_team'), names.teams, 'team', found);
  const configured = new Set(['log', ...entries(spot(tree, 'tocsin.yaml', 'channels')).map(([kind]) => kind)]);
  const missing = new Map<string, Spot>();
  for (const route of allRoutes(root)) {
    mustExist(child(route, 'team'), names.teams, 'team', found);
    mustExist(child(route, 'unowned_team'), names.teams, 'team', found);
    mustExist(child(route, 'escalation'), names.policies, 'escalation policy', found);
    for (const channel of items(child(route, 'channels'))) {
      const [kind, target] = (text(channel) ?? '').split(':', 2);
      if (target !== undefined) mustExist(channel, names.targets, 'webhook target', found, 'webhook:');
      else if (kind && !configured.has(kind) && !missing.has(kind)) missing.set(kind, channel);
    }
  }
  if (names.targets !== null) {
    for (const [kind, at] of missing) {
      if ((channelKinds as readonly string[]).includes(kind))
        found.warnings.push(
          faultAt(
            at,
            `${kind} is off: channels.${kind} is not configured`,
            `Configure it in tocsin.yaml; until then the route's next channel, at last the log, gets its messages.`,
          ),
        );
    }
  }
  if (root) checkReachable(root, [], found);
}

/** Finds routes that no alert can get to. Only what is certain is said: regexes are compared as text. */
function checkReachable(parent: Spot, inherited: readonly Matcher[], found: Findings): void {
  const before: { texts: Set<string>; at: Spot }[] = [];
  for (const route of items(child(parent, 'routes'))) {
    const parsed = items(child(route, 'match')).map((m) => parseMatcher(text(m) ?? ''));
    const own = parsed.flatMap((p) => (p.ok ? [p.matcher] : []));
    if (own.length !== parsed.length) continue;
    const texts = new Set(own.map(matcherText));
    const earlier = before.find((b) => [...b.texts].every((one) => texts.has(one)));
    const clash = contradiction([...inherited, ...own]);
    if (earlier) {
      const line = earlier.at.yaml.place(earlier.at.path).line;
      found.faults.push(
        faultAt(
          route,
          `no alert reaches this route: the one in line ${line} takes all it would match`,
          'Write it before that one, or give that one `continue: true`.',
        ),
      );
    } else if (clash) {
      found.faults.push(
        faultAt(
          route,
          `no alert reaches this route: ${clash} exclude each other`,
          'Mend the matchers here or of the route around it.',
        ),
      );
    } else if (child(route, 'continue')?.value !== true) before.push({ texts, at: route });
    checkReachable(route, [...inherited, ...own], found);
  }
}

/** Two matchers that no value of a label satisfies together, in words. */
function contradiction(matchers: readonly Matcher[]): string | null {
  for (const a of matchers) {
    if (a.op !== '=') continue;
    for (const b of matchers) {
      const excludes = a.name === b.name && (b.op === '=' ? a.value !== b.value : b.op === '!=' && a.value === b.value);
      if (excludes) return `${matcherText(a)} and ${matcherText(b)}`;
    }
  }
  return null;
}

function checkTeamsAndPeople(tree: Tree, names: Names, found: Findings): void {
  for (const [name, team] of entries(spot(tree, 'routing.yaml', 'teams'))) {
    for (const target of items(child(team, 'webhook'))) mustExist(target, names.targets, 'webhook target', found);
    // The log prints for everyone, so a team without an address is no fault; but it is seldom meant.
    if (team.value !== null && entries(team).length === 0 && name !== 'default') {
      found.warnings.push(
        faultAt(team, `the team "${name}" has no address`, 'Give it slack, pagerduty, email or webhook.', 'key'),
      );
    }
  }
  if (names.teams.length > 0 && child(spot(tree, 'routing.yaml', 'routes'), 'default_team') === null) {
    const at = spot(tree, 'routing.yaml', 'routes') ?? spot(tree, 'routing.yaml');
    if (at && !names.teams.includes('default'))
      found.warnings.push(
        faultAt(
          at,
          'nobody gets what no team owns: it goes to the log alone',
          'Name a team as routes.default_team.',
          'key',
        ),
      );
  }
}

const listed = (names: readonly string[]): string =>
  names.length < 2 ? names.join('') : `${names.slice(0, -1).join(', ')} and ${names.at(-1)}`;

/** Rules nothing reaches are faults. A name that is nobody's is passed over at run time, so it is a warning. */
function checkByImpact(tree: Tree, names: Names, found: Findings): void {
  const known = {
    teams: Object.fromEntries(names.teams.map((name) => [name, {}])),
    schedules: Object.fromEntries(names.schedules.map((name) => [name, {} as never])),
    people: Object.fromEntries(names.people.map((name) => [name, {}])),
  };
  const written = spot(tree, 'routing.yaml', 'by_impact');
  const defaults: string[] = [];
  for (const list of ['urgency', 'also'] as const) {
    const rules = child(written, list);
    if (rules === null) defaults.push(...RoutingFile.shape.by_impact.parse({})[list].flatMap((rule) => rule.add));
    for (const rule of items(rules))
      for (const name of items(child(rule, 'add'))) {
        const who = text(name);
        if (who === null || wordOf(who, known) !== null) continue;
        const everyone = [...names.teams, ...names.schedules, ...names.people];
        const message = `nobody is called "${who}": it is passed over`;
        found.warnings.push(faultAt(name, message, insteadOf(who.replace(/^\w+:/, ''), everyone, 'team')));
      }
  }
  const root = spot(tree, 'routing.yaml');
  const missing = [...new Set(defaults)].filter((name) => wordOf(name, known) === null);
  // Without a single team nothing is set up yet, and everything goes to the log.
  if (root && names.teams.length > 0 && missing.length > 0)
    found.warnings.push(
      faultAt(
        root,
        `by default impact also tells ${listed(missing)}, which are no team, schedule or person here: they are passed over`,
        'Add them to `teams`, or write `by_impact` with those that you have.',
      ),
    );
  const always = items(child(written, 'urgency')).findIndex((rule) => child(rule, 'when') === null);
  for (const rule of always === -1 ? [] : items(child(written, 'urgency')).slice(always + 1))
    found.faults.push(
      faultAt(
        rule,
        'no incident reaches this rule: the first that holds counts, and one above it holds always',
        'Write it before that one, or give that one a `when`.',
      ),
    );
}

/** Points that contradict each other: more of something must never count less, and every priority must be within reach. */
function checkPriority(tree: Tree, found: Findings): void {
  const written = spot(tree, 'routing.yaml', 'priority');
  for (const key of ['revenue_impact', 'users']) {
    const rows = items(child(written, key)).flatMap((at) => {
      const [over, points] = [child(at, 'over')?.value, child(at, 'points')?.value];
      return typeof over === 'number' && typeof points === 'number' ? [{ at, over, points }] : [];
    });
    rows.sort((a, b) => a.over - b.over);
    for (const [i, row] of rows.entries()) {
      const before = rows[i - 1];
      if (before?.over === row.over)
        found.faults.push(faultAt(row.at, `there are two rows over ${row.over}`, 'Keep one of them.'));
      else if (before && before.points > row.points)
        found.faults.push(
          faultAt(
            child(row.at, 'points')!,
            `more than ${row.over} would count less than more than ${before.over}`,
            `Write ${before.points} or more, or remove the row.`,
          ),
        );
    }
  }
  const levels = child(written, 'at_least');
  const defaults = RoutingFile.shape.priority.parse({}).at_least;
  const least = (level: 1 | 2 | 3 | 4): number => {
    const value = child(levels, String(level))?.value;
    return typeof value === 'number' ? value : defaults[level];
  };
  for (const level of [2, 3, 4] as const) {
    const above = (level - 1) as 1 | 2 | 3;
    if (least(level) < least(above)) continue;
    const at = child(levels, String(level)) ?? child(levels, String(above));
    if (at === null) continue;
    found.faults.push(
      faultAt(
        at,
        `no incident would have priority ${level}: it takes ${least(level)} points, and priority ${above} takes ${least(above)}`,
        'Write fewer points for each less urgent priority.',
      ),
    );
  }
}

function checkEscalation(tree: Tree, names: Names, found: Findings): void {
  for (const [, policy] of entries(spot(tree, 'routing.yaml', 'escalation_policies'))) {
    let latest = -1;
    for (const step of items(child(policy, 'steps'))) {
      const after = parseDuration(text(child(step, 'after')) ?? '');
      if (after !== null && after < latest)
        found.warnings.push(
          faultAt(
            child(step, 'after')!,
            'this step comes before the one above it',
            'Write the steps in order of `after`, which counts from the first notification.',
          ),
        );
      latest = Math.max(latest, after ?? latest);
      for (const who of items(child(step, 'notify'))) {
        const name = text(who) ?? '';
        if (name.startsWith('team:')) mustExist(who, names.teams, 'team', found, 'team:');
        if (name.startsWith('schedule:')) mustExist(who, names.schedules, 'schedule', found, 'schedule:');
        if (name.startsWith('person:')) mustExist(who, names.people, 'person', found, 'person:');
      }
    }
  }
}

function checkSchedules(tree: Tree, names: Names, found: Findings): void {
  const people = new Map(entries(spot(tree, 'routing.yaml', 'people')));
  const onCall = (at: Spot | null) => {
    mustExist(at, names.people, 'person', found);
    const person = people.get(text(at) ?? '');
    if (at && person && entries(person).length === 0)
      found.warnings.push(
        faultAt(
          at,
          `"${text(at)}" has no address: on call, nobody would be told`,
          'Give the person slack, email or pagerduty.',
        ),
      );
  };
  for (const [, schedule] of entries(spot(tree, 'routing.yaml', 'schedules'))) {
    for (const member of items(child(schedule, 'members'))) onCall(member);
    for (const override of items(child(schedule, 'overrides'))) {
      onCall(child(override, 'person'));
      mustEndLater(override, found);
    }
    const handover = child(schedule, 'handover');
    if (handover && text(child(schedule, 'rotation')) === 'daily' && /^[A-Z]/.test(text(handover) ?? ''))
      found.warnings.push(
        faultAt(
          handover,
          'a daily rotation hands over every day, whatever the weekday here',
          'Write the time alone, for example "09:00".',
        ),
      );
  }
}

function mustEndLater(span: Spot, found: Findings): void {
  const until = child(span, 'until');
  if (until && Date.parse(text(child(span, 'from')) ?? '') >= Date.parse(text(until) ?? ''))
    found.faults.push(faultAt(until, '`until` is not after `from`', 'Write a later time instead.'));
}

function checkServices(tree: Tree, names: Names, imported: readonly string[], found: Findings): void {
  const services = entries(spot(tree, 'business-context.yaml', 'services'));
  const known = [...services.map(([name]) => name), ...imported];
  for (const [name, service] of services) {
    const owner = child(service, 'owner');
    if (owner && names.teams.length > 0 && !names.teams.includes(text(owner) ?? ''))
      found.warnings.push(
        faultAt(
          owner,
          `the owner "${text(owner)}" is no team of routing.yaml: alerts of "${name}" go to default_team`,
          insteadOf(text(owner) ?? '', names.teams, 'team'),
        ),
      );
    for (const callee of items(child(service, 'depends_on'))) {
      const called = text(callee);
      if (called !== null && !known.includes(called))
        found.warnings.push(
          faultAt(
            callee,
            `"${called}" is not catalogued: its tier, owner and revenue are unknown`,
            `Add it to \`services\`, if only as \`${called}: {}\`.`,
          ),
        );
    }
  }
}

/** Who calls whom in a circle: no suspect could stand below all others. Each circle is told once, at the entry that closes it. */
function checkCycles(tree: Tree, found: Findings): void {
  const services = new Map(entries(spot(tree, 'business-context.yaml', 'services')));
  const done = new Set<string>();
  for (const start of services.keys()) {
    if (done.has(start)) continue;
    const trail = [{ name: start, callees: items(child(services.get(start)!, 'depends_on')) }];
    for (let top = trail.at(-1); top; top = trail.at(-1)) {
      const callee = top.callees.shift();
      if (!callee) {
        done.add(top.name);
        trail.pop();
        continue;
      }
      const called = text(callee);
      if (called === null || done.has(called) || !services.has(called)) continue;
      const from = trail.findIndex(({ name }) => name === called);
      if (from === -1) {
        trail.push({ name: called, callees: items(child(services.get(called)!, 'depends_on')) });
        continue;
      }
      const circle = [...trail.slice(from).map(({ name }) => name), called];
      const message =
        circle.length === 2 ? `"${called}" depends on itself` : `these depend on each other: ${circle.join(' → ')}`;
      found.faults.push(faultAt(callee, message, 'Remove the entry that is no real call of the service above it.'));
    }
  }
}

/** Money that cannot be added up, and figures that nobody is there to answer: lived with, but seldom meant. */
function checkFigures(tree: Tree, found: Findings): void {
  const services = entries(spot(tree, 'business-context.yaml', 'services'));
  const first = services.flatMap(([, service]) => text(child(service, 'currency')) ?? [])[0];
  const asked = items(spot(tree, 'tocsin.yaml', 'prometheus')).length > 0;
  for (const [name, service] of services) {
    const revenue = child(service, 'revenue_per_hour');
    const currency = child(service, 'currency');
    if (revenue && typeof revenue.value === 'number' && revenue.value > 0 && currency === null)
      found.warnings.push(
        faultAt(
          revenue,
          `the revenue of "${name}" has no currency: no message shows it`,
          `Add currency${first ? `: ${first}` : ', for example USD'}.`,
        ),
      );
    if (revenue && currency && text(currency) !== first)
      found.warnings.push(
        faultAt(
          currency,
          `"${name}" earns in ${text(currency)}, others in ${first}: an incident of both has no revenue figure`,
          'Declare one currency for services that can fail together.',
        ),
      );
    for (const query of [child(child(service, 'users'), 'query'), child(child(service, 'slo'), 'errors')])
      if (query && !asked)
        found.warnings.push(
          faultAt(query, 'this is asked of nobody: there is no Prometheus', 'Add one to `prometheus` in tocsin.yaml.'),
        );
  }
}

function checkWindows(tree: Tree, found: Findings): void {
  for (const window of items(spot(tree, 'suppression.yaml', 'maintenance_windows'))) {
    const read = (key: string): string | undefined => text(child(window, key)) ?? undefined;
    const lasts = read('for');
    const fault = windowFault({
      name: read('name') ?? '',
      match: [],
      time_zone: 'UTC',
      every: read('every'),
      from: read('from'),
      until: read('until'),
      for: lasts === undefined ? undefined : (parseDuration(lasts) ?? undefined),
    });
    // A duration that cannot be read is told by the schema; what follows from it is not told as well.
    if (fault === null || (lasts !== undefined && parseDuration(lasts) === null)) continue;
    const [message, instead] = fault.split('; write ', 2);
    const wrong = fault.startsWith('`until`') ? 'until' : instead === undefined ? null : 'every';
    const at = (wrong === null ? null : child(window, wrong)) ?? window;
    const example = 'every: "Sun 02:00" with for: 2h, or from: "2026-11-20T02:00:00Z" with until or for';
    found.faults.push(
      faultAt(at, `this maintenance window has no usable time: ${message}`, `Write ${instead ?? example}.`),
    );
  }
}

/** Rules that act on what was learned; each may say otherwise for some alerts. */
const learned = ['actionability', 'transient', 'flapping', 'symptoms'] as const;

/** The matchers of an entry, each written in one way; null when it has none, or one that cannot be read. */
function matchersAt(entry: Spot): ReadonlySet<string> | null {
  const list = items(child(entry, 'match'));
  const parsed = list.map((one) => parseMatcher(text(one) ?? ''));
  if (list.length === 0 || !parsed.every((one) => one.ok)) return null;
  return new Set(parsed.map((one) => matcherText(one.matcher)));
}

/**
 * Policies that contradict each other. Of two overrides for the very same alerts only the first would ever count: refused. A
 * floor is stronger than any policy, so one that names nothing but a floor's alerts is told as holding nothing back.
 */
function checkContradictions(tree: Tree, names: Names, found: Findings): void {
  const lists = [
    spot(tree, 'tocsin.yaml', 'suppress', 'overrides'),
    ...learned.map((key) => spot(tree, 'suppression.yaml', key, 'overrides')),
  ];
  for (const list of lists) {
    const seen = new Map<string, Spot>();
    for (const entry of items(list)) {
      const matchers = matchersAt(entry);
      if (!matchers) continue;
      const key = [...matchers].sort().join(', ');
      const before = seen.get(key);
      if (before)
        found.faults.push(
          faultAt(
            entry,
            `it names the very alerts of the entry in line ${before.yaml.place(before.path, 'value').line}, which comes first`,
            'Keep one of the two.',
          ),
        );
      else seen.set(key, entry);
    }
  }

  const floors = items(spot(tree, 'suppression.yaml', 'floors')).flatMap((floor) => {
    const matchers = matchersAt(floor);
    return matchers ? [{ floor, matchers }] : [];
  });
  for (const key of ['maintenance_windows', 'noise', 'business_hours']) {
    for (const policy of items(spot(tree, 'suppression.yaml', key))) {
      const own = matchersAt(policy);
      const stronger = own && floors.find(({ matchers }) => [...matchers].every((one) => own.has(one)));
      if (!stronger) continue;
      const { line } = stronger.floor.yaml.place(stronger.floor.path, 'value');
      found.warnings.push(
        faultAt(policy, `it holds nothing back: the floor in line ${line} speaks for all of its alerts`, 'Remove one.'),
      );
    }
  }

  const flapping = spot(tree, 'suppression.yaml', 'flapping');
  const [enter, leave] = ['enter', 'leave'].map((key) => child(flapping, key));
  const [most, least] = [enter?.value ?? 5, leave?.value ?? 2];
  if (typeof most === 'number' && typeof least === 'number' && least >= most)
    found.faults.push(
      faultAt(
        (leave ?? enter)!,
        `an alert would leave flapping at ${least} changes and enter it at ${most}: it would flap between the two`,
        'Write a `leave` below `enter`, such as enter: 5 and leave: 2.',
      ),
    );
  for (const [team, at] of entries(spot(tree, 'suppression.yaml', 'budget', 'teams')))
    if (!names.teams.includes(team))
      found.faults.push(faultAt(at, `there is no team "${team}"`, insteadOf(team, names.teams, 'team'), 'key'));
}

/** A password inside a URL would be printed with it; it belongs in `auth` or behind a reference. */
function checkPlainPasswords(tree: Tree, found: Findings): void {
  const refuse = (at: Spot | null, instead: string) => {
    const written = text(at);
    if (at && written && URL.canParse(written) && new URL(written).password !== '')
      found.faults.push(faultAt(at, 'this URL holds a password', instead));
  };
  for (const key of ['prometheus', 'alertmanager'])
    for (const server of items(spot(tree, 'tocsin.yaml', key)))
      refuse(
        child(server, 'url'),
        'Write auth: { username: NAME, password: { env: NAME } } beside the plain URL instead.',
      );
  refuse(spot(tree, 'tocsin.yaml', 'channels', 'email', 'smtp_url'), 'Write smtp_url: { env: SMTP_URL } instead.');
  refuse(spot(tree, 'tocsin.yaml', 'heartbeat_url'), 'Write heartbeat_url: { env: NAME } instead.');
  for (const [, target] of entries(spot(tree, 'tocsin.yaml', 'channels', 'webhook', 'targets')))
    refuse(child(target, 'url'), 'Use `secret`, with which the body is signed.');
}

/** Names that appear in records and messages must mean one thing. (Tokens may share one: that is how they are rotated.) */
function checkRepeatedNames(tree: Tree, found: Findings): void {
  const lists = [
    ...(['prometheus', 'alertmanager'] as const).map((key) => spot(tree, 'tocsin.yaml', key)),
    ...(['maintenance_windows', 'noise', 'business_hours'] as const).map((key) => spot(tree, 'suppression.yaml', key)),
  ];
  for (const list of lists) {
    const seen = new Set<string>();
    for (const item of items(list)) {
      const name = child(item, 'name');
      if (!name || typeof name.value !== 'string') continue;
      if (seen.has(name.value))
        found.faults.push(faultAt(name, `the name "${name.value}" is taken already`, 'Write another name instead.'));
      seen.add(name.value);
    }
  }
}
