import type { Config } from '../../config/schema.ts';
import type { Alert } from '../../domain/alert.ts';
import { type Client, type ClientDeps, createClient, type PrometheusServer } from './client.ts';

export type ServersDeps = Omit<ClientDeps, 'server'>;

/** The configured Prometheus servers, one client each, made anew when a reload changes their entry. */
export type Servers = {
  all(): Client[];
  /** The one that knows an alert, or null. */
  of(alert: Pick<Alert, 'labels' | 'generatorUrl'>): Client | null;
};

export function createServers(deps: ServersDeps): Servers {
  const clients = new Map<string, { made: PrometheusServer; from: Config; client: Client }>();

  function client(server: PrometheusServer, from: Config): Client {
    const known = clients.get(server.name);
    if (known && (known.from === from || JSON.stringify(known.made) === JSON.stringify(server))) {
      known.from = from;
      return known.client;
    }
    const made = createClient({ ...deps, server });
    clients.set(server.name, { made: server, from, client: made });
    return made;
  }

  const all = (): Client[] => {
    const config = deps.config();
    return config.tocsin.prometheus.map((server) => client(server, config));
  };
  return {
    all,
    of(alert) {
      const server = pickServer(deps.config().tocsin.prometheus, alert);
      return server ? client(server, deps.config()) : null;
    },
  };
}

/**
 * Which server to ask about an alert: one whose `match` the alert's labels fulfil (the most labels first), else one at the
 * origin of its generatorURL, else one without `match`, which serves every alert. The generatorURL only chooses among
 * configured servers: nothing is ever fetched from an address that an alert names.
 */
export function pickServer(
  servers: readonly PrometheusServer[],
  { labels, generatorUrl }: Pick<Alert, 'labels' | 'generatorUrl'>,
): PrometheusServer | null {
  const from = generatorUrl !== null && URL.canParse(generatorUrl) ? new URL(generatorUrl) : null;
  /** 0: another origin; else the length of the path that both share, plus 1. */
  const nearness = ({ url }: PrometheusServer): number => {
    const own = new URL(url);
    if (from === null || own.origin !== from.origin) return 0;
    const path = own.pathname.replace(/\/+$/, '');
    return path === '' || from.pathname === path || from.pathname.startsWith(`${path}/`) ? path.length + 1 : 1;
  };
  const ranked = servers
    .map((server, i) => {
      const match = Object.entries(server.match ?? {});
      const fits = match.length > 0 && match.every(([name, value]) => labels[name] === value);
      const near = nearness(server);
      const usable = fits || near > 0 || match.length === 0;
      return { server, i, usable, fits: fits ? match.length : 0, near };
    })
    .filter(({ usable }) => usable)
    .sort((a, b) => b.fits - a.fits || b.near - a.near || a.i - b.i);
  return ranked[0]?.server ?? null;
}

/** The expression in a generatorURL of Prometheus (`g0.expr`), or null; vmalert, Grafana and others use other forms. */
export function expressionOf(generatorUrl: string | null): string | null {
  if (generatorUrl === null || !URL.canParse(generatorUrl)) return null;
  return new URL(generatorUrl).searchParams.get('g0.expr') || null;
}
