import { join } from 'node:path'
import { beforeAll, describe, expect, inject, test } from 'vitest'
import { collect, runSuite, type Suite } from '../conformance/python/suite.ts'
import { pythonWith } from '../conformance/python/venv.ts'
import { TEMPLATE } from './interpreter.ts'
import { BUILD_TIMEOUT_MS, waitForTemplate } from './ready.ts'

/** 2.8.1 with 2.31.0 is what the OpenAI Agents SDK pins, 2.11.5 the newest. */
const versions: Record<string, string[]> = {
  '2.8.1': ['e2b-code-interpreter==2.8.1', 'e2b==2.31.0'],
  '2.11.5': ['e2b-code-interpreter==2.11.5', 'e2b==2.63.0'],
}
const suite: Suite = {
  folder: join(import.meta.dirname, 'python-interpreter'),
  pythonOf: (version) => pythonWith(`code-interpreter-${version}`, versions[version]!),
}
const { env } = inject('server')
const byHost = { ...env, E2B_API_URL: undefined, E2B_SANDBOX_URL: undefined }
const names = new Map<string, string[]>()
for (const version of Object.keys(versions)) names.set(version, await collect(version, suite))

describe.each(Object.keys(versions))('Python e2b-code-interpreter %s', (version) => {
  let outcomes: Awaited<ReturnType<typeof runSuite>>

  beforeAll(async () => {
    await waitForTemplate(TEMPLATE)
    outcomes = await runSuite(version, byHost, suite)
  }, BUILD_TIMEOUT_MS)

  test.for(names.get(version)!)('%s', (name) => {
    expect(outcomes.get(name)?.message ?? 'did not run').toBe('')
  })
})
