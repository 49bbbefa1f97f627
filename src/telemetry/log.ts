import pino, { type DestinationStream, type Logger as PinoLogger } from 'pino';

/** A structured logger: JSON lines, one object per line. `child({ trace })` carries the correlation id along. */
export type Logger = PinoLogger;

export type LogOptions = {
  /** `trace`, `debug`, `info`, `warn`, `error`, `fatal` or `silent`; an unknown word is `info`. */
  level?: string | undefined;
  /** Where lines go; stdout when not given. */
  destination?: DestinationStream | undefined;
};

/** What is secret by its name, wherever it stands in what is logged. */
const SECRET_NAME =
  /^(authorization|proxy-authorization|cookie|set-cookie|x-api-key|api[_-]?key|.*token|.*secret|password|passwd|routing[_-]?key|integration[_-]?key|smtp[_-]?url|database[_-]?url|.*signature)$/i;
const REDACTED = '[redacted]';

/**
 * What is secret by its shape: Slack and GitHub tokens, authorization values, credentials inside URLs, and secret names with
 * a value in JSON or in a form. They run over the finished line, so none may swallow a quote or a backslash of its JSON.
 */
const SECRET_SHAPES: readonly [RegExp, string][] = [
  [/\bxox[a-z]-[A-Za-z0-9-]{8,}/g, REDACTED],
  [/\bgh[pousr]_[A-Za-z0-9]{16,}/g, REDACTED],
  [/\b(bearer|basic)\s+(?=\S*\d)[A-Za-z0-9+/_.=~-]{8,}/gi, `$1 ${REDACTED}`],
  [/\b([a-z][a-z0-9+.-]{1,15}:\/\/)[^\s/@:"\\]*:[^\s/@"\\]*@/gi, `$1${REDACTED}@`],
  [/(\\?"(?:authorization|routing_key|token|secret|password)\\?"\s*:\s*\\?")[^"\\]+/gi, `$1${REDACTED}`],
  [/\b((?:routing_key|token|secret|password)=)[^\s"&,;\\]+/gi, `$1${REDACTED}`],
];

const DEEPEST = 6;

/** A copy of what is logged without what is secret by its name, and small enough for a line. Never throws. */
function redact(value: unknown, depth = 0): unknown {
  if (typeof value !== 'object' || value === null) return typeof value === 'bigint' ? String(value) : value;
  if (depth === DEEPEST) return '[deeper]';
  if (value instanceof Error) return redactError(value, depth);
  if (value instanceof Date) return value;
  if (Buffer.isBuffer(value)) return `[${value.length} bytes]`;
  if (Array.isArray(value)) return value.slice(0, 100).map((member) => redact(member, depth + 1));
  return Object.fromEntries(
    Object.entries(value).map(([name, member]) => [
      name,
      SECRET_NAME.test(name) && member !== null && member !== undefined ? REDACTED : redact(member, depth + 1),
    ]),
  );
}

/** Message, stack and cause only: HTTP clients hang whole requests, with their headers, on what they throw. */
function redactError(error: Error, depth: number): Record<string, unknown> {
  const code = (error as NodeJS.ErrnoException).code;
  return {
    type: error.name,
    message: error.message,
    ...(typeof code === 'string' ? { code } : {}),
    stack: error.stack,
    ...(error.cause === undefined ? {} : { cause: redact(error.cause, depth + 1) }),
  };
}

/**
 * The service's log: pino JSON lines. Secrets are taken out by name and by shape; hostile text cannot forge a line because
 * JSON escapes every control character, and U+2028, U+2029 and the C1 controls that some terminals obey are escaped too.
 */
export function createLog({ level, destination }: LogOptions = {}): Logger {
  const known = level !== undefined && (level === 'silent' || Object.hasOwn(pino.levels.values, level));
  const options: pino.LoggerOptions = {
    level: known ? level : 'info',
    base: { pid: process.pid },
    timestamp: pino.stdTimeFunctions.isoTime,
    messageKey: 'msg',
    // Errors are made plain by `redact`; pino's own serializer would take them apart a second time.
    serializers: { err: (error) => (error instanceof Error ? redactError(error, 0) : error) },
    formatters: {
      level: (label) => ({ level: label }),
      bindings: (bindings) => redact(bindings) as Record<string, unknown>,
      log: (fields) => redact(fields) as Record<string, unknown>,
    },
    hooks: {
      streamWrite: (line) => {
        let safe = line;
        for (const [shape, replacement] of SECRET_SHAPES) safe = safe.replace(shape, replacement);
        return safe.replace(/[\u007f-\u009f\u2028\u2029]/g, escaped);
      },
    },
  };
  return destination ? pino(options, destination) : pino(options);
}

const escaped = (character: string): string => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;
