import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { lookNames } from './looks.ts';

const count = z.int().positive();

/** `models/anomaly.json`; how each number was chosen is in `models/anomaly.card.md`. Windows are in points. */
const AnomalyModel = z.strictObject({
  kind: z.literal('anomaly'),
  version: z.string(),
  /** Rolling past that every judgement rests on. */
  history: count,
  /** Past points below which nothing is judged. */
  minPoints: count,
  /** Share of the largest past values that the tail is fitted to, 0..1. */
  tailShare: z.number().gt(0).lt(0.5),
  /** Evidence (−log₁₀ p) at which the score is 0.5: from there on it is an anomaly. */
  threshold: z.number().positive(),
  /** Points over which an announced anomaly hides weaker ones, fading out in a straight line. */
  quietPoints: count,
  /** Points after an announcement in which the event is still taken to unfold. */
  settlePoints: count,
  /** Looks that count. */
  looks: z.array(z.enum([...lookNames, 'forest'])).min(1),
  forest: z.strictObject({
    trees: count,
    sample: count,
    /** Points between refits, and rows before the first. */
    refitEvery: count,
    minRows: count,
    seed: z.int(),
  }),
  /** Half width of the expected range in robust sigmas. */
  rangeSigmas: z.number().positive(),
});
export type AnomalyModel = z.infer<typeof AnomalyModel>;

/** Reads the model that ships with the product, or `file`; throws naming the file and what to do about it. */
export function loadAnomalyModel(
  file = join(import.meta.dirname, '..', '..', '..', 'models', 'anomaly.json'),
): AnomalyModel {
  try {
    return AnomalyModel.parse(JSON.parse(readFileSync(file, 'utf8')));
  } catch (cause) {
    throw new Error(`Cannot use the anomaly model ${file}. Restore the shipped file.`, { cause });
  }
}
