import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export type HttpCall = { method: string; path: string; headers: IncomingMessage['headers']; body: Buffer };

/** A real HTTP server on a port of the kernel's choosing, loopback only. */
export async function startHttpServer(
  answer: (call: HttpCall, response: ServerResponse) => void | Promise<void>,
): Promise<{ url: string; close(): Promise<void> }> {
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', async () => {
      try {
        await answer(
          {
            method: request.method ?? '',
            path: request.url ?? '/',
            headers: request.headers,
            body: Buffer.concat(chunks),
          },
          response,
        );
      } catch (error) {
        response.writeHead(500).end(`the fake failed: ${String(error)}`);
      }
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

export const json = (
  response: ServerResponse,
  code: number,
  body: unknown,
  headers: Record<string, string> = {},
): void => {
  response.writeHead(code, { 'content-type': 'application/json; charset=utf-8', ...headers }).end(JSON.stringify(body));
};
