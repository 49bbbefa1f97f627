import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parseCsv, readCsv } from '../../src/config/import/csv.ts';
import { emptyDraft } from '../../src/config/import/draft.ts';

const values = (text: string) => {
  const parsed = parseCsv(text);
  return 'rows' in parsed ? parsed.rows.map((row) => row.map((cell) => cell.value)) : parsed.fault;
};
const read = (text: string) => {
  const draft = emptyDraft();
  readCsv('services.csv', Buffer.from(text), draft);
  const say = (list: typeof draft.faults) => list.map((f) => `${f.line}:${f.column} ${f.message}`);
  return { layer: draft.layers[0], faults: say(draft.faults), notes: say(draft.notes) };
};

describe('RFC 4180', () => {
  test('quotes, doubled quotes, line breaks in quotes, CRLF, a byte-order mark, an empty last field', () => {
    expect(values('\ufeffa,b\r\n"x, ""y""\nz",\r\n')).toEqual([
      ['a', 'b'],
      ['x, "y"\nz', ''],
    ]);
    expect(values('a\n\n\nb')).toEqual([['a'], ['b']]);
    expect(values('')).toEqual([]);
  });

  test('what a spreadsheet would guess at is a fault with its place', () => {
    expect(values('a,b\n"open')).toEqual({ line: 2, column: 1, message: 'this quote is never closed' });
    expect(values('a,x"y')).toEqual({ line: 1, column: 4, message: 'a quote stands inside an unquoted field' });
    expect(values('"a"b,c')).toEqual({ line: 1, column: 4, message: 'something follows the closing quote' });
    expect(values('a\rb')).toEqual({ line: 1, column: 2, message: 'a line ends with CR alone' });
    expect(values('"a\nb",c"d')).toEqual({ line: 2, column: 5, message: 'a quote stands inside an unquoted field' });
  });

  test('whatever is written comes back, and any text at all gets an answer', () => {
    const quoted = (row: string[]) => row.map((cell) => `"${cell.replaceAll('"', '""')}"`).join(',');
    const tables = fc.array(fc.array(fc.string({ unit: 'grapheme' }), { minLength: 2, maxLength: 5 }), {
      maxLength: 8,
    });
    fc.assert(
      fc.property(tables, (table) => {
        expect(values(table.map(quoted).join('\r\n'))).toEqual(table);
      }),
    );
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom('a', '"', ',', '\n', '\r') }), (text) => void values(text)),
    );
  });
});

describe('a table of services', () => {
  test('every column lands in its field, with the line it came from', () => {
    const { layer, faults, notes } = read(
      'Service,Tier,Owner,Slack,Email,Revenue per hour,Currency,Customer impact,Regulatory,Users,Dependencies,SLO,SLO window\n' +
        'checkout,tier-1,payments,pay-oncall,pay@example.com,12000,USD,High,yes,40000,payment; cart,99.9 %,4w\n',
    );
    expect({ faults, notes }).toEqual({ faults: [], notes: [] });
    const from = 'services.csv:2';
    expect(layer).toEqual({
      source: 'csv',
      file: 'services.csv',
      services: {
        checkout: {
          owner: { value: 'payments', from },
          tier: { value: 1, from },
          revenue_per_hour: { value: 12000, from },
          currency: { value: 'USD', from },
          customer_impact: { value: 'high', from },
          regulatory: { value: true, from },
          users: { value: 40000, from },
          depends_on: { value: ['payment', 'cart'], from },
          slo: { value: { objective: 99.9, window: '4w' }, from },
        },
      },
      teams: { payments: { slack: { value: '#pay-oncall', from }, email: { value: ['pay@example.com'], from } } },
    });
  });

  test('a routing key is never taken over', () => {
    const { layer, notes } = read('service,owner,pagerduty\na,payments,R0SECRET\n');
    expect(JSON.stringify(layer)).not.toContain('R0SECRET');
    expect(notes).toEqual([
      '2:12 the PagerDuty entry of "a" is left out: a routing key is a secret and belongs to a team',
    ]);
    expect(notes.join()).not.toContain('R0SECRET');
  });

  test('every fault is told, each at its place', () => {
    expect(read('name,tier,name\n').faults).toEqual(['1:11 there are two columns "name"']);
    expect(read('service;tier\n').faults).toEqual(['1:1 there is no column "service"']);
    expect(read('').faults).toEqual(['1:1 this file is empty']);
    const { faults, notes } = read(
      'service,revenue_per_hour,regulatory,colour\na,"1,200",perhaps,red\n,1,yes,\na,1,yes,\nb,1\n',
    );
    expect(faults).toEqual([
      '2:3 "1,200" is not a number',
      '2:11 "perhaps" is neither yes nor no',
      '3:1 this line has no name',
      '4:1 "a" stands in line 2 already',
      '5:1 this line has 2 fields, the first has 4',
    ]);
    expect(notes).toEqual(['1:37 the column "colour" is not used']);
  });

  test('a value that the business context cannot hold is left out and told', () => {
    const { layer, notes } = read('service,tier,currency,runbook\na,9,dollars,javascript:alert(1)\n');
    expect(layer!.services).toEqual({ a: {} });
    expect(notes.map((said) => said.replace(/ is left out: .*/, '')).sort()).toEqual([
      '2:13 runbook of "a"',
      '2:3 tier of "a"',
      '2:5 currency of "a"',
    ]);
  });
});
