import { z } from 'zod';

/** Alert state changes since the store was made; `received` always equals the sum of the others. */
export const Ledger = z.object({
  received: z.number().int(),
  notified: z.number().int(),
  grouped: z.number().int(),
  suppressed: z.number().int(),
  failed: z.number().int(),
  inFlight: z.number().int(),
  quarantined: z.number().int(),
});
export type Ledger = z.infer<typeof Ledger>;

/** How far `received` is from the sum of the others; 0 while it balances. */
export const imbalanceOf = ({ received, ...others }: Ledger): number =>
  received - Object.values(others).reduce((sum, count) => sum + count, 0);

export const emptyLedger = (): Ledger => ({
  received: 0,
  notified: 0,
  grouped: 0,
  suppressed: 0,
  failed: 0,
  inFlight: 0,
  quarantined: 0,
});
