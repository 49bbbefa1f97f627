import { DateTime } from 'luxon';
import type { Config } from '../config/schema.ts';
import { type ShownShift, whoIsOnCall } from '../escalate/on-call.ts';

/**
 * `tocsin oncall [--at TIME] [--json]`: who is on call at `at` (epoch ms) and next. Times are shown in each schedule's own
 * zone. Writes to `out` and gives the exit code.
 */
export function runOncall(options: {
  config: Pick<Config, 'routing'>;
  at: number;
  json: boolean;
  out: (text: string) => void;
}): number {
  const report = whoIsOnCall(options.config, options.at);
  options.out(options.json ? `${JSON.stringify(report, null, 2)}\n` : `${asText(report).join('\n')}\n`);
  return 0;
}

function asText({ schedules, teams }: ReturnType<typeof whoIsOnCall>): string[] {
  if (schedules.length === 0) return ['No schedules; add some to schedules in routing.yaml.'];
  const lines = schedules.flatMap(({ name, timeZone, now, next }) => [
    `${name} (${timeZone})`,
    `  now   ${now ? turn(now, timeZone) : 'nobody'}`,
    `  next  ${next ? turn(next, timeZone) : 'nobody'}`,
  ]);
  const teamLines = teams
    .filter(({ now }) => now.length > 0)
    .map(({ name, now, next: after }) => {
      const people = now.map(({ schedule, person }, i) => {
        const then = after[i]?.person ?? 'nobody';
        return `${person ?? 'nobody'}, then ${then} (${schedule})`;
      });
      return `  ${name}: ${people.join(', ')}`;
    });
  return teamLines.length > 0 ? [...lines, 'teams', ...teamLines] : lines;
}

function turn({ person, since, until, override }: ShownShift, timeZone: string): string {
  const wall = (time: string): string =>
    DateTime.fromISO(time, { zone: timeZone, locale: 'en' }).toFormat('ccc yyyy-MM-dd HH:mm');
  return `${person}, ${wall(since)} to ${wall(until)}${override ? ' (override)' : ''}`;
}
