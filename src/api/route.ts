import type { Request, Response } from 'express';
import type { z } from 'zod';
import type { Config, Role } from '../config/schema.ts';
import type { ApiDeps } from './deps.ts';
import type { EventStreams } from './events.ts';
import type { Reply } from './problem.ts';
import { ProblemDocument } from './schemas.ts';

/** What a handler is given; query, path parts and body have been read by their schemas. */
export type Context<P = unknown, Q = unknown, B = unknown> = {
  params: P;
  query: Q;
  body: B;
  /** The token's name; null on the open loopback service. */
  who: string | null;
  config: Config;
  req: Request;
  res: Response;
  deps: ApiDeps;
  streams: EventStreams;
};

export type Answer = { description: string; schema?: z.ZodType; type?: string };

/** What an endpoint is to the outside; `/openapi.json` is made of this. */
export type Documented = {
  method: 'get' | 'post';
  /** With its variable parts in braces: `/api/v1/incidents/{id}`. */
  path: string;
  tag: string;
  summary: string;
  /** The least role that may; null: no token needed, or the body proves itself. */
  role: Role | null;
  params?: z.ZodObject;
  query?: z.ZodObject;
  headers?: Record<string, string>;
  body?: z.ZodType;
  answers: Record<number, Answer>;
};

/** An endpoint with its handler; null means that the handler answered by itself. */
export type Endpoint = Documented & {
  /** Bytes of body taken; 256 kB when not said. */
  bodyLimit?: (config: Config) => number;
  handle: (context: Context) => Promise<Reply | null> | Reply | null;
};

type Shape = z.ZodObject | undefined;
type Read<S> = S extends z.ZodType ? z.infer<S> : Record<string, never>;

/** Ties a handler's types to the schemas beside it. */
export function endpoint<P extends Shape, Q extends Shape, B extends z.ZodType | undefined>(
  definition: Omit<Endpoint, 'params' | 'query' | 'body' | 'handle'> & {
    params?: P;
    query?: Q;
    body?: B;
    handle: (context: Context<Read<P>, Read<Q>, Read<B>>) => Promise<Reply | null> | Reply | null;
  },
): Endpoint {
  return definition as unknown as Endpoint;
}

/** An answer that is a problem document. */
export const problemAnswer = (description: string): Answer => ({
  description,
  schema: ProblemDocument,
  type: 'application/problem+json',
});

export const bad = { 400: problemAnswer('A parameter or member is wrong; `faults` names each') };
export const missing = { 404: problemAnswer('There is none') };
