import { defineConfig } from 'vitest/config'

/** Suites that drive one real server: in sequence, so that each measures and breaks only its own. */
const live = (name: string, testTimeout: number) => ({
  test: {
    name,
    include: [`tests/${name}/**/*.test.ts`],
    globalSetup: ['tests/global-setup.ts'],
    setupFiles: ['tests/client-environment.ts'],
    testTimeout,
    hookTimeout: 180_000,
    fileParallelism: false,
  },
})

export default defineConfig({
  test: {
    projects: [
      { test: { name: 'unit', include: ['packages/**/*.test.ts', 'tests/*.test.ts', 'tests/sdk/*.test.ts'], testTimeout: 20_000, hookTimeout: 30_000 } },
      live('conformance', 60_000),
      live('e2e', 120_000),
      live('chaos', 600_000),
      live('hostile', 180_000),
      live('load', 300_000),
      live('browser', 120_000),
    ],
  },
})
