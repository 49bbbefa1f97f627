-- A digest of what was held back is a notification of no incident: it goes through the outbox like any other.
alter table notifications drop constraint notifications_kind_check;
alter table notifications add constraint notifications_kind_check
  check (kind in ('open', 'update', 'escalate', 'acknowledge', 'resolve', 'thread', 'digest'));
