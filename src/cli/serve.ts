import { createApp } from '../app.ts';
import type { Environment } from '../config/env.ts';
import { createLog } from '../telemetry/log.ts';

/**
 * `tocsin serve`: runs until SIGTERM or SIGINT, then drains; SIGHUP reloads the config, SIGUSR2 turns the kill switch on.
 * Gives the exit code.
 */
export async function runServe({
  environment,
  version,
}: {
  environment: Environment;
  version: string;
}): Promise<number> {
  const log = createLog({ level: environment.logLevel });
  // A start may wait a minute for its database: the signal must not end the process by then, and must not be forgotten.
  let early = false;
  const remember = () => {
    early = true;
  };
  process.on('SIGUSR2', remember);
  const app = await createApp(environment, { log, version });
  process.on('SIGHUP', () => app.reload());
  process.on('SIGUSR2', () => app.passThrough());
  process.off('SIGUSR2', remember);
  if (early) app.passThrough();
  const signal = await new Promise<string>((resolve) => {
    for (const name of ['SIGTERM', 'SIGINT'] as const) process.once(name, () => resolve(name));
  });
  log.info({ signal }, 'stopping: finishing what is in hand');
  await app.stop();
  log.info({}, 'stopped');
  // Whatever still holds the event loop (a hung call that outlived its grace) must not hold the exit.
  setTimeout(() => process.exit(0), 200).unref();
  return 0;
}
