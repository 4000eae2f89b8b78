import { globSync, readFileSync } from 'node:fs'
import { defineConfig } from 'vitest/config'

/** CI's machine is shared: what failed there is tried once more. Never on a developer's: a flaky test is to be seen. */
const retry = process.env.CI ? 1 : 0

/** Suites that drive one real server: in sequence, so that each measures and breaks only its own. */
const live = (name: string, testTimeout: number, tries = retry, hookTimeout = 180_000) => ({
  test: {
    name,
    include: [`tests/${name}/**/*.test.ts`],
    globalSetup: ['tests/global-setup.ts'],
    setupFiles: ['tests/client-environment.ts'],
    testTimeout,
    hookTimeout,
    retry: tries,
    fileParallelism: false,
  },
})

const unit = {
  test: {
    name: 'unit',
    include: [
      ...['packages/**/*.test.ts', 'guest/**/*.test.ts', 'templates/**/*.test.ts'],
      ...['tests/*.test.ts', 'tests/sdk/*.test.ts', 'tests/llm/*.test.ts', 'docs/**/*.test.ts'],
    ],
    testTimeout: 20_000,
    hookTimeout: 30_000,
    retry,
  },
}

/** Unit tests that work on a store, once more on PostgreSQL. */
const unitOnPostgres = {
  test: {
    ...unit.test,
    name: 'unit-postgres',
    include: globSync(['packages/server/src/**/*.test.ts', 'tests/*.test.ts']).filter((file) =>
      /server-under-test|test-support\/database/.test(readFileSync(file, 'utf8')),
    ),
    globalSetup: ['tests/postgres/global-setup.ts'],
  },
}

export default defineConfig({
  test: {
    projects: [
      unit,
      unitOnPostgres,
      live('conformance', 60_000),
      live('e2e', 120_000),
      live('chaos', 600_000),
      live('hostile', 180_000),
      live('load', 300_000),
      // Chromium breaks what is under way (ERR_NETWORK_CHANGED) when a network interface comes or goes on the machine,
      // and each new slot is one.
      live('browser', 120_000, 3),
      // the first run on a machine builds the templates, and hooks wait for theirs (tests/catalogue/ready.ts)
      live('catalogue', 180_000, retry * 2, 30 * 60_000),
      live('examples', 180_000, retry, 30 * 60_000),
    ],
  },
})
