import { insteadOf } from '../fault.ts';
import { type At, addFact, addTeamFact, type Draft, type Field, note, refuse, service, usableName } from './draft.ts';

/** One field and where it begins; lines and columns count from 1. */
export type CsvField = { value: string; line: number; column: number };
export type CsvResult = { rows: CsvField[][] } | { fault: { line: number; column: number; message: string } };

/**
 * RFC 4180, strictly: comma, CRLF or LF, fields in double quotes where they hold a comma, a quote (doubled) or a line break.
 * A byte-order mark and blank lines are passed over. What a spreadsheet would guess at is a fault.
 */
export function parseCsv(text: string): CsvResult {
  const rows: CsvField[][] = [];
  let row: CsvField[] = [];
  let at = text.startsWith('\ufeff') ? 1 : 0;
  let line = 1;
  let lineStart = at;
  const ends = /[,\r\n]/g;
  const place = (offset: number) => ({ line, column: offset - lineStart + 1 });

  const endRow = () => {
    if (row.length > 1 || row[0]!.value !== '') rows.push(row);
    row = [];
  };
  while (at < text.length || row.length > 0) {
    const begins = { ...place(at) };
    let value = '';
    if (text[at] === '"') {
      at += 1;
      for (;;) {
        const quote = text.indexOf('"', at);
        if (quote < 0) return { fault: { ...begins, message: 'this quote is never closed' } };
        const part = text.slice(at, quote);
        value += part;
        for (let i = part.indexOf('\n'); i >= 0; i = part.indexOf('\n', i + 1)) {
          line += 1;
          lineStart = at + i + 1;
        }
        at = quote + 1;
        if (text[at] !== '"') break;
        value += '"';
        at += 1;
      }
      if (at < text.length && !/^(,|\r?\n)/.test(text.slice(at, at + 2)))
        return { fault: { ...place(at), message: 'something follows the closing quote' } };
    } else {
      ends.lastIndex = at;
      value = text.slice(at, ends.exec(text)?.index ?? text.length);
      const quote = value.indexOf('"');
      if (quote >= 0) return { fault: { ...place(at + quote), message: 'a quote stands inside an unquoted field' } };
      at += value.length;
    }
    row.push({ value, ...begins });
    if (text[at] === ',') {
      at += 1;
      continue;
    }
    if (text[at] === '\r' && text[at + 1] !== '\n')
      return { fault: { ...place(at), message: 'a line ends with CR alone' } };
    if (at < text.length) {
      at += text[at] === '\r' ? 2 : 1;
      line += 1;
      lineStart = at;
    }
    endRow();
  }
  return { rows };
}

type Column = { names: string[]; field: Field | 'slack' | 'pagerduty' | 'email' | 'slo_objective' | 'slo_window' };
const columns: Column[] = [
  { names: ['owner', 'team'], field: 'owner' },
  { names: ['tier'], field: 'tier' },
  { names: ['revenue_per_hour', 'revenue'], field: 'revenue_per_hour' },
  { names: ['currency'], field: 'currency' },
  { names: ['customer_impact'], field: 'customer_impact' },
  { names: ['regulatory'], field: 'regulatory' },
  { names: ['users'], field: 'users' },
  { names: ['dependencies', 'depends_on'], field: 'depends_on' },
  { names: ['runbook', 'runbook_url'], field: 'runbook' },
  { names: ['dashboards', 'dashboard'], field: 'dashboards' },
  { names: ['description'], field: 'description' },
  { names: ['system'], field: 'system' },
  { names: ['lifecycle'], field: 'lifecycle' },
  { names: ['slack'], field: 'slack' },
  { names: ['email'], field: 'email' },
  { names: ['pagerduty'], field: 'pagerduty' },
  { names: ['slo', 'slo_objective'], field: 'slo_objective' },
  { names: ['slo_window'], field: 'slo_window' },
];
const known = columns.flatMap((column) => column.names);
const serviceNames = ['service', 'name'];

/** Reads one table: a header line, then one service a line. Lists are separated by `;`, `|` or spaces. */
export function readCsv(file: string, bytes: Uint8Array, draft: Draft): void {
  const fault = ({ line, column }: { line: number; column: number }, message: string, instead: string) =>
    refuse(draft, { file, line, column }, message, instead);
  const rows = readRows(bytes, fault);
  const [header, ...lines] = rows;
  if (!header) return;
  const names = header.map((cell) =>
    cell.value
      .trim()
      .toLowerCase()
      .replace(/[\s-]+/g, '_'),
  );
  const nameColumn = names.findIndex((name) => serviceNames.includes(name));
  if (nameColumn < 0) {
    const separator = header.length === 1 ? /[;\t|]/.exec(header[0]!.value)?.[0] : undefined;
    const instead = separator
      ? `Separate the columns by commas, not by ${separator === '\t' ? 'tabs' : `"${separator}"`}.`
      : 'Begin with a line of column names, one of them "service".';
    fault(header[0]!, 'there is no column "service"', instead);
    return;
  }
  names.forEach((name, i) => {
    const at = { file, line: header[i]!.line, column: header[i]!.column };
    if (names.indexOf(name) < i) refuse(draft, at, `there are two columns "${name}"`, 'Remove one of them.');
    else if (!known.includes(name) && !serviceNames.includes(name) && name !== '')
      note(draft, at, `the column "${name}" is not used`, insteadOf(name, known, 'column'));
  });
  const seen = new Map<string, number>();
  for (const row of lines) {
    const first = row[0]!;
    if (row.length !== header.length) {
      fault(
        first,
        `this line has ${row.length} fields, the first has ${header.length}`,
        'Write as many, empty ones too.',
      );
      continue;
    }
    const cell = row[nameColumn]!;
    const service = usableName(draft, cell.value, { file, line: cell.line, column: cell.column }, 'this line');
    if (service === null) continue;
    if (seen.has(service)) {
      fault(cell, `"${service}" stands in line ${seen.get(service)} already`, 'Keep one of the two lines.');
      continue;
    }
    seen.set(service, cell.line);
    readRow(file, service, new Map(names.map((name, i) => [name, row[i]!])), draft);
  }
}

type Refuse = (at: { line: number; column: number }, message: string, instead: string) => void;

function readRows(bytes: Uint8Array, fault: Refuse): CsvField[][] {
  const start = { line: 1, column: 1 };
  const text = Buffer.from(bytes).toString('utf8');
  const quoting = 'Put a field with a comma, quote or line break in quotes, and double the quotes in it.';
  const parsed = parseCsv(text);
  if (text.includes('\ufffd') || text.includes('\0'))
    fault(start, 'this is not text in UTF-8', 'Export it as CSV in UTF-8.');
  else if ('fault' in parsed) fault(parsed.fault, parsed.fault.message, quoting);
  else if (parsed.rows.length === 0) fault(start, 'this file is empty', 'Begin with a line of column names.');
  else return parsed.rows;
  return [];
}

function readRow(file: string, name: string, cells: ReadonlyMap<string, CsvField>, draft: Draft): void {
  const cell = (field: Column['field']): { value: string; at: At } | null => {
    const column = columns.find((one) => one.field === field)!;
    const found = column.names.map((one) => cells.get(one)).find((one) => one !== undefined && one.value.trim() !== '');
    return found ? { value: found.value.trim(), at: { file, line: found.line, column: found.column } } : null;
  };
  const add = (field: Field, value: unknown, at: At) => addFact(draft, 'csv', name, field, value, at);
  service(draft, 'csv', name, { file, line: 1, column: 1 });

  for (const field of ['owner', 'currency', 'runbook', 'description', 'system', 'lifecycle'] as const) {
    const found = cell(field);
    if (found) add(field, found.value, found.at);
  }
  const impact = cell('customer_impact');
  if (impact) add('customer_impact', impact.value.toLowerCase(), impact.at);
  for (const field of ['tier', 'revenue_per_hour', 'users'] as const) {
    const found = cell(field);
    if (!found) continue;
    const value = numberOf(field === 'tier' ? found.value.replace(/^tier[-_ ]?/i, '') : found.value);
    if (value === null)
      refuse(draft, found.at, `"${found.value}" is not a number`, 'Write digits alone, such as 12000.');
    else add(field, value, found.at);
  }
  const regulatory = cell('regulatory');
  if (regulatory) {
    const yes = /^(true|yes|y|1)$/i.test(regulatory.value);
    if (yes || /^(false|no|n|0)$/i.test(regulatory.value)) add('regulatory', yes, regulatory.at);
    else refuse(draft, regulatory.at, `"${regulatory.value}" is neither yes nor no`, 'Write true or false.');
  }
  for (const field of ['depends_on', 'dashboards'] as const) {
    const found = cell(field);
    if (found) add(field, listOf(found.value), found.at);
  }
  readSlo(name, cell('slo_objective'), cell('slo_window'), draft);
  readTeam(name, cell, draft);
}

/** Plain numbers only: `1,200` is 1200 to some and 1.2 to others. */
const numberOf = (text: string): number | null => (/^\d+(\.\d+)?$/.test(text) ? Number(text) : null);
const listOf = (text: string): string[] => text.split(/[;|,\s]+/).filter((part) => part !== '');

function readSlo(
  name: string,
  objective: { value: string; at: At } | null,
  window: { value: string; at: At } | null,
  draft: Draft,
): void {
  if (!objective) return;
  const percent = numberOf(objective.value.replace(/\s*%$/, ''));
  if (percent === null) refuse(draft, objective.at, `"${objective.value}" is no objective`, 'Write for example 99.9.');
  else addFact(draft, 'csv', name, 'slo', { objective: percent, window: window?.value ?? '30d' }, objective.at);
}

/** Addresses belong to the team, not to the service. */
function readTeam(
  name: string,
  cell: (field: Column['field']) => { value: string; at: At } | null,
  draft: Draft,
): void {
  const owner = cell('owner')?.value ?? null;
  const slack = cell('slack');
  const email = cell('email');
  const pagerduty = cell('pagerduty');
  if (pagerduty)
    note(
      draft,
      pagerduty.at,
      `the PagerDuty entry of "${name}" is left out: a routing key is a secret and belongs to a team`,
      `Put the key into the environment and write in routing.yaml: teams: ${owner ?? 'TEAM'}: pagerduty: { env: NAME }.`,
    );
  if (!slack && !email) return;
  if (owner === null) {
    note(draft, (slack ?? email)!.at, `"${name}" has an address but no owner`, 'Add its owner.');
    return;
  }
  // Slack's channel names are lower case and its ids are not; a channel is addressed with its #.
  if (slack) addTeamFact(draft, 'csv', owner, 'slack', slack.value.replace(/^(?=[a-z0-9_-]+$)/, '#'), slack.at);
  if (email) addTeamFact(draft, 'csv', owner, 'email', listOf(email.value), email.at);
}
