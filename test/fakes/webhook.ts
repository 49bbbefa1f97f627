import { createHmac, timingSafeEqual } from 'node:crypto';
import { json, startHttpServer } from './http-server.ts';
import { until } from './until.ts';

export type FakeWebhookCall = {
  body: Record<string, unknown>;
  headers: Record<string, string | string[] | undefined>;
  idempotencyKey: string;
  /** Whether the signature is right for the secret; null when the fake was given none. */
  signed: boolean | null;
  /** The same idempotency key came before. */
  repeat: boolean;
};

export type WebhookFault =
  | { do: 'status'; code: number; retryAfterSeconds?: number; body?: string }
  | { do: 'hang' }
  | { do: 'redirect'; to: string };

export type FakeWebhook = Awaited<ReturnType<typeof startFakeWebhook>>;

/** A receiver of our outgoing webhook that checks the signature the way our documentation tells people to. */
export async function startFakeWebhook(options: { secret?: string } = {}) {
  const calls: FakeWebhookCall[] = [];
  const expected = new Set<FakeWebhookCall>();
  const hanging = new Set<() => void>();
  let faults: { fault: WebhookFault; times: number }[] = [];

  const server = await startHttpServer(async (call, response) => {
    const [found] = faults;
    if (found) {
      found.times -= 1;
      if (found.times <= 0) faults = faults.filter((one) => one !== found);
      if (found.fault.do === 'hang') {
        await new Promise<void>((resolve) => hanging.add(resolve));
        response.destroy();
        return;
      }
      if (found.fault.do === 'redirect') return void response.writeHead(307, { location: found.fault.to }).end();
      const headers: Record<string, string> =
        found.fault.retryAfterSeconds === undefined ? {} : { 'retry-after': String(found.fault.retryAfterSeconds) };
      return void response.writeHead(found.fault.code, headers).end(found.fault.body ?? '');
    }
    const idempotencyKey = String(call.headers['idempotency-key'] ?? '');
    calls.push({
      body: JSON.parse(call.body.toString()) as Record<string, unknown>,
      headers: call.headers,
      idempotencyKey,
      signed:
        options.secret === undefined
          ? null
          : isSigned(options.secret, String(call.headers['x-tocsin-signature'] ?? ''), call.body.toString()),
      repeat: calls.some((one) => one.idempotencyKey === idempotencyKey),
    });
    json(response, 200, { ok: true });
  });

  return {
    url: `${server.url}/alert`,
    calls,
    /** Waits for a call of this kind whose body matches and that no earlier expectation has taken. */
    async expect(kind: string, pattern: RegExp = /./, timeoutMs = 10_000): Promise<FakeWebhookCall> {
      const call = await until(
        () =>
          calls.find((one) => !expected.has(one) && one.body.kind === kind && pattern.test(JSON.stringify(one.body))),
        () =>
          `no webhook of kind ${kind} matches ${pattern}. There is: ${calls.map((one) => String(one.body.kind)).join(', ') || 'none'}`,
        timeoutMs,
      );
      expected.add(call);
      return call;
    },
    expectNothingElse(): void {
      const surplus = calls.filter((call) => !expected.has(call) && !call.repeat);
      if (surplus.length)
        throw new Error(`surplus webhooks: ${surplus.map((call) => String(call.body.kind)).join(', ')}`);
    },
    fail(fault: WebhookFault, only: { times?: number } = {}): void {
      faults.push({ fault, times: only.times ?? Number.POSITIVE_INFINITY });
    },
    recover(): void {
      faults = [];
      for (const letGo of hanging) letGo();
      hanging.clear();
    },
    async close(): Promise<void> {
      for (const letGo of hanging) letGo();
      await server.close();
    },
  };
}

function isSigned(secret: string, header: string, body: string): boolean {
  const [, seconds, given] = /^t=(\d+),v1=([0-9a-f]{64})$/.exec(header) ?? [];
  if (!seconds || !given) return false;
  const right = createHmac('sha256', secret).update(`${seconds}.${body}`).digest();
  return timingSafeEqual(Buffer.from(given, 'hex'), right);
}
