/** One choice to learn from: the signals of every candidate and which of them was right; `group` is left out together. */
export type Choice = { group: string; weight: number; rows: number[][]; right: number };

/**
 * Conditional logit (McFadden 1974): weights w that make softmax(rows · w) put the right candidate first, by gradient descent
 * with momentum on the mean negative log likelihood + Σ ridge · (w − start)². Deterministic.
 */
export function fitChoices(
  choices: readonly Choice[],
  start: readonly number[],
  ridge: readonly number[],
  steps = 250,
): number[] {
  const w = [...start];
  const velocity = w.map(() => 0);
  const total = choices.reduce((sum, c) => sum + c.weight, 0) || 1;
  for (let step = 0; step < steps; step += 1) {
    const gradient = w.map((x, k) => 2 * ridge[k]! * (x - start[k]!));
    for (const { rows, right, weight } of choices) {
      const scores = rows.map((row) => dot(row, w));
      const best = scores.reduce((a, b) => Math.max(a, b), -Infinity);
      const exps = scores.map((s) => Math.exp(s - best));
      const sum = exps.reduce((a, b) => a + b, 0);
      for (let i = 0; i < rows.length; i += 1) {
        const residual = ((exps[i]! / sum - (i === right ? 1 : 0)) * weight) / total;
        if (Math.abs(residual) < 1e-9) continue;
        const row = rows[i]!;
        for (let k = 0; k < w.length; k += 1) gradient[k]! += residual * row[k]!;
      }
    }
    for (let k = 0; k < w.length; k += 1) {
      velocity[k] = 0.9 * velocity[k]! - 0.3 * gradient[k]!;
      w[k]! += velocity[k]!;
    }
  }
  return w;
}

export const dot = (a: readonly number[], b: readonly number[]): number => {
  let sum = 0;
  for (let i = 0; i < a.length; i += 1) sum += a[i]! * b[i]!;
  return sum;
};

/** One prediction to calibrate on: the log odds of its share, and whether it was right. */
export type Prediction = { group: string; weight: number; logit: number; right: boolean };

/** Platt scaling (Platt 1999): a, b of σ(a·x + b), with a weak prior that the shares are right as they are. */
export function fitPlatt(predictions: readonly Prediction[]): { a: number; b: number } {
  let a = 1;
  let b = 0;
  const total = predictions.reduce((sum, p) => sum + p.weight, 0) || 1;
  for (let step = 0; step < 2000; step += 1) {
    let da = 0.02 * (a - 1);
    let db = 0.02 * b;
    for (const { logit, right, weight } of predictions) {
      const residual = ((1 / (1 + Math.exp(-(a * logit + b))) - (right ? 1 : 0)) * weight) / total;
      da += residual * logit;
      db += residual;
    }
    a = Math.max(0.05, a - 0.2 * da);
    b -= 0.2 * db;
  }
  return { a, b };
}

/** Expected calibration error over `bins` bins of equal width: mean |share right − mean probability|, by bin size. */
export function calibrationError(predictions: readonly { probability: number; right: boolean }[], bins = 10): number {
  const table = Array.from({ length: bins }, () => ({ n: 0, right: 0, probability: 0 }));
  for (const { probability, right } of predictions) {
    const bin = table[Math.min(bins - 1, Math.floor(probability * bins))]!;
    bin.n += 1;
    bin.right += right ? 1 : 0;
    bin.probability += probability;
  }
  return table.reduce((sum, bin) => sum + Math.abs(bin.right - bin.probability), 0) / Math.max(1, predictions.length);
}
