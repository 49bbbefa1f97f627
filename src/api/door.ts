import { z } from 'zod';
import { DeployBody } from '../domain/deploy.ts';
import type { Answer, Documented } from './route.ts';
import { ProblemDocument } from './schemas.ts';

/**
 * The way in (src/receive/door.ts) as `/openapi.json` describes it. It is handled there; bodies are taken as they come, so
 * these schemas say what is read of them, not what is refused.
 */

const labels = z.record(z.string(), z.string());

const WebhookBody = z.looseObject({
  version: z.string().optional(),
  groupKey: z.string().optional(),
  receiver: z.string().optional(),
  status: z.string().optional(),
  truncatedAlerts: z.int().optional(),
  alerts: z.array(
    z.looseObject({
      status: z.enum(['firing', 'resolved']).optional(),
      labels,
      annotations: labels.optional(),
      startsAt: z.string().optional(),
      endsAt: z.string().optional(),
      generatorURL: z.string().optional(),
      fingerprint: z.string().optional(),
    }),
  ),
});

const AlertsBody = z.array(
  z.looseObject({
    labels,
    annotations: labels.optional(),
    startsAt: z.string().optional(),
    endsAt: z.string().optional(),
    generatorURL: z.string().optional(),
  }),
);

const ChangeEvent = z.looseObject({
  routing_key: z.string(),
  payload: z.looseObject({
    summary: z.string(),
    source: z.string().optional(),
    timestamp: z.string().optional(),
    custom_details: z.looseObject({ service: z.string().optional() }).optional(),
  }),
});

const failure = (description: string): Answer => ({
  description,
  schema: ProblemDocument,
  type: 'application/problem+json',
});
const refusals = {
  400: failure('Not JSON or not of this shape; the raw body is kept in quarantine'),
  413: failure('Larger than server.max_body'),
  503: failure('Cannot be stored now: send it again'),
};
const counted: Answer = {
  description: 'Stored durably',
  schema: z.object({ accepted: z.int(), quarantined: z.int() }),
};
const taken: Answer = { description: 'Stored durably' };

const entry = (path: string, summary: string, rest: Partial<Documented> = {}): Documented => ({
  method: 'post',
  path,
  tag: 'receive',
  summary,
  role: 'webhook',
  answers: { 200: taken, ...refusals },
  ...rest,
});

const SourceQuery = z.object({
  source: z.string().optional().describe('where the alerts come from; a token has its own name for that'),
});
const webhook: Partial<Documented> = {
  query: SourceQuery,
  body: WebhookBody,
  answers: { 200: counted, ...refusals },
};
const signed = { role: null, answers: { 200: taken, ...refusals, 401: failure('The signature or secret is wrong') } };

export const doorEndpoints: readonly Documented[] = [
  entry('/api/v1/webhooks/alertmanager', "Alertmanager's webhook", webhook),
  entry('/webhook', 'The same as /api/v1/webhooks/alertmanager', webhook),
  entry('/analyze', 'The same as /api/v1/webhooks/alertmanager', webhook),
  entry('/api/v2/alerts', "As Alertmanager's own API: Prometheus can post here directly", {
    query: SourceQuery,
    body: AlertsBody,
    answers: { 200: counted, ...refusals },
  }),
  entry('/v2/change/enqueue', 'PagerDuty change events; routing_key is a webhook token', {
    ...signed,
    body: ChangeEvent,
    answers: { ...signed.answers, 202: taken },
  }),
  entry('/api/v1/deploys', 'One deploy, a list of them, or a PagerDuty change event', {
    body: z.union([DeployBody, z.array(DeployBody), ChangeEvent]),
  }),
  entry('/api/v1/webhooks/github', "Deploys from GitHub's signed webhook", signed),
  entry('/api/v1/webhooks/gitlab', "Deploys from GitLab's webhook with its secret token", signed),
  entry('/api/v1/webhooks/argocd', 'Deploys from Argo CD notifications'),
  entry('/api/v1/webhooks/cdevents', 'Deploys as CDEvents'),
  entry('/api/v1/webhooks/pagerduty', "Acknowledgements and resolutions from PagerDuty's signed webhook v3", signed),
  entry('/api/v1/slack/interactions', "Buttons pressed in Slack, with Slack's signature", signed),
];
