import type { Policy } from '../decide/policy.ts';
import type { Labels } from '../domain/alert.ts';
import { route } from '../route/route.ts';

/** What people said of one incident's worth, by whom. */
export type Said = { kind: 'noise' | 'real' | 'should-have-paged'; by: string; number: number };

/** Everything the store knows of one rule on one service in the period. */
export type RuleEvidence = {
  rule: string;
  service: string | null;
  /** The lead alert's labels of its newest incident. */
  labels: Labels;
  incidents: number;
  paged: number;
  /** Incidents that somebody acted on, those not counted that were called noise. */
  actedOn: number;
  /** One of its incidents was critical. */
  wasCritical: boolean;
  said: Said[];
};

/** Incidents of one service that people handed from one team to another. */
export type HandedEvidence = {
  service: string;
  labels: Labels;
  from: string;
  to: string;
  people: number;
  numbers: number[];
};

export type Evidence = { rules: RuleEvidence[]; handed: HandedEvidence[] };

type Match = { match: string[] };
type Change =
  | { kind: 'noise'; entry: Match & { name: string; reason: string } }
  | { kind: 'floor'; entry: Match }
  | { kind: 'route'; entry: Match & { team: string } };

/** A change of the config that what people said speaks for. Nobody makes it but a person. */
export type Proposal = Change & {
  /** The same evidence of the same rule has the same id. */
  id: string;
  title: string;
  file: 'suppression.yaml' | 'routing.yaml';
  /** Ready to paste; `where` says where to. */
  yaml: string;
  where: string;
  /** What it rests on, in a sentence. */
  why: string;
  evidence: { said: number; people: number; incidents: number; paged: number; actedOn: number; numbers: number[] };
};

/** Less is an opinion, not a pattern: three incidents called noise, by two people. */
const NOISE_SAID = 3;
const NOISE_PEOPLE = 2;
/** A missed page weighs more than a needless one. */
const MISSED_SAID = 2;
const HANDED = 3;
const NUMBERS = 20;

/**
 * The changes that the evidence speaks for, by rule and service, the best supported first. Deterministic. Nothing is proposed
 * that the policy already does, nothing that people disagree about, and no noise entry for what was ever critical.
 */
export function propose({ rules, handed }: Evidence, policy: Policy): Proposal[] {
  const proposals = [
    ...rules.flatMap((one) => [...noise(one, policy), ...floor(one, policy)]),
    ...handed.flatMap((one) => newRoute(one, policy)),
  ];
  return proposals.sort((a, b) => b.evidence.said - a.evidence.said || (a.id < b.id ? -1 : 1));
}

const of = (said: readonly Said[], kind: Said['kind']): { count: number; people: number; numbers: number[] } => {
  const mine = said.filter((one) => one.kind === kind);
  const numbers = [...new Set(mine.map((one) => one.number))].sort((a, b) => a - b);
  return { count: numbers.length, people: new Set(mine.map((one) => one.by)).size, numbers: numbers.slice(0, NUMBERS) };
};

const matchersOf = ({ rule, service }: Pick<RuleEvidence, 'rule' | 'service'>, labels: Labels): string[] => [
  matcher('alertname', rule),
  // Only by a label that its alerts carry: the service may have been found otherwise.
  ...(service !== null && labels.service === service ? [matcher('service', service)] : []),
];

const matcher = (label: string, value: string): string => `${label}=${JSON.stringify(value)}`;

function noise(one: RuleEvidence, policy: Policy): Proposal[] {
  const said = of(one.said, 'noise');
  if (said.count < NOISE_SAID || said.people < NOISE_PEOPLE || one.actedOn > 0 || one.wasCritical) return [];
  if (one.said.some(({ kind }) => kind !== 'noise')) return [];
  const matched = policy.suppression.matched(one.labels);
  if (matched.floor !== null || matched.holding.length > 0) return [];
  const why = `called noise ${said.count} times by ${said.people} people; ${one.paged} of its ${one.incidents} incidents paged, and nobody acted on any other of them`;
  const name = slug(`noise-${one.rule}${one.service === null ? '' : `-${one.service}`}`);
  const entry = { name, match: matchersOf(one, one.labels), reason: why };
  return [
    proposal({ kind: 'noise', entry }, one, said, {
      title: `Hold back ${named(one)}`,
      file: 'suppression.yaml',
      where: 'under `noise:`',
      why,
    }),
  ];
}

function floor(one: RuleEvidence, policy: Policy): Proposal[] {
  const said = of(one.said, 'should-have-paged');
  if (said.count < MISSED_SAID && said.people < MISSED_SAID) return [];
  if (policy.suppression.matched(one.labels).floor !== null) return [];
  const why = `${said.people === 1 ? 'one person' : `${said.people} people`} said of ${said.count} of its incidents that they should have paged`;
  return [
    proposal({ kind: 'floor', entry: { match: matchersOf(one, one.labels) } }, one, said, {
      title: `Always notify of ${named(one)}`,
      file: 'suppression.yaml',
      where: 'under `floors:`',
      why,
    }),
  ];
}

function newRoute(one: HandedEvidence, policy: Policy): Proposal[] {
  const { service, labels, from, to, people, numbers } = one;
  if (numbers.length < HANDED || labels.service !== service) return [];
  if (route({ labels, service }, policy).primaryTeam === to) return [];
  const why = `${numbers.length} of its incidents went to ${from} and were handed to ${to} by ${people === 1 ? 'one person' : `${people} people`}`;
  const facts = { rule: 'route', service, incidents: numbers.length, paged: numbers.length, actedOn: numbers.length };
  const said = { count: numbers.length, people, numbers: numbers.slice(0, NUMBERS) };
  return [
    proposal({ kind: 'route', entry: { match: [matcher('service', service)], team: to } }, facts, said, {
      title: `Send what is about ${service} to ${to}`,
      file: 'routing.yaml',
      where: 'as the first of `routes.routes` (the first that matches wins)',
      why,
    }),
  ];
}

function proposal(
  change: Change,
  {
    rule,
    service,
    incidents,
    paged,
    actedOn,
  }: Pick<RuleEvidence, 'rule' | 'service' | 'incidents' | 'paged' | 'actedOn'>,
  said: ReturnType<typeof of>,
  words: Pick<Proposal, 'title' | 'file' | 'where' | 'why'>,
): Proposal {
  const evidence = { said: said.count, people: said.people, incidents, paged, actedOn, numbers: said.numbers };
  return { ...change, id: `${change.kind}:${rule}:${service ?? ''}`, ...words, yaml: yamlOf(change.entry), evidence };
}

const named = ({ rule, service }: Pick<RuleEvidence, 'rule' | 'service'>): string =>
  service === null ? rule : `${rule} of ${service}`;

/** A name as the config takes it: 64 characters at most, letters, digits, dots and dashes. */
const slug = (text: string): string =>
  text
    .replace(/[^A-Za-z0-9._]+/g, '-')
    .slice(0, 64)
    .replace(/-+$/, '');

/** A list entry on one line: JSON strings are YAML strings. */
function yamlOf(entry: Change['entry']): string {
  const members = Object.entries(entry).map(([name, value]) => {
    const text = Array.isArray(value) ? `[ ${value.map(quoted).join(', ')} ]` : plainOrQuoted(value);
    return `${name}: ${text}`;
  });
  return `- { ${members.join(', ')} }`;
}

const quoted = (text: string): string => (text.includes("'") ? JSON.stringify(text) : `'${text}'`);
const plainOrQuoted = (text: string): string => (/^[A-Za-z][A-Za-z0-9_-]*$/.test(text) ? text : JSON.stringify(text));
