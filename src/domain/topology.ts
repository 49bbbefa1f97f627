import { z } from 'zod';

/** The call graph file of `--topology` and the shape of `GET /api/v1/topology`. Edges point from caller to callee. */
export const Topology = z.object({
  nodes: z.array(z.looseObject({ namespace: z.string().nullish(), service: z.string() })).default([]),
  edges: z
    .array(z.looseObject({ namespace: z.string().nullish(), caller: z.string(), callee: z.string() }))
    .default([]),
});
export type Topology = z.infer<typeof Topology>;
