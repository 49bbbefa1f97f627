import { z } from 'zod';
import type { Answer, Documented } from './route.ts';

/** OpenAPI 3.1 (https://spec.openapis.org/oas/v3.1.1) of a list of endpoints, from the zod schemas they are checked by. */
export function openApi(endpoints: readonly Documented[]): object {
  const paths: Record<string, Record<string, object>> = {};
  for (const one of endpoints) {
    paths[one.path] ??= {};
    paths[one.path]![one.method] = operation(one);
  }
  return {
    openapi: '3.1.0',
    info: {
      title: 'Tocsin',
      version: '1',
      description:
        'From an alert storm to a few explained incidents. JSON in camelCase, RFC 3339 times; lists are paged with `limit` ' +
        'and `cursor`; errors are `application/problem+json`. Without configured tokens the service is open, on loopback only.',
    },
    servers: [{ url: '/' }],
    tags: [...new Set(endpoints.map((one) => one.tag))].map((name) => ({ name })),
    security: [{ bearer: [] }, { basic: [] }],
    paths,
    components: {
      securitySchemes: {
        bearer: { type: 'http', scheme: 'bearer', description: 'A token of `server.tokens`' },
        basic: { type: 'http', scheme: 'basic', description: 'Any user name; the token is the password' },
      },
    },
  };
}

function operation(one: Documented): object {
  const parameters = [
    ...parametersOf(one.params, 'path'),
    ...parametersOf(one.query, 'query'),
    ...Object.entries(one.headers ?? {}).map(([name, description]) => ({
      name,
      in: 'header',
      required: false,
      description,
      schema: { type: 'string' },
    })),
  ];
  return {
    operationId: operationId(one),
    tags: [one.tag],
    summary: one.summary,
    description: one.role === null ? 'No token is needed.' : `Role: ${one.role}.`,
    ...(one.role === null ? { security: [] } : {}),
    ...(parameters.length > 0 ? { parameters } : {}),
    ...(one.body
      ? { requestBody: { required: true, content: { 'application/json': { schema: schemaOf(one.body, 'input') } } } }
      : {}),
    responses: Object.fromEntries(
      [...Object.entries(one.answers), ...usual(one)].map(([status, answer]) => [status, response(answer)]),
    ),
  };
}

/** What every endpoint with a role may answer besides its own. */
function usual({ role, answers }: Documented): [string, Answer][] {
  if (role === null) return [];
  const refused: [string, Answer][] = [
    ['401', { description: 'No token, or an unknown one', type: 'application/problem+json' }],
    ['403', { description: 'The token may not do this', type: 'application/problem+json' }],
  ];
  return refused.filter(([status]) => !(status in answers));
}

function response({ description, schema, type }: Answer): object {
  const media = type ?? 'application/json';
  if (!schema) return type ? { description, content: { [media]: { schema: {} } } } : { description };
  return { description, content: { [media]: { schema: schemaOf(schema, 'output') } } };
}

function parametersOf(schema: z.ZodObject | undefined, place: 'path' | 'query'): object[] {
  if (!schema) return [];
  const { properties = {}, required = [] } = schemaOf(schema, 'input') as {
    properties?: Record<string, Record<string, unknown>>;
    required?: string[];
  };
  return Object.entries(properties).map(([name, { description, ...rest }]) => ({
    name,
    in: place,
    required: place === 'path' || required.includes(name),
    ...(description ? { description } : {}),
    // Lists are comma lists; repeats are taken as well.
    ...(rest.type === 'array' ? { style: 'form', explode: false } : {}),
    schema: rest,
  }));
}

/** JSON Schema 2020-12, the dialect of OpenAPI 3.1; refinements that it cannot say are left to the server's words. */
function schemaOf(schema: z.ZodType, io: 'input' | 'output'): Record<string, unknown> {
  const { $schema: _, ...rest } = z.toJSONSchema(schema, { io, unrepresentable: 'any' }) as Record<string, unknown>;
  return rest;
}

/** `get /api/v1/incidents/{id}/alerts` is `getIncidentsByIdAlerts`; `post /analyze`, an alias, is `postRootAnalyze`. */
function operationId({ method, path }: Documented): string {
  const words = path
    .replace(/^\/(?!api\/)/, '/root/')
    .replace(/^\/api\/v1/, '')
    .split(/[/.-]/)
    .filter(Boolean)
    .map((word) => (word.startsWith('{') ? `By${capital(word.slice(1, -1))}` : capital(word)));
  return method + words.join('');
}

const capital = (word: string): string => word.slice(0, 1).toUpperCase() + word.slice(1);
