/** Epoch ms as the API shows it. */
export const rfc = (at: number): string => new Date(at).toISOString();
export const rfcOrNull = (at: number | null): string | null => (at === null ? null : rfc(at));
