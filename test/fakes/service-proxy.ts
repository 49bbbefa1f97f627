import type { AddressInfo } from 'node:net';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { onTestFinished } from 'vitest';

/** A wire that can be cut: a TCP proxy on loopback in front of `target`, on a port of its own. */
export async function startProxy(target: { host: string; port: number }) {
  const sockets = new Set<Socket>();
  let mode: 'through' | 'hang' = 'through';
  let server: Server | null = null;
  let port = 0;

  const accept = (client: Socket): void => {
    sockets.add(client);
    client.on('close', () => sockets.delete(client));
    client.on('error', () => {});
    if (mode === 'hang') return;
    const upstream = connect(target.port, target.host);
    sockets.add(upstream);
    upstream.on('error', () => client.destroy());
    upstream.on('close', () => {
      sockets.delete(upstream);
      client.destroy();
    });
    client.on('close', () => upstream.destroy());
    client.pipe(upstream).pipe(client);
  };
  const listen = (): Promise<void> =>
    new Promise((resolve, reject) => {
      server = createServer(accept);
      server.once('error', reject);
      server.listen(port, '127.0.0.1', () => {
        port = (server!.address() as AddressInfo).port;
        resolve();
      });
    });
  const cutAll = (): void => {
    for (const socket of sockets) socket.destroy();
    sockets.clear();
  };
  const close = (): Promise<void> =>
    new Promise((resolve) => {
      cutAll();
      if (server === null) return resolve();
      server.close(() => resolve());
      server = null;
    });

  await listen();
  onTestFinished(close);
  return {
    host: '127.0.0.1',
    port,
    /** Everything open is cut, and new connections are refused. */
    refuse: close,
    /** Everything open is cut; new connections are taken and never answered. */
    hang(): void {
      mode = 'hang';
      cutAll();
    },
    /** Back to normal. */
    async restore(): Promise<void> {
      mode = 'through';
      cutAll();
      if (server === null) await listen();
    },
  };
}
