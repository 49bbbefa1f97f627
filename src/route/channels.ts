import type { Config, SecretRef } from '../config/schema.ts';
import type { ChannelKind } from '../domain/notification.ts';

/** How a config file names a secret; never its value. */
const refText = (ref: SecretRef): string => ('env' in ref ? `variable ${ref.env}` : `file ${ref.file}`);

/** True when the reference was resolved at start. */
export const isResolved = (config: Config, ref: SecretRef): boolean =>
  Object.hasOwn(config.secrets, JSON.stringify(ref)) && config.secrets[JSON.stringify(ref)] !== '';

/** `webhook:siem` is of kind `webhook`. */
export const kindOf = (channel: string): ChannelKind => channel.split(':', 1)[0] as ChannelKind;

/**
 * Why nothing can be sent through a channel (`slack`, `pagerduty`, `email`, `webhook`, `webhook:TARGET`, `log`), as a
 * sentence that says what to do; null when it works. Only what sending needs counts: without a signing secret Slack still
 * delivers, it just cannot press buttons.
 *
 * `assumeSecrets` takes every reference as set. `replay`, `test` and `diff` use it, so that what they say does not
 * depend on the secrets of the machine they run on.
 */
export function channelOff(config: Config, channel: string, assumeSecrets: boolean): string | null {
  const { slack, pagerduty, email, webhook } = config.tocsin.channels;
  const set = (ref: SecretRef): boolean => assumeSecrets || isResolved(config, ref);
  const kind = kindOf(channel);
  if (kind === 'slack') {
    if (!slack) return 'Slack is not configured: add channels.slack to tocsin.yaml';
    return set(slack.token) ? null : `Slack is off: its token, ${refText(slack.token)}, is not set`;
  }
  if (kind === 'pagerduty')
    return pagerduty ? null : 'PagerDuty is not configured: add channels.pagerduty to tocsin.yaml';
  if (kind === 'email') {
    if (!email) return 'Mail is not configured: add channels.email to tocsin.yaml';
    const url = email.smtp_url;
    return typeof url === 'string' || set(url) ? null : `Mail is off: smtp_url, ${refText(url)}, is not set`;
  }
  if (kind === 'webhook') {
    const name = channel.slice('webhook:'.length);
    if (!webhook) return 'Webhooks are not configured: add channels.webhook to tocsin.yaml';
    if (name === '') return null;
    const target = Object.hasOwn(webhook.targets, name) ? webhook.targets[name] : undefined;
    if (!target) return `Webhook ${name} is not configured: add it to channels.webhook.targets in tocsin.yaml`;
    if (!target.secret || set(target.secret)) return null;
    return `Webhook ${name} is off: its secret, ${refText(target.secret)}, is not set`;
  }
  return null;
}
