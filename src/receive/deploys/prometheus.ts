import { fromApi } from './api.ts';
import { type Found, isObject, word } from './draft.ts';

/** What the deploy watch found in metrics: `{ server, deploys: […] }`, the deploys as the API takes them. */
export const fromPrometheus = (body: unknown): Found =>
  isObject(body) ? fromApi(body.deploys) : { drafts: [], faults: [{ place: 'body', reason: 'is not a JSON object' }] };

/** `prometheus:<server>`, so that a deploy says which server saw it. */
export const prometheusSource = (body: unknown): string =>
  `prometheus:${(isObject(body) ? word(body.server) : null) ?? 'unknown'}`;
