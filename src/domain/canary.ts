/** Source and tenant of the round-trip canary: its alerts go down the whole road but are told to the log only. */
export const CANARY = 'tocsin-canary';
