import { z } from 'zod';

/** One line of a recorded stream (contract section 5). */
export const StreamLine = z
  .object({
    at: z.iso.datetime({ offset: true }),
    kind: z.enum(['alertmanager', 'deploy', 'action']),
    body: z.unknown().optional(),
    incident: z.union([z.string(), z.object({ fingerprint: z.string(), source: z.string().optional() })]).optional(),
    do: z.string().optional(),
    by: z.string().optional(),
  })
  .loose();
export type StreamLine = z.infer<typeof StreamLine>;
