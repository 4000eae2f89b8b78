import { beforeAll, describe, expect, inject, test } from 'vitest'
import { apiKey, apiUrl, domain, sandboxUrl, server } from './official.ts'
import { collect, runSuite } from './python/suite.ts'
import { pythonVersions } from './python/venv.ts'

const byHost = { E2B_API_URL: undefined, E2B_SANDBOX_URL: undefined }
const byUrl = { E2B_API_URL: apiUrl, E2B_SANDBOX_URL: sandboxUrl }
const ca = { SSL_CERT_FILE: server.env.SSL_CERT_FILE, REQUESTS_CA_BUNDLE: server.env.REQUESTS_CA_BUNDLE }
const internet = inject('internet')!
const places = {
  TEST_INTERNET_WEB: internet.addresses.web,
  TEST_INTERNET_OTHER: internet.addresses.other,
  TEST_INTERNET_CA: internet.caFile,
}
const common = { ...places, E2B_API_KEY: apiKey, E2B_DOMAIN: domain, ...ca }

const ways = [
  { way: 'by host over TLS', env: { ...common, ...byHost } },
  { way: 'by E2B_SANDBOX_URL', env: { ...common, ...byUrl } },
]
const names = new Map<string, string[]>()
for (const version of pythonVersions) names.set(version, await collect(version))

describe.each(pythonVersions)('Python e2b %s', (version) => {
  let outcomes: Awaited<ReturnType<typeof runSuite>>[]

  // at the same time, as each way spends most of its time waiting
  beforeAll(async () => {
    outcomes = await Promise.all(ways.map(({ env }) => runSuite(version, env)))
  }, 620_000)

  describe.each(ways.map(({ way }, index) => ({ way, index })))('$way', ({ index }) => {
    test.for(names.get(version)!)('%s', (name, { skip }) => {
      const outcome = outcomes[index]!.get(name)
      if (outcome?.state === 'skipped') return skip()
      expect(outcome?.message ?? 'did not run').toBe('')
    })
  })
})
