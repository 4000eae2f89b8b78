import path from 'node:path'
import { beforeAll, describe, expect, test } from 'vitest'
import { apiKey, domain, server } from './official.ts'
import { collect, runSuite, type Suite } from './python/suite.ts'
import { oldVersions, pythonOf } from './python/venv.ts'

const suite: Suite = { folder: path.join(import.meta.dirname, 'python-1x'), pythonOf }
const { SSL_CERT_FILE } = server.env
const env = {
  E2B_API_KEY: apiKey,
  E2B_DOMAIN: domain,
  SSL_CERT_FILE,
  E2B_API_URL: undefined,
  E2B_SANDBOX_URL: undefined,
}
const names = new Map<string, string[]>()
for (const version of oldVersions) names.set(version, await collect(version, suite))

describe.each(oldVersions)('Python e2b %s', (version) => {
  let outcomes: Awaited<ReturnType<typeof runSuite>>
  beforeAll(async () => {
    outcomes = await runSuite(version, env, suite)
  }, 620_000)

  test.for(names.get(version)!)('%s', (name, { skip }) => {
    const outcome = outcomes.get(name)
    if (outcome?.state === 'skipped') return skip()
    expect(outcome?.message ?? 'did not run').toBe('')
  })
})
