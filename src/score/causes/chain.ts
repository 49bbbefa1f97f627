import type { CausesInput } from '../causes.ts';
import type { Candidate } from './signals.ts';

/** Longer chains are cut: nobody reads them. */
const longest = 8;
/** Services looked at on the way up, and callers of each: a hub has no more to tell than its first callers. */
const mostServices = 256;
const mostCallers = 64;

/**
 * From the root to the symptom: up the callers, through services of the incident where there are any, to the alerting
 * service that is farthest from the root (what users see). Only the root, when nobody above it alerts.
 */
export function causalChain(candidate: Candidate, input: CausesInput): string[] {
  const alerting = new Set<string>();
  for (const a of input.alerts) if (a.service !== null) alerting.add(a.service);
  const cameFrom = new Map<string, string | null>([[candidate.service, null]]);
  let symptom = candidate.service;
  for (const service of cameFrom.keys()) {
    if (cameFrom.size > mostServices) break;
    const callers = input.graph.callers(service, candidate.namespace).slice(0, mostCallers);
    // Alerting callers first: of two equally short ways the one that shows the trouble is the likelier.
    for (const pass of [true, false]) {
      for (const caller of callers) {
        if (alerting.has(caller) !== pass || cameFrom.has(caller)) continue;
        cameFrom.set(caller, service);
        if (pass) symptom = caller;
      }
    }
  }
  const chain: string[] = [];
  for (let at: string | null = symptom; at !== null; at = cameFrom.get(at) ?? null) chain.unshift(at);
  if (chain.length <= longest) return chain;
  return [...chain.slice(0, longest - 1), chain.at(-1)!];
}
