import { describe, expect, it } from 'vitest';
import { loadModels } from '../../src/config/models.ts';
import { createConnectivity } from '../../src/correlate/connectivity.ts';
import { buildGraph } from '../../src/correlate/graph.ts';
import { createReach } from '../../src/score/causes/reach.ts';

const shop = (pairs: [string, string][]) =>
  buildGraph({ edges: pairs.map(([caller, callee]) => ({ namespace: 'shop', caller, callee })) });

describe('the service graph', () => {
  it('answers callers and callees within a namespace, and of all namespaces when none is named', () => {
    const graph = buildGraph({
      edges: [
        { namespace: 'shop', caller: 'web', callee: 'cart' },
        { namespace: 'blog', caller: 'web', callee: 'posts' },
      ],
    });
    expect(graph.callees('web', 'shop')).toEqual(['cart']);
    expect([...graph.callees('web', null)].sort()).toEqual(['cart', 'posts']);
    expect(graph.callers('cart', 'blog')).toEqual([]);
    expect(graph.has('posts', 'shop')).toBe(false);
  });

  it('knows a service of the catalogue, which has no namespace, in every namespace', () => {
    const graph = buildGraph({ edges: [{ caller: 'checkout', callee: 'postgres' }] });
    expect(graph.callees('checkout', 'prod')).toEqual(['postgres']);
    expect(graph.has('postgres', 'anything')).toBe(true);
  });

  it('drops self-loops and repeated edges and walks cycles once', () => {
    const graph = shop([
      ['a', 'a'],
      ['a', 'b'],
      ['a', 'b'],
      ['b', 'c'],
      ['c', 'a'],
    ]);
    expect(graph.edges()).toHaveLength(3);
    expect([...createReach(graph).down('a', 'shop')]).toEqual([
      ['b', 1],
      ['c', 2],
    ]);
  });

  it('takes 100,000 edges around one hub and still answers a neighbourhood from a bounded search', () => {
    const graph = buildGraph({
      edges: Array.from({ length: 100_000 }, (_, i) => ({ namespace: 'n', caller: 'hub', callee: `s${i}` })),
    });
    expect(graph.callees('hub', 'n')).toHaveLength(100_000);
    const { reach } = createConnectivity(graph, loadModels().correlation.connectivity);
    expect(reach('hub', 'n').size).toBeLessThanOrEqual(513);
    expect(reach('s5', 'n').get('hub')).toBe(1);
  });

  it('counts a way through a hub as longer than a way through an ordinary service', () => {
    const leaves = Array.from({ length: 40 }, (_, i): [string, string] => ['hub', `leaf${i}`]);
    const graph = shop([...leaves, ['small', 'x'], ['small', 'y']]);
    const { reach } = createConnectivity(graph, loadModels().correlation.connectivity);
    expect(reach('x', 'shop').get('y')).toBe(2);
    expect(reach('leaf1', 'shop').get('leaf2')).toBe(3);
  });
});
