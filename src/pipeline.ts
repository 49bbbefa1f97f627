import { closeHours, hourDue } from './assess/budget.ts';
import type { Judgement } from './assess/conclude.ts';
import { subjectOf } from './assess/speaking.ts';
import { learnFromPeople, restoreVerdicts } from './assess/verdict.ts';
import { assess as judge } from './assess.ts';
import { createCorrelator } from './correlate/correlator.ts';
import * as life from './correlate/life.ts';
import * as people from './correlate/people.ts';
import { place, pointOf, takes } from './correlate/place.ts';
import { considerSplit } from './correlate/split.ts';
import type { ServiceGraph } from './correlate/types.ts';
import type { Action } from './domain/action.ts';
import { type Alert, alertKey, episodeKey } from './domain/alert.ts';
import { type Containment, emptyContainment, serviceByPlace } from './domain/containment.ts';
import type { Deploy } from './domain/deploy.ts';
import { createDueQueue } from './domain/due-queue.ts';
import type { Effects, LinkRecord, QuarantineRecord } from './domain/effects.ts';
import type { Facts } from './domain/facts.ts';
import { emptyEffects, emptyWorld, type LiveIncident, type World } from './domain/world.ts';
import type { Subject } from './enrich/gather.ts';
import { advanceIncident, dueAt, escalateNow } from './escalate/timers.ts';
import { thread } from './notify/announce.ts';
import { checkHeartbeats, heartbeatDue } from './receive/heartbeats.ts';
import type { Poll } from './receive/poll.ts';
import { rememberDeploy } from './receive/remember-deploy.ts';
import { end, type Sighting, takeIn } from './receive/take-in.ts';
import { restoreSilences, takePoll } from './receive/take-poll.ts';
import { applyAction } from './respond/apply.ts';
import { tooManyCriticalsHeld, trip } from './respond/kill-switch.ts';
import type { Rules } from './rules.ts';
import type { Restored } from './store/types.ts';

/**
 * The road of one alert, as one pure reducer: state + input + now → new state + effects. The service commits the effects and
 * rebuilds the state from the store; `replay`, `diff`, `test` and the benchmarks run the same engine with a simulated
 * clock. No I/O, no clock, no randomness in here.
 *
 *   receive    takeIn       what of this delivery is news?            receive/take-in.ts
 *   correlate  place        which incident does it belong to?          correlate/place.ts
 *   enrich     (outside)    gather facts for `requests()`, in time    enrich/gather.ts
 *   assess     judge        cause, impact, decision, route, words     assess.ts
 *   notify     announce     who has to be told what, given the past   notify/announce.ts
 *   escalate   advance      what the clocks ask for                    escalate/timers.ts
 *   respond    applyAction  what people do                             respond/apply.ts
 */
export type Input =
  | { kind: 'alerts'; sighting: Sighting; quarantined: QuarantineRecord[] }
  | { kind: 'deploys'; deploys: Deploy[]; quarantined: QuarantineRecord[] }
  | { kind: 'poll'; poll: Poll; deliveryId: string; trace: string }
  | { kind: 'action'; action: Action }
  | { kind: 'unusable'; quarantined: QuarantineRecord };

/** While a storm runs an incident is judged anew at most this often; what matters at once does not wait. */
const COALESCE_MS = 2_000;
const REMEMBERED_ACTIONS = 10_000;
/** Ended alerts and incidents are kept in memory for so long: Prometheus re-sends a resolve for 15 min. */
export const KEEP_MS = 60 * 60_000;

export type Engine = ReturnType<typeof createEngine>;

export function createEngine(initial: Rules) {
  let rules = initial;
  const world: World = emptyWorld();
  const due = createDueQueue();
  const done = new Set<string>();
  const correlator = createCorrelator({ graph: rules.graph, windowMs: rules.windowMs }, rules.models.correlation);
  world.relevance = correlator.relevance;

  let containment = emptyContainment();

  const timerRules = () => rules.timers();
  const schedule = (alert: Alert) => due.schedule(`a:${alertKey(alert)}`, alertDue(alert));

  function alertDue(alert: Alert): number {
    if (alert.status === 'resolved') return alert.updatedAt + KEEP_MS;
    const stale = alert.lastSeenAt + rules.staleAfterMs;
    return alert.expiresAt === null ? stale : Math.min(stale, alert.expiresAt);
  }

  const takeInRules = () => ({
    ...rules,
    serviceByPlace: (alert: Pick<Alert, 'labels' | 'namespace' | 'service'>) =>
      serviceByPlace(containment, alert, rules.config.tocsin.enrich.topology.containment.exporters),
  });

  function takeSighting(sighting: Sighting, now: number): void {
    for (const fired of takeIn(world, takeInRules(), sighting, now, schedule)) {
      place(world, { correlator, windowMs: rules.windowMs, reopenMs: rules.reopenMs }, fired, now);
    }
  }

  /** Applies one input that came in; `now` is when it is worked on, epoch ms, never running backwards. */
  function apply(input: Input, now: number): void {
    switch (input.kind) {
      case 'alerts':
        quarantine(input.quarantined);
        takeSighting(input.sighting, now);
        break;
      case 'deploys':
        world.out.quarantine.push(...input.quarantined);
        for (const deploy of input.deploys) {
          rememberDeploy(world, deploy, now);
          correlator.deployed(deploy);
        }
        return;
      case 'poll':
        takePoll(world, rules, input, now, { take: (s) => takeSighting(s, now), schedule });
        break;
      case 'action': {
        // The same deed delivered twice (a retry of PagerDuty's, two replicas with one Idempotency-Key) counts once.
        if (done.has(input.action.id)) return;
        done.add(input.action.id);
        if (done.size > REMEMBERED_ACTIONS) done.delete(done.values().next().value!);
        const said = world.out.feedback.length;
        const result = applyAction(world, responses(), input.action, now);
        learnFromPeople(world, world.out.feedback.slice(said), now);
        world.out.actionResults.push({ id: input.action.id, result });
        return;
      }
      case 'unusable':
        quarantine([input.quarantined]);
    }
  }

  function quarantine(records: QuarantineRecord[]): void {
    world.out.quarantine.push(...records);
    world.out.ledger.received += records.length;
    world.out.ledger.quarantined += records.length;
  }

  /** What a person said of a pair: the correlator looks elsewhere at once, and the incidents themselves are held to it. */
  function link(record: LinkRecord): void {
    correlator.link(record);
    people.link(world, record);
  }

  const responses = () => ({
    routing: rules.config.routing,
    escalateNow: (incident: LiveIncident, by: string, now: number) =>
      escalateNow(world, timerRules(), incident, by, now),
    link,
    models: { correlation: rules.models.correlation.version, causes: rules.models.causes.version },
    merged: correlator.merged,
    moved: correlator.moved,
  });

  /** Does what the clocks ask for: steps due, ends of holds and snoozes, alerts that expire, heartbeats that stay away. */
  function advance(now: number): void {
    for (const key of due.take(now)) {
      const id = key.slice(2);
      if (key.startsWith('i:')) {
        const incident = world.incidents.get(id);
        if (incident) wake(incident, now);
      } else if (key.startsWith('a:')) {
        const alert = world.alerts.get(id);
        if (alert) age(alert, now);
      }
    }
    closeHours(world, rules, now);
    checkHeartbeats(world, now, (sighting) => takeSighting(sighting, now));
    correlator.expire(now);
  }

  function wake(incident: LiveIncident, now: number): void {
    const { state } = incident;
    if (state.status === 'resolved') {
      const closes = (state.resolvedAt ?? now) + rules.reopenMs;
      if (now > closes || state.mergedInto) correlator.closed(state.id);
      if (now >= (state.resolvedAt ?? now) + KEEP_MS && state.assessedRevision >= state.revision) {
        if (!state.mergedInto) world.lags.learn(state.tenant, [...incident.members.values()], now);
        world.incidents.delete(state.id);
        return;
      }
    } else {
      advanceIncident(world, timerRules(), incident, now);
    }
    due.schedule(`i:${state.id}`, wakeAt(incident, now));
  }

  function wakeAt(incident: LiveIncident, now: number): number | null {
    const { state } = incident;
    if (state.status !== 'resolved') return dueAt(incident);
    const closes = (state.resolvedAt ?? now) + rules.reopenMs + 1;
    return closes > now ? closes : Math.max(now + 1, (state.resolvedAt ?? now) + KEEP_MS);
  }

  function age(alert: Alert, now: number): void {
    if (alert.status === 'resolved') {
      if (now - alert.updatedAt >= KEEP_MS) world.alerts.delete(alertKey(alert));
      return;
    }
    if (alert.expiresAt !== null && alert.expiresAt <= now) end(world, rules, alert, alert.expiresAt, 'expired', now);
    else if (alert.lastSeenAt + rules.staleAfterMs <= now) end(world, rules, alert, now, 'stale', now);
    schedule(alert);
  }

  /** When an incident that changed is to be judged: at once when it matters, else coalesced. */
  const judgeAt = (incident: LiveIncident): number =>
    incident.urgent || incident.state.assessedAt === null ? 0 : incident.state.assessedAt + COALESCE_MS;

  /** What wants facts now; each is asked for once until `assess` is called with them. */
  function requests(now: number): Subject[] {
    const subjects: Subject[] = [];
    for (const id of world.dirty) {
      const incident = world.incidents.get(id);
      if (!incident) world.dirty.delete(id);
      else if (incident.assessing === null && judgeAt(incident) <= now) {
        incident.assessing = incident.state.revision;
        subjects.push(subjectOf(incident, now));
      }
    }
    return subjects;
  }

  /** Judges an incident with the facts that came in time and plans who is told. Total: a bug inside still pages. */
  function assess(incidentId: string, facts: Facts, now: number): Judgement | null {
    const incident = world.incidents.get(incidentId);
    if (!incident) return null;
    const judgement = judge(world, rules, incident, facts, now);
    try {
      considerSplit(world, incident, correlator, rules.models.correlation.split, now);
    } catch (error) {
      // A proposal is a hint: a bug in it must not keep anyone asleep.
      judgement.doc.degraded.push({ stage: 'split', reason: `no split was looked for (${(error as Error).message})` });
    }
    incident.assessing = null;
    incident.urgent = false;
    incident.echo = null;
    incident.state.assessedRevision = incident.state.revision;
    incident.state.assessedAt = now;
    world.dirty.delete(incidentId);
    world.touched.add(incidentId);
    if (judgement.decided.done === 'suppress' && judgement.doc.severity === 'critical' && !world.killSwitch.on) {
      const why = tooManyCriticalsHeld(world, rules.config.tocsin.kill_switch.criticals, now);
      if (why !== null) trip(world, 'criticals', why, now);
    }
    return judgement;
  }

  /** Facts that came too late are there now: an open incident is judged anew with them. */
  function refresh(incidentId: string, now: number): void {
    const incident = world.incidents.get(incidentId);
    if (incident && incident.state.status !== 'resolved') life.touch(world, incident, now);
  }

  /** The next moment at which `advance` or `requests` has something to do, or null. */
  function nextDue(): number | null {
    const times = [due.next(), hourDue(world), heartbeatDue(world)];
    for (const id of world.dirty) {
      const incident = world.incidents.get(id);
      if (incident && incident.assessing === null) times.push(judgeAt(incident));
    }
    const known = times.filter((t) => t !== null);
    return known.length === 0 ? null : known.reduce((a, b) => Math.min(a, b));
  }

  /** Everything to be committed since the last call, as a snapshot: later steps do not change it. */
  function takeEffects(now: number): Effects {
    thread(world, now);
    const { out } = world;
    for (const { alert, annotations, why, deliveryId } of world.written.values()) {
      out.alerts.push({ alert: { ...alert, annotations: annotations ?? {} }, why, deliveryId });
    }
    for (const id of world.touched) {
      const incident = world.incidents.get(id);
      if (!incident) continue;
      incident.fresh = false;
      const { state } = incident;
      out.incidents.push({
        state: { ...state, told: [...state.told], mergedFrom: [...state.mergedFrom] },
        doc: incident.doc,
      });
      due.schedule(`i:${id}`, wakeAt(incident, now));
    }
    out.memory.push(...correlator.drainMemory(), ...world.habits.drain(), ...world.lags.drain());
    world.out = emptyEffects();
    world.written.clear();
    world.touched.clear();
    return out;
  }

  /** Puts the engine where it stood: `restored` is what the store gave, `now` the clock of the take-over. */
  function restore(restored: Restored, now: number): void {
    world.nextNumber = restored.nextNumber;
    world.killSwitch = restored.killSwitch;
    world.deploys = restored.deploys;
    for (const deploy of restored.deploys) correlator.deployed(deploy);
    world.silences = restored.silences;
    know(restored.rules);
    correlator.loadMemory(restored.memory);
    world.lags.load(restored.memory);
    restored.links.forEach(link);
    for (const record of restored.heartbeats)
      world.heartbeats.set(record.key, { ...record, lastSeenAt: graceful(record, now) });
    for (const { state, doc } of restored.incidents) {
      const incident: LiveIncident = {
        state,
        doc,
        members: new Map(),
        firing: 0,
        pending: [],
        assessing: null,
        fresh: false,
        echo: null,
        urgent: state.assessedRevision < state.revision,
      };
      world.incidents.set(state.id, incident);
      if (incident.urgent) world.dirty.add(state.id);
      due.schedule(`i:${state.id}`, wakeAt(incident, now));
    }
    restoreVerdicts(world, restored.memory);
    restoreSilences(world, restored.memory);
    for (const alert of restored.alerts) {
      const key = alertKey(alert);
      const newest = world.alerts.get(key);
      if (!newest || newest.startsAt <= alert.startsAt) world.alerts.set(key, alert);
      schedule(alert);
      const incident = life.incidentOf(world, alert);
      if (!incident) continue;
      incident.members.set(episodeKey(alert), alert);
      if (alert.status === 'firing') incident.firing += 1;
      if (alert.fireVerdict === null) incident.pending.push({ alert, change: 'fire' });
      if (alert.status === 'resolved' && alert.resolveVerdict === null)
        incident.pending.push({ alert, change: 'resolve' });
      // Members of what may still take alerts, however old and also just resolved: a re-fire finds its way back.
      const recent = now - alert.receivedAt < KEEP_MS && incident.state.status !== 'resolved';
      if (recent || takes(incident, rules, now)) correlator.assigned(pointOf(alert), incident.state.id);
    }
    for (const incident of world.incidents.values())
      if (incident.pending.length > 0) world.dirty.add(incident.state.id);
  }

  /** A new config or graph takes over between two inputs; incidents, alerts and what was learned stay. */
  function reconfigure(next: Rules, now: number): void {
    rules = next;
    correlator.reconfigure({ graph: rules.graph, windowMs: rules.windowMs });
    for (const incident of world.incidents.values())
      if (incident.state.status !== 'resolved') life.touch(world, incident, now);
  }

  /** What runs where from now on: alerts that come later are known by it; what was judged stays as it is. */
  function contain(next: Containment): void {
    containment = next;
  }

  /** These rules fired before anything that is known here: their next firing is no first. */
  function know(names: readonly string[]): void {
    for (const name of names) world.rules.set(name, null);
  }

  return {
    apply,
    know,
    contain,
    advance,
    requests,
    assess,
    refresh,
    nextDue,
    takeEffects,
    restore,
    reconfigure,
    world: world as Readonly<World>,
    graph: (): ServiceGraph => rules.graph,
    /** What the correlator has learned of a rule in one tenant, cluster and namespace; reading it changes nothing. */
    relevance: correlator.relevance,
  };
}

/** After a pause of our own a heartbeat gets 90 s to come again: Alertmanager retries at most 60 s apart. */
const graceful = (record: { lastSeenAt: number; within: number | null }, now: number): number =>
  record.within === null ? record.lastSeenAt : Math.max(record.lastSeenAt, now - record.within + 90_000);
