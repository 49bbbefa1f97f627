import { randomBytes } from 'node:crypto';
import { insteadOf } from '../config/fault.ts';
import { Role } from '../config/schema.ts';

/**
 * `tocsin token create [--name NAME] [--role ROLE] [--json]`: a new random token (256 bits, from the operating system), the
 * config line that lets it in, and where to put the secret. Nothing is stored: the token is shown this once. Gives the exit
 * code; 2 for a name or role that the config would refuse.
 */
export function runTokenCreate(options: {
  name: string;
  role: string;
  json: boolean;
  out: (text: string) => void;
  err: (text: string) => void;
}): number {
  const { name, json, out, err } = options;
  const role = Role.safeParse(options.role);
  if (!role.success) {
    err(`There is no role "${options.role}". ${insteadOf(options.role, Role.options, 'role')}\n`);
    return 2;
  }
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/.test(name)) {
    err(`"${name}" cannot be a token's name. Write letters, digits, dot, dash and underscore, at most 64.\n`);
    return 2;
  }
  // A prefix lets secret scanners and people see what it is, and where it belongs.
  const token = `tocsin_${randomBytes(32).toString('base64url')}`;
  const variable = `TOCSIN_TOKEN_${name.toUpperCase().replace(/[^A-Z0-9]/g, '_')}`;
  const line = `- { name: ${JSON.stringify(name)}, role: ${role.data}, token: { env: ${variable} } }`;
  if (json) {
    out(`${JSON.stringify({ token, name, role: role.data, variable, line }, null, 2)}\n`);
    return 0;
  }
  out(`${token}\n\n`);
  out('It is shown this once. In tocsin.yaml, under server.tokens, write:\n\n');
  out(`    ${line}\n\n`);
  out(`and give Tocsin the secret as the variable ${variable} before it starts (or write token: { file: PATH }\n`);
  out('and put it in that file, readable by Tocsin alone).\n');
  if (role.data === 'webhook') {
    out(`Alertmanager sends it with http_config: { authorization: { credentials_file: PATH } }; its alerts are then\n`);
    out(`known by the source "${name}".\n`);
  }
  return 0;
}
