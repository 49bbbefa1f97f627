import { z } from 'zod';

/** One change of one service, whoever reported it. Times are epoch ms inside, RFC 3339 at the edge. */
export type Deploy = {
  id: string;
  service: string;
  version: string | null;
  previousVersion: string | null;
  environment: string | null;
  cluster: string | null;
  startedAt: number;
  finishedAt: number | null;
  status: string | null;
  author: string | null;
  commit: string | null;
  url: string | null;
  /** Every source that reported this change: `api`, `pagerduty`, `github`, `gitlab`, `argocd`, `cdevents`, `prometheus:<name>`. */
  sources: string[];
  summary: string | null;
  rollback: boolean;
};

const time = z.iso.datetime({ offset: true });

/** The body of `POST /api/v1/deploys`: loose, because it is what others send. */
export const DeployBody = z.looseObject({
  service: z.string().min(1).max(512),
  version: z.string().max(512).nullish(),
  previousVersion: z.string().max(512).nullish(),
  environment: z.string().max(256).nullish(),
  cluster: z.string().max(256).nullish(),
  startedAt: time,
  finishedAt: time.nullish(),
  status: z.string().max(128).nullish(),
  author: z.string().max(512).nullish(),
  commit: z.string().max(256).nullish(),
  url: z.string().max(2048).nullish(),
});
export type DeployBody = z.infer<typeof DeployBody>;
