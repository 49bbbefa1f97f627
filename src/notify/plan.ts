import type { ChannelKind, NotificationJob, NotificationKind } from '../domain/notification.ts';

/** What planning needs to know of the incident, as it is now. `acknowledgedAt` is epoch ms. */
export type Standing = { status: 'open' | 'acknowledged' | 'resolved'; acknowledgedAt: number | null };

export type Dropped = { id: string; reason: string };

/**
 * What to do now for one incident at one target. `send`: this job, as this kind (the incident may have moved on since the
 * job was made), with this line; `covers` become superseded once it went out. `drop` are superseded whatever happens.
 * Jobs in neither wait for the next plan, made after this one is done.
 */
export type Plan = {
  send: { job: NotificationJob; as: NotificationKind; text: string | null; broadcast: boolean } | null;
  covers: Dropped[];
  drop: Dropped[];
};

/**
 * What each channel makes of each kind; a sentence says why it makes nothing of it, and is recorded with the job.
 *
 * | kind        | slack                        | pagerduty   | email                 | webhook | log  |
 * |-------------|------------------------------|-------------|-----------------------|---------|------|
 * | open        | posts the message            | trigger     | mail                  | POST    | line |
 * | update      | edits it                     | –           | –                     | POST    | –    |
 * | escalate    | edits it, broadcast reply    | trigger     | mail in the thread    | POST    | line |
 * | acknowledge | edits it                     | acknowledge | –                     | POST    | line |
 * | resolve     | edits it for the last time   | resolve     | mail in the thread    | POST    | line |
 * | thread      | reply in the thread          | –           | –                     | –       | line |
 *
 * A second trigger with the same dedup key pages nobody while the first alert is open; it is sent on escalation because
 * the alert may have been closed in PagerDuty by hand.
 */
const leavesOut: Record<ChannelKind, Partial<Record<NotificationKind, string>>> = {
  slack: {},
  pagerduty: {
    update: 'PagerDuty keeps the page as it was triggered',
    thread: 'PagerDuty is told of states, not of each line',
  },
  email: {
    update: 'mail is not edited',
    acknowledge: 'mail is not edited',
    thread: 'mail is not edited',
  },
  webhook: { thread: 'a webhook is told of states, not of each line' },
  log: { update: 'a log line is not edited' },
};

/** Slack cuts nothing below this, and a reader nothing above it: thread lines that piled up become one reply of at most this length. */
const joinedLines = 2500;

const newestFirst = (a: NotificationJob, b: NotificationJob): number =>
  b.createdAt - a.createdAt || (a.id < b.id ? 1 : -1);

/**
 * Newest state wins. Of everything that waits for one incident at one target at most one thing is sent, in the incident's
 * present state: pages before edits, edits before thread lines; what it makes superfluous is superseded. After the resolve
 * nothing says "firing" any more: a target that holds a message gets its last edit, one that never got any gets a single
 * message already resolved, and PagerDuty (which drops a resolve that has no open alert, and must not page for what is
 * over) gets nothing. A page made before the acknowledgement does not go out after it. Pure.
 */
export function planDelivery(
  waiting: readonly NotificationJob[],
  message: { state: 'open' | 'resolved' } | null,
  incident: Standing,
): Plan {
  const drop: Dropped[] = [];
  const jobs: NotificationJob[] = [];
  for (const job of waiting) {
    const reason = leavesOut[job.target.channel][job.kind] ?? staleness(job, incident);
    if (reason) drop.push({ id: job.id, reason });
    else jobs.push(job);
  }
  const states = jobs.filter((job) => job.kind !== 'thread').sort(newestFirst);
  const plan = incident.status === 'resolved' ? planEnd(states, message) : planState(states, message, incident);
  drop.push(...plan.drop);
  if (plan.send) return { ...plan, drop };
  const lines = jobs.filter((job) => job.kind === 'thread');
  if (!message) return { ...nothing, drop: [...drop, ...all(lines, 'there is no message to reply to')] };
  return { ...planLines(lines, incident), drop };
}

/** Why a job has nothing more to say in the incident's present state, or null. */
function staleness(job: NotificationJob, incident: Standing): string | null {
  if (job.kind === 'thread') return null;
  if (incident.status === 'resolved') return null;
  if (job.kind === 'resolve') return 'the incident was reopened';
  const pages = job.kind === 'escalate' || (job.kind === 'open' && job.target.channel === 'pagerduty');
  if (pages && incident.status === 'acknowledged' && job.createdAt <= (incident.acknowledgedAt ?? 0)) {
    return 'somebody acknowledged before it went out';
  }
  return null;
}

const covered = (jobs: readonly NotificationJob[], but: NotificationJob, reason: string): Dropped[] =>
  jobs.filter((job) => job !== but).map((job) => ({ id: job.id, reason }));

const all = (jobs: readonly NotificationJob[], reason: string): Dropped[] =>
  jobs.map((job) => ({ id: job.id, reason }));

const nothing: Plan = { send: null, covers: [], drop: [] };

function planEnd(states: NotificationJob[], message: { state: 'open' | 'resolved' } | null): Plan {
  const job = states.find(({ kind }) => kind === 'resolve') ?? states[0];
  if (!job) return nothing;
  const { channel } = job.target;
  if (message?.state === 'resolved') {
    const edit = states.find(({ kind }) => kind === 'update');
    const rest = all(
      states.filter((state) => state !== edit),
      'it is already shown as resolved',
    );
    return edit
      ? { send: { job: edit, as: 'update', text: null, broadcast: false }, covers: [], drop: rest }
      : { ...nothing, drop: rest };
  }
  if (!message) {
    if (channel === 'pagerduty')
      return { ...nothing, drop: all(states, 'it was over before PagerDuty had heard of it') };
    if (states.every(({ kind }) => kind === 'update' || kind === 'acknowledge')) {
      return { ...nothing, drop: all(states, 'nothing was ever sent there') };
    }
  }
  const covers = covered(states, job, 'the resolved state says it');
  return { send: { job, as: 'resolve', text: null, broadcast: false }, covers, drop: [] };
}

function planState(
  states: NotificationJob[],
  message: { state: 'open' | 'resolved' } | null,
  incident: Standing,
): Plan {
  const page = states.find(({ kind }) => kind === 'escalate') ?? states.find(({ kind }) => kind === 'open');
  if (message?.state !== 'open') {
    if (page) {
      const covers = covered(
        states.filter((job) => saidByMessage(job, incident)),
        page,
        'the first message says it',
      );
      return { send: { job: page, as: 'open', text: page.text, broadcast: page.broadcast }, covers, drop: [] };
    }
    const edit = message
      ? states.find(({ target }) => target.channel === 'slack' || target.channel === 'webhook')
      : null;
    if (!edit) return { ...nothing, drop: all(states, 'nothing is open there to change') };
    return {
      send: { job: edit, as: 'update', text: null, broadcast: false },
      covers: covered(states, edit, 'the newest state says it'),
      drop: [],
    };
  }
  if (page?.kind === 'escalate') {
    const covers = covered(
      states.filter((job) => saidByMessage(job, incident)),
      page,
      'the escalation says it',
    );
    return { send: { job: page, as: 'escalate', text: page.text, broadcast: page.broadcast }, covers, drop: [] };
  }
  const acknowledge = states.find(({ kind }) => kind === 'acknowledge');
  if (acknowledge && incident.status === 'acknowledged') {
    const covers = covered(states, acknowledge, 'the acknowledged state says it');
    return {
      send: { job: acknowledge, as: 'acknowledge', text: acknowledge.text, broadcast: false },
      covers,
      drop: [],
    };
  }
  // What is left (updates, a second open, an acknowledgement that has been taken back) can only change what is shown.
  const edit = states.find((job) => job.broadcast) ?? states[0];
  if (!edit) return nothing;
  if (edit.target.channel !== 'slack' && edit.target.channel !== 'webhook') {
    return { ...nothing, drop: all(states, 'it is already open there') };
  }
  return {
    send: { job: edit, as: 'update', text: null, broadcast: false },
    covers: covered(states, edit, 'the newest state says it'),
    drop: [],
  };
}

/** Only a rendered message says everything at once: PagerDuty must hear of the acknowledgement in an event of its own. */
const saidByMessage = (job: NotificationJob, incident: Standing): boolean =>
  !(job.target.channel === 'pagerduty' && job.kind === 'acknowledge' && incident.status === 'acknowledged');

/** Thread lines that piled up go out as one reply; after the resolve none is shown in the channel. */
function planLines(jobs: NotificationJob[], incident: Standing): Plan {
  const lines = jobs.sort((a, b) => -newestFirst(a, b));
  const last = lines.at(-1);
  if (!last) return nothing;
  const texts = lines.map(({ text }) => text ?? '').filter(Boolean);
  let from = texts.length;
  for (let length = 0; from > 0 && length + texts[from - 1]!.length < joinedLines; from -= 1)
    length += texts[from - 1]!.length + 1;
  const kept = texts.slice(Math.min(from, texts.length - 1));
  const left = texts.length - kept.length;
  const text = [...(left > 0 ? [`(${left} earlier lines left out)`] : []), ...kept].join('\n');
  const broadcast = incident.status !== 'resolved' && lines.some((line) => line.broadcast);
  return {
    send: { job: last, as: 'thread', text, broadcast },
    covers: covered(lines, last, 'said in the same reply'),
    drop: [],
  };
}
