/** One line of an incident's history. `at` is epoch ms inside, RFC 3339 at the edge. */
export type TimelineEntry = {
  incidentId: string;
  at: number;
  kind:
    | 'opened'
    | 'alert-joined'
    | 'alert-resolved'
    | 'severity-raised'
    | 'acknowledged'
    | 'unacknowledged'
    | 'ack-timeout'
    | 'escalated'
    | 'escalation-skipped'
    | 'resolved'
    | 'reopened'
    | 'snoozed'
    | 'unsnoozed'
    | 'silenced'
    | 'assigned'
    | 'merged'
    | 'split'
    | 'split-proposed'
    | 'note'
    | 'feedback'
    | 'deploy'
    | 'suppressed'
    | 'released'
    | 'degraded'
    | 'notified'
    | 'notification-failed';
  text: string;
  by: string | null;
  data: Record<string, unknown>;
};
