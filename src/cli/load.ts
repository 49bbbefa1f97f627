import { formatFaults } from '../config/fault.ts';
import { loadConfig } from '../config/load.ts';
import type { Config } from '../config/schema.ts';

/** The config of a command that sends nothing (no secret is missed), or null after its faults were printed (the command then exits with 2). */
export function loadOrExplain(
  dir: string,
  env: Readonly<Record<string, string | undefined>>,
  err: (text: string) => void,
): Config | null {
  const loaded = loadConfig(dir, env, { assumeSecrets: true });
  if (loaded.ok) return loaded.config;
  err(`${formatFaults(loaded.faults)}\n`);
  return null;
}
