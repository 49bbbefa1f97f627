import { defineConfig } from 'vitest/config';

// What drives processes on a machine whose speed wanders gets a second try in CI, and the report names it; at a desk a
// failure is looked at the first time.
const retry = process.env.CI ? 1 : 0;

/**
 * unit first: pure, and quick to say what is broken. integration and acceptance: servers and processes, two files side by
 * side, because they mostly wait (acceptance on two busy cores: 254 s side by side, 398 s one by one).
 */
export default defineConfig({
  test: {
    watch: false,
    reporters: ['default'],
    projects: [
      {
        test: {
          name: 'unit',
          include: ['test/unit/**/*.test.ts'],
          testTimeout: 30_000,
          maxWorkers: 2,
          sequence: { groupOrder: 1 },
        },
      },
      {
        test: {
          name: 'integration',
          include: ['test/integration/**/*.test.ts'],
          retry,
          testTimeout: 60_000,
          hookTimeout: 120_000,
          maxWorkers: 2,
          sequence: { groupOrder: 2 },
        },
      },
      {
        test: {
          name: 'acceptance',
          include: ['test/acceptance/**/*.test.ts', 'test/e2e/**/*.test.ts'],
          retry,
          testTimeout: 120_000,
          hookTimeout: 120_000,
          maxWorkers: 2,
          sequence: { groupOrder: 3 },
        },
      },
    ],
  },
});
