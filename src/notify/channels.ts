import type { Config } from '../config/schema.ts';
import { secret } from '../config/secrets.ts';
import type { ChannelKind } from '../domain/notification.ts';
import type { Outbound } from '../telemetry/outbound.ts';
import type { Channel } from './channel.ts';
import { emailChannel } from './email.ts';
import { shouldHavePagedUrl } from './feedback-url.ts';
import { logChannel } from './log-channel.ts';
import { pagerDutyChannel } from './pagerduty.ts';
import { altOf, chartDataOf } from './picture/chart-data.ts';
import type { Painter } from './picture/painter.ts';
import { pictureUrl } from './picture/signed-url.ts';
import { slackChannel } from './slack.ts';
import { webhookChannel } from './webhook.ts';

/** The transports that a config tree gives; a kind that is not configured, or whose secret is unset, is absent. */
export type Channels = Partial<Record<ChannelKind, Channel>> & { log: Channel };

/** Makes the channels of one config tree; made anew on reload, the old ones closed by `closeChannels`. */
export function createChannels(
  config: Config,
  deps: {
    outbound: Outbound;
    log: { info(fields: object, message: string): void };
    painter: Painter;
    /** Signs the addresses under which PagerDuty fetches pictures and readers of a digest answer. */
    pictureKey: Buffer;
  },
): Channels {
  const { slack, pagerduty, email, webhook } = config.tocsin.channels;
  const { public_url: publicUrl } = config.tocsin.server;
  const { outbound, painter, pictureKey } = deps;
  const channels: Channels = { log: logChannel(deps.log) };

  const token = secret(config, slack?.token);
  if (slack && token) {
    const interactive = secret(config, slack.signing_secret) !== null;
    channels.slack = slackChannel({ token, apiUrl: slack.api_url, interactive, outbound });
  }
  if (pagerduty) {
    channels.pagerduty = pagerDutyChannel({
      eventsUrl: pagerduty.events_url,
      keyOf: keysOf(config),
      outbound,
      pictureOf: (incident, at) => {
        const data = publicUrl ? chartDataOf(incident) : null;
        return data && publicUrl ? { src: pictureUrl(publicUrl, pictureKey, incident.id, at), alt: altOf(data) } : null;
      },
    });
  }
  const smtpUrl = secret(config, email?.smtp_url);
  if (email && smtpUrl) {
    channels.email = emailChannel({
      smtpUrl,
      from: email.from,
      ...(publicUrl ? { feedbackUrlOf: (id, to, at) => shouldHavePagedUrl(publicUrl, pictureKey, id, to, at) } : {}),
      pictureOf: async (incident) => {
        const data = chartDataOf(incident);
        const png = data && (await painter.paint(data));
        return data && png ? { png, alt: altOf(data) } : null;
      },
    });
  }
  if (webhook) {
    channels.webhook = webhookChannel({
      outbound,
      targetOf: (name) => {
        const target = Object.hasOwn(webhook.targets, name) ? webhook.targets[name] : undefined;
        if (!target) return null;
        const key = secret(config, target.secret);
        // A secret that is named but unset turns the target off: an unsigned call would be refused or, worse, believed.
        return target.secret && key === null ? null : { url: target.url, secret: key };
      },
    });
  }
  return channels;
}

/** PagerDuty's routing keys by address: `team/<name>` and `person/<name>`. */
const keysOf =
  (config: Config) =>
  (address: string): string | null => {
    const [kind, ...rest] = address.split('/');
    const owners = kind === 'team' ? config.routing.teams : kind === 'person' ? config.routing.people : {};
    const name = rest.join('/');
    return Object.hasOwn(owners, name) ? secret(config, owners[name]?.pagerduty) : null;
  };

export async function closeChannels(channels: Channels): Promise<void> {
  await Promise.all(Object.values(channels).map((channel) => channel.close?.()));
}
