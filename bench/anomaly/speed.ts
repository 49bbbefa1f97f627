import { createDetector, scoreSeries } from '../../src/enrich/anomaly/detector.ts';
import { loadAnomalyModel } from '../../src/enrich/anomaly/model.ts';
import { createAnomalyService } from '../../src/enrich/anomaly/service.ts';
import { watchTurns } from '../stall.ts';
import { makeSeries, shapes } from './synthetic.ts';

/**
 * What one series costs: ms to score 1,440 points in this thread and through the service, the longest turn of this
 * thread's event loop meanwhile, and the memory of one detector. `node --expose-gc bench/anomaly/speed.ts`
 */
const model = loadAnomalyModel();
const rounds = 20;
const series = Array.from({ length: rounds }, (_, i) => makeSeries(shapes[i % shapes.length]!, 'spike', i).points);
const print = (text: string): void => void process.stdout.write(`${text}\n`);
const median = (list: number[]): number => [...list].sort((a, b) => a - b)[list.length >> 1]!;

const here = series.map((points) => {
  const cpu = process.cpuUsage();
  const started = performance.now();
  scoreSeries(points, model);
  const { user, system } = process.cpuUsage(cpu);
  return { wall: performance.now() - started, cpu: (user + system) / 1000 };
});
const wall = median(here.map((one) => one.wall)).toFixed(0);
const cpu = median(here.map((one) => one.cpu)).toFixed(0);
print(`in this thread: median ${wall} ms, ${cpu} ms of CPU, per series of 1,440 points`);

const service = createAnomalyService({ size: rounds, model });
const first = performance.now();
await service.score(series[0]!);
print(`through the service: first ${(performance.now() - first).toFixed(0)} ms (starts the thread)`);
const through = performance.now();
const turns = watchTurns();
await Promise.all(series.map((points) => service.score(points)));
const longest = turns.stop().toFixed(1);
print(`  then ${((performance.now() - through) / rounds).toFixed(0)} ms per series, ${rounds} queued`);
print(`  longest turn of this thread meanwhile: ${longest} ms of its CPU`);
await service.stop();

if (globalThis.gc) {
  globalThis.gc();
  const used = (): number => process.memoryUsage().heapUsed + process.memoryUsage().arrayBuffers;
  const before = used();
  const held = series.slice(0, 10).map((points) => {
    const detector = createDetector(model);
    for (const [t, value] of points) detector.push(t, value);
    return detector;
  });
  globalThis.gc();
  print(`memory of one detector after 1,440 points: ${((used() - before) / held.length / 1e6).toFixed(2)} MB`);
  print(`its snapshot: ${(JSON.stringify(held[0]!.snapshot()).length / 1e6).toFixed(2)} MB of JSON`);
} else print('memory: run with --expose-gc');
