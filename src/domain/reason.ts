import { z } from 'zod';

/** Why, once in a word for machines and once in a sentence for people; the same object goes to log, timeline, Slack and API. */
export const Reason = z.object({ code: z.string(), text: z.string() }).catchall(z.unknown());
export type Reason = z.infer<typeof Reason>;

/** A stage that was skipped or late, and why. What is not configured or has no data is not degraded. */
export const Degraded = z.object({ stage: z.string(), reason: z.string() });
export type Degraded = z.infer<typeof Degraded>;
