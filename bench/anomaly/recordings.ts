import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { gunzipSync } from 'node:zlib';

/** File name → [epoch ms, value] per row. */
export type Recordings = Map<string, [number, number][]>;
/** File name → score per row. */
export type Scores = Map<string, number[]>;
export type Figures = {
  files: number;
  standard: number | null;
  lowFP: number | null;
  lowFN: number | null;
  threshold: number | null;
  rocAuc: number | null;
};
type Profile = { tp: number; fn: number; fp: number };
type LabelledFile = { timestamps: string[]; windows: [number, number][]; probation: number };

/** The scorer that is kept with the recordings; it alone reads the labels. */
export type Scorer = {
  PROFILES: Record<'standard' | 'lowFP' | 'lowFN', Profile>;
  loadData(dir: string): Map<string, LabelledFile>;
  evaluate(data: Map<string, LabelledFile>, scores: Scores): Figures;
  nabScore(data: Map<string, LabelledFile>, scores: Scores, profile: Profile): { score: number } | null;
};

/** Scorer, labels and recordings of the folder `<shared>/bench`. */
export async function openBench(shared: string, nab = join(shared, 'bench', 'nab')) {
  const scorer: Scorer = await import(pathToFileURL(resolve(shared, 'bench', 'score-nab.mjs')).href);
  const labels = scorer.loadData(nab);
  const recordings: Recordings = new Map([...labels.keys()].map((name) => [name, readRecording(nab, name)]));
  return { scorer, labels, recordings, reference: readReference(nab, [...labels.keys()]) };
}

function readRecording(nab: string, name: string): [number, number][] {
  const bytes = readEither(join(nab, name));
  return bytes
    .trim()
    .split(/\r?\n/)
    .slice(1)
    .map((line) => {
      const [time = '', value = ''] = line.split(',');
      return [Date.parse(`${time.trim().slice(0, 19).replace(' ', 'T')}Z`), Number(value)];
    });
}

function readEither(path: string): string {
  try {
    return gunzipSync(readFileSync(`${path}.gz`)).toString('utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    return readFileSync(path, 'utf8');
  }
}

/** The published detectors' figures, where the files are the very ones they were computed for. */
function readReference(nab: string, names: string[]): (Figures & { detector: string })[] {
  try {
    const { files, rows } = JSON.parse(readFileSync(join(nab, 'reference.json'), 'utf8'));
    return files.length === names.length && files.every((name: string) => names.includes(name)) ? rows : [];
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    return [];
  }
}
