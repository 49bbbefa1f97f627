import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { parse } from 'yaml';
import { loadConfig } from '../../src/config/load.ts';
import { findProgram } from '../fakes/programs.ts';

const root = join(import.meta.dirname, '../..');
const docker = join(root, 'docker');
const files = readdirSync(docker, { recursive: true, encoding: 'utf8' }).filter((name) => /[.](ya?ml)$/.test(name));
const read = (name: string) => readFileSync(join(docker, name), 'utf8');

type Service = {
  image: string;
  volumes?: string[];
  ports?: string[];
  environment?: Record<string, string>;
  depends_on?: Record<string, { condition: string }>;
};
const compose = parse(read('compose.yaml'), { merge: true }) as {
  services: Record<string, Service>;
  volumes: Record<string, unknown>;
};
const services = Object.entries(compose.services);

/** docker/ with /secrets in a folder of the test's own, each secret written. */
function unpacked(): string {
  const dir = mkdtempSync(join(tmpdir(), 'tocsin-docker-'));
  onTestFinished(() => rmSync(dir, { recursive: true, force: true }));
  cpSync(docker, dir, { recursive: true });
  mkdirSync(join(dir, 'secrets'));
  for (const name of ['webhook', 'viewer', 'admin'])
    writeFileSync(join(dir, 'secrets', name), `secret-of-${name}-0123456789`);
  for (const name of files) writeFileSync(join(dir, name), read(name).replaceAll('/secrets/', `${dir}/secrets/`));
  return dir;
}

function run(program: string, args: string[]): { status: number | null; said: string } {
  const { status, stdout, stderr } = spawnSync(program, args, { encoding: 'utf8' });
  return { status, said: stdout + stderr };
}

describe('the compose file', () => {
  test('mounts only what exists, and names every volume', () => {
    for (const [name, { volumes = [] }] of services) {
      for (const [from = ''] of volumes.map((volume) => volume.split(':'))) {
        if (from.startsWith('.')) expect(existsSync(join(docker, from)), `${name} mounts ${from}`).toBe(true);
        else expect(Object.keys(compose.volumes), name).toContain(from);
      }
    }
  });

  test('is open to this machine only', () => {
    const ports = services.flatMap(([, service]) => service.ports ?? []);
    expect(ports).toHaveLength(3);
    expect(ports.filter((port) => !port.startsWith('127.0.0.1:'))).toEqual([]);
  });

  test('runs releases by their number', () => {
    for (const [name, { image }] of services) expect(image, name).toMatch(/:(local|v?\d+[\w.-]*)$/);
  });

  test('waits only for services that are there', () => {
    const waited = services.flatMap(([, { depends_on = {} }]) => Object.keys(depends_on));
    expect(waited.length).toBeGreaterThan(3);
    for (const name of waited) expect(Object.keys(compose.services)).toContain(name);
  });

  test('makes every secret that any of its files reads', () => {
    const made = new Set(/for name in ([\w ]+); do/.exec(read('compose.yaml'))?.[1]?.split(' '));
    // what a comment proposes is not read
    const uncommented = files.map((name) => read(name).replaceAll(/^\s*#.*$/gm, ''));
    const used = new Set(
      uncommented.flatMap((text) => [...text.matchAll(/\/secrets\/(\w+)/g)].map(([, name]) => name)),
    );
    expect([...used].sort()).toEqual([...made].sort());
    expect(used.size).toBe(4);
  });

  test("hands on every variable that Tocsin's config refers to", () => {
    const asked = ['tocsin.yaml', 'routing.yaml']
      .flatMap((name) => [...read(join('tocsin', name)).matchAll(/env: (\w+)/g)])
      .map(([, name]) => name);
    const given = Object.keys(compose.services.tocsin?.environment ?? {}).filter((name) => !name.startsWith('TOCSIN_'));
    expect(given.sort()).toEqual(asked.sort());
  });

  test('addresses only its own services', () => {
    const text = files.map(read).join('\n');
    const hosts = [...text.matchAll(/(?:https?:\/\/|@|targets: \[")([a-z]+):\d+/g)].map(([, host]) => host as string);
    const known = [...Object.keys(compose.services), 'basket'];
    expect(hosts.length).toBeGreaterThan(6);
    for (const host of hosts) expect(known).toContain(host);
  });
});

test("Tocsin's config in it is without fault", () => {
  const loaded = loadConfig(join(unpacked(), 'tocsin'), {});
  expect(loaded.ok ? [] : loaded.faults).toEqual([]);
});

test('the Dockerfile copies only what .dockerignore lets through, and runs as nobody special', () => {
  const dockerfile = read('Dockerfile');
  const copied = [...dockerfile.matchAll(/^COPY (?!--from)(.+) \S+$/gm)].flatMap(([, names]) =>
    (names as string).split(' '),
  );
  const allowed = readFileSync(join(root, '.dockerignore'), 'utf8')
    .split('\n')
    .filter((line) => line.startsWith('!'))
    .map((line) => line.slice(1));
  expect([...new Set(copied)].sort()).toEqual(allowed.sort());
  for (const name of copied) expect(existsSync(join(root, name)), name).toBe(true);
  expect(dockerfile).toMatch(/^USER tocsin$/m);
});

describe.skipIf(findProgram('promtool') === null)('Prometheus reads it', () => {
  const promtool = findProgram('promtool') ?? '';

  test('config and rules are accepted', () => {
    const dir = unpacked();
    expect(run(promtool, ['check', 'config', join(dir, 'prometheus/prometheus.yml')])).toMatchObject({ status: 0 });
  });

  test('while Tocsin is down, critical alerts take the direct road, each by its name; otherwise none does', () => {
    const dir = unpacked();
    const summary = (name: string) => ({ summary: `${name} fires while Tocsin is down` });
    const labels = { service: 'basket', severity: 'critical', watches: 'tocsin' };
    const story = {
      rule_files: [join(dir, 'prometheus/rules/tocsin.yml')],
      evaluation_interval: '15s',
      tests: [
        {
          interval: '15s',
          input_series: [
            { series: 'up{job="tocsin"}', values: '1x20 0x40' },
            ...['A', 'B'].map((name) => ({
              series: `ALERTS{alertname="${name}", alertstate="firing", severity="critical", service="basket"}`,
              values: '1x80',
            })),
            {
              series: 'ALERTS{alertname="C", alertstate="firing", severity="warning", service="basket"}',
              values: '1x80',
            },
          ],
          alert_rule_test: [
            { eval_time: '4m', alertname: 'CriticalWhileTocsinIsDown', exp_alerts: [] },
            { eval_time: '4m', alertname: 'TocsinDown', exp_alerts: [] },
            {
              eval_time: '8m',
              alertname: 'CriticalWhileTocsinIsDown',
              exp_alerts: ['A', 'B'].map((original) => ({
                exp_labels: { ...labels, original },
                exp_annotations: summary(original),
              })),
            },
          ],
        },
      ],
    };
    writeFileSync(join(dir, 'story.yml'), JSON.stringify(story));
    const { status, said } = run(promtool, ['test', 'rules', join(dir, 'story.yml')]);
    expect(said).toContain('SUCCESS');
    expect(status).toBe(0);
  });

  test('the rules that watch Tocsin ask for metrics that it has', () => {
    const asked = new Set([...read('prometheus/rules/tocsin.yml').matchAll(/\btocsin_\w+/g)].map(([name]) => name));
    const metrics = readFileSync(join(root, 'src/telemetry/metrics.ts'), 'utf8');
    expect(asked.size).toBeGreaterThan(5);
    for (const name of asked) expect(metrics).toContain(`'${name.replace('tocsin_', '')}'`);
  });
});

describe.skipIf(findProgram('amtool') === null)('Alertmanager reads it', () => {
  const amtool = findProgram('amtool') ?? '';
  const config = join(docker, 'alertmanager/alertmanager.yml');

  test('the config is accepted', () => {
    expect(run(amtool, ['check-config', config])).toMatchObject({ status: 0 });
  });

  test.each([
    [['severity=critical', 'service=basket'], 'tocsin'],
    [['alertname=Watchdog'], 'tocsin'],
    [['alertname=TocsinDown', 'watches=tocsin'], 'direct'],
  ])('%j goes to %s', (labels, receiver) => {
    const args = ['config', 'routes', 'test', `--config.file=${config}`, ...labels];
    expect(spawnSync(amtool, args, { encoding: 'utf8' }).stdout.trim()).toBe(receiver);
  });
});
