import type pg from 'pg';
import type { LearnedEdge } from '../enrich/topology/edges.ts';

const KEY = 'learned_topology';

/** The calls learned from metrics, as kept last; none before the first look. */
export async function readLearnedEdges(pool: Pick<pg.Pool, 'query'>): Promise<LearnedEdge[]> {
  const { rows } = await pool.query<{ value: { edges?: LearnedEdge[] } }>('select value from settings where key = $1', [
    KEY,
  ]);
  return rows[0]?.value.edges ?? [];
}

/** Replaces them whole: one writer, the shard's owner, once every few minutes. */
export async function saveLearnedEdges(pool: Pick<pg.Pool, 'query'>, edges: readonly LearnedEdge[]): Promise<void> {
  await pool.query(
    'insert into settings (key, value) values ($1, $2) on conflict (key) do update set value = excluded.value',
    [KEY, JSON.stringify({ edges })],
  );
}
