import type pg from 'pg';
import type { ClusterContainment } from '../domain/containment.ts';
import type { LearnedEdge } from '../enrich/topology/edges.ts';

const EDGES = 'learned_topology';
const CONTAINMENT = 'learned_containment';
type Db = Pick<pg.Pool, 'query'>;

/** The calls learned from metrics, as kept last; none before the first look. */
export async function readLearnedEdges(pool: Db): Promise<LearnedEdge[]> {
  return (await read<{ edges?: LearnedEdge[] }>(pool, EDGES))?.edges ?? [];
}

/** Replaces them whole: one writer, the shard's owner, once every few minutes. */
export const saveLearnedEdges = (pool: Db, edges: readonly LearnedEdge[]): Promise<void> =>
  save(pool, EDGES, { edges });

/** What runs where, by server, as kept last. */
export async function readContainment(pool: Db): Promise<ClusterContainment[]> {
  return (await read<{ clusters?: ClusterContainment[] }>(pool, CONTAINMENT))?.clusters ?? [];
}

/** Replaces it whole, by the same one writer. */
export const saveContainment = (pool: Db, clusters: readonly ClusterContainment[]): Promise<void> =>
  save(pool, CONTAINMENT, { clusters });

async function read<T>(pool: Db, key: string): Promise<T | undefined> {
  const { rows } = await pool.query<{ value: T }>('select value from settings where key = $1', [key]);
  return rows[0]?.value;
}

async function save(pool: Db, key: string, value: object): Promise<void> {
  await pool.query(
    'insert into settings (key, value) values ($1, $2) on conflict (key) do update set value = excluded.value',
    [key, JSON.stringify(value)],
  );
}
