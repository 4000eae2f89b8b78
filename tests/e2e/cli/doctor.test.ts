import { beforeAll, expect, it } from 'vitest'
import { buildCli, e2b } from './command.ts'

beforeAll(buildCli)

interface Finding {
  name: string
  status: string
  detail: string
  mend?: string
}

async function examine(
  env: Record<string, string | undefined> = {},
): Promise<{ code: number; of: (name: string) => Finding }> {
  const { code, stdout } = await e2b(['doctor', '-f', 'json'], { env })
  const findings = JSON.parse(stdout) as Finding[]
  return { code, of: (name) => findings.find((finding) => finding.name === name)! }
}

it('finds everything in place on a machine that has sourced the env file', async () => {
  const { code, stdout } = await e2b(['doctor'])
  expect(stdout).not.toMatch(/[!✗]/)
  expect(stdout.trim().split('\n')).toHaveLength(7)
  expect(code).toBe(0)
})

it('never shows a key', async () => {
  expect((await e2b(['doctor'])).stdout).not.toContain(process.env.E2B_API_KEY)
})

it('names a key that the server rejects', async () => {
  const { code, of } = await examine({ E2B_API_KEY: `e2b_${'0'.repeat(40)}` })
  expect(code).toBe(1)
  expect(of('key')).toMatchObject({
    status: 'failed',
    detail: expect.stringMatching(/^401/),
    mend: expect.stringContaining('e2b auth login'),
  })
  expect(of('server').status).toBe('ok')
})

it('names a server that does not answer', async () => {
  const { code, of } = await examine({ E2B_API_URL: 'http://127.0.0.1:29999' })
  expect(code).toBe(1)
  expect(of('server')).toMatchObject({ status: 'failed', detail: expect.stringContaining('ECONNREFUSED') })
})

it('names a certificate that is not trusted, and says how to trust it', async () => {
  const { of } = await examine({
    NODE_EXTRA_CA_CERTS: undefined,
    SSL_CERT_FILE: undefined,
    E2B_SANDBOX_URL: undefined,
  })
  expect(of('TLS')).toMatchObject({ status: 'failed', mend: expect.stringContaining('NODE_EXTRA_CA_CERTS') })
})

it('names a domain without an address', async () => {
  const { of } = await examine({ E2B_DOMAIN: 'nowhere.invalid', E2B_SANDBOX_URL: undefined })
  expect(of('name resolution')).toMatchObject({
    status: 'failed',
    mend: expect.stringContaining('*.nowhere.invalid'),
  })
})
