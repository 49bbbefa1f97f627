import { describe, expect, it } from 'vitest';
import { loadModels } from '../../src/config/models.ts';
import { considerSplit, splitGroups } from '../../src/correlate/split.ts';
import type { Point } from '../../src/correlate/types.ts';
import type { World } from '../../src/domain/world.ts';
import { tell } from './engine-story.ts';

const model = loadModels().correlation.split;
const never = () => false;

/** Affinities by position on a line: 1 at the same place, 0 ten apart. */
const onALine = (places: number[]) => (i: number, j: number) => Math.max(0, 1 - Math.abs(places[i]! - places[j]!) / 10);

describe('whether points are several stories', () => {
  it('finds two groups with a clear gap between them', () => {
    const found = splitGroups(6, onALine([0, 1, 2, 20, 21, 22]), never, model)!;
    expect(found.groups.map((g) => g.sort())).toEqual([
      [0, 1, 2],
      [3, 4, 5],
    ]);
    expect(found.between).toBe(0);
    expect(found.within).toBeGreaterThan(0.8);
  });

  it('sees one story where everything is close, and where one chain of closeness runs through a loose whole', () => {
    expect(splitGroups(6, onALine([0, 1, 2, 3, 4, 5]), never, model)).toBeNull();
    expect(splitGroups(8, onALine([0, 3, 6, 9, 12, 15, 18, 21]), never, model)).toBeNull();
  });

  it('leaves two groups together that are apart but not clearly', () => {
    expect(splitGroups(6, onALine([0, 1, 2, 7, 8, 9]), never, model)).toBeNull();
  });

  it('does not part what a person put together', () => {
    expect(splitGroups(6, onALine([0, 1, 2, 20, 21, 22]), (i, j) => i + j === 5, model)).toBeNull();
  });

  it('gives a loner to the group it is closest to, and calls no loner a story', () => {
    const found = splitGroups(5, onALine([0, 1, 20, 21, 15]), never, model)!;
    expect(found.groups.find((g) => g.includes(4))).toContain(2);
    expect(splitGroups(4, onALine([0, 1, 2, 30]), never, model)).toBeNull();
  });
});

describe('an incident that turns out to be two', () => {
  /** Two services that alert together, and what the correlator would say of them once it has learned more. */
  function united() {
    const story = tell();
    for (const service of ['payment', 'checkout'])
      for (const name of ['LatencyHigh', 'ErrorsHigh', 'CpuHigh']) story.fire(name, { service });
    const id = story.only().id;
    const world = story.engine.world as World;
    const incident = world.incidents.get(id)!;
    const learned = {
      affinities: (points: readonly Point[]) => (i: number, j: number) =>
        points[i]!.service === points[j]!.service ? 0.9 : 0.1,
    };
    const look = (minutes: number) => {
      story.later(60 * minutes);
      considerSplit(world, incident, learned, model, story.now());
      story.later(0);
      return incident.state.proposedSplit;
    };
    const keyOf = (name: string, service: string) => `default/${story.fingerprintOf(name, { service })}`;
    return { story, world, incident, look, keyOf };
  }

  it('is proposed to be split, with the groups and the reason, once in its history', () => {
    const { story, incident, look, keyOf } = united();
    expect(incident.state.proposedSplit).toBeNull();
    const proposed = look(1)!;
    expect(proposed.groups).toHaveLength(2);
    expect(proposed.groups.find((g) => g.includes(keyOf('CpuHigh', 'payment')))).toHaveLength(3);
    expect(proposed.reason).toMatch(
      /^3 alerts on checkout .* and 3 alerts on payment .* hardly belong together: mean affinity 0.10 across, 0.90 or more within/,
    );
    const at = proposed.at;
    expect(look(1)!.at).toBe(at);
    const told = story.record.timeline.filter((line) => line.kind === 'split-proposed');
    expect(told).toMatchObject([
      { text: expect.stringMatching(/^This looks like 2 incidents/), data: { groups: proposed.groups } },
    ]);
  });

  it('moves nothing by itself; who accepts it with a split ends it', () => {
    const { story, incident, look } = united();
    const groups = look(1)!.groups;
    expect(story.incidents()).toHaveLength(1);
    story.act('split', incident.state.id, 'ana', { alerts: groups[1]!.map((key) => key.split('/')[1]!) });
    expect(story.incidents()).toHaveLength(2);
    expect(look(1)).toBeNull();
  });

  it('is not proposed again once a person has put alerts of both groups together', () => {
    const { world, look, keyOf } = united();
    expect(look(1)).not.toBeNull();
    world.links.must.set(keyOf('CpuHigh', 'payment'), new Set([keyOf('ErrorsHigh', 'checkout')]));
    expect(look(1)).toBeNull();
  });

  it('goes by one alert of each rule and place: thousands of copies are cheap and stay together; of too many it says nothing', () => {
    const { incident, look } = united();
    const member = [...incident.members.values()][0]!;
    const copy = (from: number, to: number): void => {
      for (let i = from; i < to; i += 1)
        incident.members.set(`copy${i}`, { ...member, fingerprint: `copy${i}`, startsAt: member.startsAt + 1 });
    };
    copy(0, 4000);
    const before = process.cpuUsage();
    const { groups } = look(1)!;
    const { user } = process.cpuUsage(before);
    expect(groups.map((g) => g.length).sort((a, b) => a - b)).toEqual([3, 4003]);
    expect(user).toBeLessThan(5_000_000);
    copy(4000, 6000);
    expect(look(1)).toBeNull();
  });
});
