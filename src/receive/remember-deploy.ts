import * as life from '../correlate/life.ts';
import type { Deploy } from '../domain/deploy.ts';
import type { World } from '../domain/world.ts';
import { dedupe } from './deploys/dedupe.ts';

/** How long the engine itself remembers deploys: root cause ranking looks at the last hour, duplicates come within six. */
const REMEMBERED_MS = 24 * 60 * 60_000;
/** A flood of change events must not grow the memory without bound. */
const MOST = 5_000;

/** Takes a deploy in: merged with the reports of the same change, kept for a day, and open incidents are judged anew with it. */
export function rememberDeploy(world: World, incoming: Deploy, now: number): void {
  const recent = world.deploys.filter((d) => now - d.startedAt < REMEMBERED_MS && d.startedAt - now < REMEMBERED_MS);
  const deploy = dedupe(recent, incoming);
  world.deploys = [...recent.filter((d) => d.id !== deploy.id), deploy]
    .sort((a, b) => a.startedAt - b.startedAt)
    .slice(-MOST);
  world.out.deploys.push(deploy);
  for (const incident of world.incidents.values()) {
    const { state } = incident;
    if (state.status !== 'resolved' && Math.abs(state.startedAt - deploy.startedAt) < 3_600_000)
      life.touch(world, incident, now);
  }
}
