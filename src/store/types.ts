import type { Alert } from '../domain/alert.ts';
import type { Deploy } from '../domain/deploy.ts';
import type { HeartbeatRecord, IncidentRecord, LinkRecord, MemoryRecord, SilenceRecord } from '../domain/effects.ts';
import type { KillSwitch } from '../domain/kill-switch.ts';
import type { Ledger } from '../domain/ledger.ts';

/** What waits in the inbox, in the order it was accepted. `body` is what was sent, byte for byte. */
export type InboxItem = {
  id: string;
  kind: 'alertmanager' | 'alerts' | 'deploy' | 'action' | 'poll';
  source: string;
  receivedAt: number;
  trace: string;
  body: Buffer;
};

export type NewInboxItem = Omit<InboxItem, 'id'>;

/** Everything the engine needs to stand where it stood before the kill. */
export type Restored = {
  /** Episodes that fire, and those that started or ended within the look-back, oldest arrival first. */
  alerts: Alert[];
  /** Not resolved, or resolved within the look-back. */
  incidents: IncidentRecord[];
  memory: MemoryRecord[];
  links: LinkRecord[];
  silences: SilenceRecord[];
  heartbeats: HeartbeatRecord[];
  /** Every alertname ever seen: what is not in here is a first. */
  rules: string[];
  deploys: Deploy[];
  ledger: Ledger;
  nextNumber: number;
  killSwitch: KillSwitch;
};

/** What the store needs of a logger; pino's fits. Fields first, then a sentence. */
export type Log = {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
};
