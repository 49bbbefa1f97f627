import type { Config } from '../config/schema.ts';
import type { Db } from './read.ts';

/** Keeps the tree under its hash; the secrets' values stay where they are. `now` is epoch ms. */
export async function saveConfig(db: Db, config: Config, now: number): Promise<void> {
  const { secrets: _, dir: __, warnings: ___, ...tree } = config;
  await db.query('insert into configs (hash, first_at, tree) values ($1, $2, $3) on conflict (hash) do nothing', [
    config.hash,
    new Date(now).toISOString(),
    JSON.stringify(tree),
  ]);
}

/**
 * The tree that decisions with this hash were made under, without any secret's value; null when it was never kept (a store of
 * an earlier release) or this release can no longer read it.
 */
export async function readConfig(db: Db, hash: string): Promise<Config | null> {
  const { rows } = await db.query<{ tree: Omit<Config, 'secrets' | 'dir' | 'warnings'> }>(
    'select tree from configs where hash = $1',
    [hash],
  );
  return rows[0] ? { ...rows[0].tree, secrets: {}, dir: '', warnings: [] } : null;
}
