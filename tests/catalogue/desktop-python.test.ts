import { join } from 'node:path'
import { beforeAll, describe, expect, inject, test } from 'vitest'
import { collect, runSuite, type Suite } from '../conformance/python/suite.ts'
import { pythonWith } from '../conformance/python/venv.ts'
import { BUILD_TIMEOUT_MS, waitForTemplate } from './ready.ts'

const VERSION = '2.7.2'
const suite: Suite = {
  folder: join(import.meta.dirname, 'python-desktop'),
  pythonOf: (version) => pythonWith(`desktop-${version}`, [`e2b-desktop==${version}`, 'e2b==2.63.0']),
}
const { env } = inject('server')
const names = await collect(VERSION, suite)

describe(`Python e2b-desktop ${VERSION}`, () => {
  let outcomes: Awaited<ReturnType<typeof runSuite>>

  beforeAll(async () => {
    await waitForTemplate('desktop')
    outcomes = await runSuite(VERSION, { ...env, E2B_API_URL: undefined, E2B_SANDBOX_URL: undefined }, suite)
  }, BUILD_TIMEOUT_MS)

  test.for(names)('%s', (name) => {
    expect(outcomes.get(name)?.message ?? 'did not run').toBe('')
  })
})
