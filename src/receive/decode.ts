import type { Config } from '../config/schema.ts';
import { type Action, actionNames } from '../domain/action.ts';
import type { QuarantineRecord } from '../domain/effects.ts';
import type { Input } from '../pipeline.ts';
import type { InboxItem } from '../store/types.ts';
import { parseDeploys } from './deploys/parse.ts';
import { type DeploySender, decodeEnvelope } from './envelope.ts';
import { type ParseContext, parseAlertsApi, parseWebhook } from './parse.ts';
import { parsePoll } from './poll.ts';

const QUARANTINED_CHARS = 65_536;
const deeds = new Set<string>([...actionNames, 'unacknowledge', 'declare', 'kill-switch']);

/**
 * What an inbox item says, as an input of the engine. The door parsed it once before, so failures here are rare (a config
 * that changed in between, a body put in by hand); they go to quarantine like any other and never stop the line.
 */
export function decode(item: InboxItem, config: Config): Input {
  const { tocsin, business } = config;
  const context: ParseContext = {
    receivedAt: item.receivedAt,
    source: item.source,
    severityMap: tocsin.severity_map,
    labelNames: tocsin.labels,
  };
  const unusable = (reason: string): Input => ({ kind: 'unusable', quarantined: quarantined(item, reason) });
  const withDelivery = (records: QuarantineRecord[]) => records.map((record) => ({ ...record, deliveryId: item.id }));
  try {
    switch (item.kind) {
      case 'alertmanager':
      case 'alerts': {
        const parsed = item.kind === 'alerts' ? parseAlertsApi(item.body, context) : parseWebhook(item.body, context);
        if (!parsed.ok) return unusable(parsed.reason);
        const sighting = { source: item.source, deliveryId: item.id, trace: item.trace, seen: parsed.alerts };
        return { kind: 'alerts', sighting, quarantined: withDelivery(parsed.quarantined) };
      }
      case 'poll': {
        const poll = parsePoll(item.body, context);
        return poll.ok ? { kind: 'poll', poll, deliveryId: item.id, trace: item.trace } : unusable(poll.reason);
      }
      case 'deploy': {
        const { sender, headers, body } = decodeEnvelope(item.body);
        return deploysOf(item, sender, JSON.parse(body), headers, Object.keys(business.services));
      }
      case 'action': {
        const action = JSON.parse(item.body.toString('utf8')) as Action;
        return deeds.has(action.do) && typeof action.id === 'string'
          ? { kind: 'action', action }
          : unusable('the item is no action');
      }
    }
  } catch (error) {
    return unusable(error instanceof Error ? error.message : String(error));
  }
}

/** The deploys of one body; what could not be used of it is quarantined with its place. */
export function deploysOf(
  item: Pick<InboxItem, 'id' | 'source' | 'receivedAt' | 'body'>,
  sender: DeploySender,
  body: unknown,
  headers: Record<string, string>,
  services: string[],
): Input & { kind: 'deploys' } {
  const parsed = parseDeploys(sender, body, item.receivedAt, { headers, services });
  const faults = parsed.faults.map((fault) => ({ ...quarantined(item, fault.reason), place: fault.place }));
  return { kind: 'deploys', deploys: parsed.deploys, quarantined: faults };
}

function quarantined(item: Pick<InboxItem, 'id' | 'source' | 'receivedAt' | 'body'>, reason: string): QuarantineRecord {
  const raw = item.body.toString('utf8').slice(0, QUARANTINED_CHARS);
  return { at: item.receivedAt, source: item.source, deliveryId: item.id, place: 'body', reason, raw };
}
