import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { beforeAll, describe, expect, test } from 'vitest'
import { apiKey, apiUrl, domain, sandboxUrl, server } from './official.ts'
import { interruptedVersions, pythonOf } from './python/venv.ts'

interface Outcome {
  error: string | null
  isTimeout?: boolean
  message?: string
}

const common = {
  PATH: process.env.PATH,
  E2B_API_KEY: apiKey,
  E2B_DOMAIN: domain,
  SSL_CERT_FILE: server.env.SSL_CERT_FILE,
  REST_URL: apiUrl,
}
const addresses: [string, NodeJS.ProcessEnv][] = [
  ['by host over TLS', common],
  ['by E2B_SANDBOX_URL', { ...common, E2B_API_URL: apiUrl, E2B_SANDBOX_URL: sandboxUrl }],
]
const ENDED = 'The sandbox was killed or reached its end of life while the request was in flight'
/** The newest client asks for the health of a paused sandbox, learns that it is not running, and says so in its own words. */
const PAUSED = /The sandbox was (paused|killed or reached its end of life) while the request was in flight/

describe.each(interruptedVersions)('a pending command, Python e2b %s', (version) => {
  describe.each(addresses)('%s', (_, env) => {
    let outcomes: Record<string, Outcome>
    // one process for all cases: loading the client takes longer than a case
    beforeAll(async () => {
      const script = join(import.meta.dirname, 'python/interrupted.py')
      const options = { env, timeout: 120_000 }
      const { stdout } = await promisify(execFile)(await pythonOf(version), [script], options)
      outcomes = JSON.parse(stdout.trim().split('\n').at(-1)!)
    }, 420_000)

    test.for([
      ['sync: kill', ENDED],
      ['async: kill', ENDED],
      ['sync: kill-loud', ENDED],
      ['async: timeout', ENDED],
      ['sync: pause', PAUSED],
    ] as const)('%s', ([name, message]) => {
      const outcome = outcomes[name]!
      expect(outcome.isTimeout, JSON.stringify(outcome)).toBe(true)
      expect(outcome.message).toMatch(message)
    })
  })
})
