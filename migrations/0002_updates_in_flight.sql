-- Updates coalesce into one that still has to be rendered. One in a worker's hands is rendered already: what comes after it
-- must wait for its own turn, or the message stays behind until the next change.
drop index notifications_one_update;
create unique index notifications_one_update on notifications (incident_id, channel, address)
  where state = 'waiting' and kind = 'update' and claimed_by is null;
