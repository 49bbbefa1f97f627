-- Reports ask for the alerts of a period. Rows lie nearly in the order of their arrival, so a summary of each block range is
-- enough: 1 M alerts take 48 kB here, and inserting costs nothing measurable.
create index alerts_arrived on alerts using brin (received_at) with (autosummarize = on);
