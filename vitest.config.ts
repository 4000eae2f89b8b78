import { globSync, readFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { defineConfig } from 'vitest/config'
import { FileOrder } from './tests/file-order.ts'

/** CI's machine is shared, so a failed test is retried once there; never on a developer's, where a flaky test must show. */
const retry = process.env.CI ? 1 : 0

/** A suite that drives one real server. Its files run one after the other, as many of them measure or break the server. */
const live = (name: string, testTimeout: number, tries = retry, hookTimeout = 180_000) => ({
  test: {
    name,
    include: [`tests/${name}/**/*.test.ts`],
    globalSetup: ['tests/global-setup.ts'],
    setupFiles: ['tests/client-environment.ts', 'tests/check-answers.ts'],
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
      ...['tests/*.test.ts', 'tests/{internet,llm,sdk}/*.test.ts', 'docs/**/*.test.ts'],
    ],
    testTimeout: 20_000,
    hookTimeout: 30_000,
    // test files share modules: loading them, and compiling schemas, takes longer than most files
    isolate: false,
    // a poll ends as soon as it succeeds; the default of one second is too short on a busy machine
    expect: { poll: { timeout: 10_000 } },
    retry,
    // vitest would leave one processor to itself, which on two of them means one file at a time
    maxWorkers: Math.max(2, availableParallelism()),
  },
}

/** Unit tests that work on a store, once more on PostgreSQL. */
const unitOnPostgres = {
  test: {
    ...unit.test,
    name: 'unit-postgres',
    include: globSync(['packages/{sandlot,server}/src/**/*.test.ts', 'tests/*.test.ts']).filter((file) =>
      /server-under-test|test-support\/database/.test(readFileSync(file, 'utf8')),
    ),
    globalSetup: ['tests/postgres/global-setup.ts'],
  },
}

export default defineConfig({
  test: {
    sequence: { sequencer: FileOrder },
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
      // Their servers build templates of the catalogue while the tests run, and hooks wait for theirs.
      live('agents', 180_000, retry * 2, 30 * 60_000),
      live('catalogue', 180_000, retry * 2, 30 * 60_000),
    ],
  },
})
