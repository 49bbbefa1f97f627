import { readFileSync } from 'node:fs';
import type { ServerResponse } from 'node:http';
import { join } from 'node:path';
import { json, startHttpServer } from './http-server.ts';

export type PromCall = { path: string; params: URLSearchParams; at: number };
/** What is answered to a path; false: not this one, the next handler or 404. */
export type PromHandler = (call: PromCall, response: ServerResponse) => unknown;

export type FakePrometheus = { url: string; calls: PromCall[]; most: () => number; close(): Promise<void> };

/** A Prometheus that answers what a test says, counts every call and how many were open at once. */
export async function startFakePrometheus(handler: PromHandler): Promise<FakePrometheus> {
  const calls: PromCall[] = [];
  let open = 0;
  let most = 0;
  const { url, close } = await startHttpServer(async (request, response) => {
    const address = new URL(request.path, 'http://fake');
    const params = request.method === 'POST' ? new URLSearchParams(request.body.toString()) : address.searchParams;
    const call = { path: address.pathname, params, at: Date.now() };
    calls.push(call);
    open += 1;
    most = Math.max(most, open);
    response.on('close', () => {
      open -= 1;
    });
    if ((await handler(call, response)) === false)
      response.writeHead(404, { 'content-type': 'text/plain' }).end('404 page not found\n');
  });
  return { url, calls, most: () => most, close };
}

export const success = (response: ServerResponse, data: unknown): void =>
  json(response, 200, { status: 'success', data });

/** The documented answers of a server (test/fixtures/prometheus), with their times moved to those asked for. */
export function documented(server: string): PromHandler {
  const file = join(import.meta.dirname, '../fixtures/prometheus', `${server}.json`);
  const answers = JSON.parse(readFileSync(file, 'utf8')) as Record<string, { code: number; body: { data?: unknown } }>;
  return ({ path, params }, response) => {
    const answer = answers[path];
    if (!answer) return false;
    const body = structuredClone(answer.body) as { data: { result?: { value?: unknown[]; values?: unknown[][] }[] } };
    const end = Number(params.get('end') ?? params.get('time') ?? 0);
    for (const series of body.data?.result ?? []) {
      if (series.value) series.value[0] = end;
      const last = Number(series.values?.at(-1)?.[0] ?? 0);
      for (const pair of series.values ?? []) pair[0] = end - last + Number(pair[0]);
    }
    return json(response, answer.code, body);
  };
}
