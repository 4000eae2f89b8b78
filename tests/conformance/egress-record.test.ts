import { afterAll, beforeAll, expect, test } from 'vitest'
import { Sandbox, type SandboxEgressOpts, type SandboxEgressRecord } from '../../packages/sdk/src/index.ts'
import { type Try, tryAll } from '../internet/from-guest.ts'
import { internet, newPath, trusted } from '../internet/injected.ts'
import { currentByUrl, useEnvironment } from './official.ts'

const ALL = '0.0.0.0/0'
const { web, other, echo } = internet.addresses

let sandbox: Sandbox
beforeAll(async () => {
  useEnvironment(currentByUrl)
  sandbox = await Sandbox.create({
    timeoutMs: 600_000,
    network: { denyOut: [ALL], allowOut: ['allowed.test', '*.allowed.test', `${echo}/32`] },
  })
}, 60_000)
afterAll(async () => {
  await sandbox?.kill()
}, 30_000)

const attempt = (...tries: Try[]) => tryAll(sandbox as never, trusted, tries)

async function recorded(opts?: SandboxEgressOpts): Promise<SandboxEgressRecord[]> {
  const found: SandboxEgressRecord[] = []
  for await (const record of sandbox.egress(opts)) found.push(record)
  return found
}
const untilRecorded = (fields: object, opts?: SandboxEgressOpts) =>
  expect.poll(() => recorded(opts), { timeout: 20_000 }).toContainEqual(expect.objectContaining(fields))

test('what was denied says which rule did it: by name, by address, and by DNS', async () => {
  await attempt(
    { url: 'https://denied.test/' },
    { url: `http://${other}/` },
    { tcp: `${web}:9000` },
    { dns: 'denied.test' },
  )
  await untilRecorded({ verdict: 'denied', protocol: 'dns', name: 'denied.test', rule: 'name not allowed' })
  await untilRecorded({ verdict: 'denied', address: other, port: 80, rule: `deny ${ALL}` })
  await untilRecorded({ verdict: 'denied', protocol: 'tcp', address: web, port: 9000, rule: `deny ${ALL}` })
  expect((await recorded({ verdict: 'denied' })).every(({ verdict }) => verdict === 'denied')).toBe(true)
})

test('what was allowed has the name, the rule and the bytes, and HTTP requests their path without the query', async () => {
  const path = newPath()
  await attempt({ url: `http://allowed.test${path}?token=secret` }, { url: 'https://sub.allowed.test/' })
  await untilRecorded({
    verdict: 'allowed',
    protocol: 'http',
    name: 'allowed.test',
    rule: 'allow allowed.test',
    http: expect.objectContaining({ method: 'GET', host: 'allowed.test', path, status: 200 }),
  })
  await untilRecorded({
    verdict: 'allowed',
    protocol: 'tls',
    name: 'sub.allowed.test',
    rule: 'allow *.allowed.test',
  })
  const [tls] = await recorded({ name: 'sub.allowed.test', protocol: 'tls' })
  expect(tls!.bytesIn).toBeGreaterThan(100)
  expect(tls!.bytesOut).toBeGreaterThan(100)
  expect(JSON.stringify(await recorded())).not.toContain('secret')
})

test('can be followed while it happens', async () => {
  const { nextToken } = await (async () => {
    const pages = sandbox.egress({ limit: 1000 })
    while (pages.hasNext) await pages.nextItems()
    return pages
  })()
  const following = sandbox.egress({ follow: true, nextToken, name: 'denied.test' })[Symbol.asyncIterator]()
  const next = following.next()
  await attempt({ dns: 'denied.test' })
  expect((await next).value).toMatchObject({ name: 'denied.test', verdict: 'denied' })
  await following.return()
})

test('clients that do not take the certificate of a header rule are told apart from servers that fail', async () => {
  const rules = Object.fromEntries(
    ['allowed.test', 'sub.allowed.test', 'untrusted.test'].map((name) => [
      name,
      [{ transform: { headers: { x: 'y' } } }],
    ]),
  )
  const ruled = await Sandbox.create({ timeoutMs: 120_000, network: { rules } })
  const own: Try[] = [
    // trusts the authority of the server alone, as programs with a list of their own do
    { url: 'https://allowed.test/' },
    // takes any authority of the system, and looks at the key after the handshake
    {
      url: 'https://sub.allowed.test/',
      trustsSystemOnly: true,
      args: ['--pinnedpubkey', `sha256//${Buffer.alloc(32).toString('base64')}`],
    },
    { url: 'https://untrusted.test/', trustsSystemOnly: true },
  ]
  const results = await tryAll(ruled as never, trusted, own)
  expect(results.map(({ ok, status }) => [ok, status])).toEqual([
    [false, 0],
    [false, 0],
    [true, 502],
  ])
  const reasons = async () => {
    const found: Record<string, string | undefined> = {}
    for await (const { name, reason, verdict } of ruled.egress({ verdict: 'failed' }))
      found[name!] = `${verdict}: ${reason}`
    return found
  }
  await expect.poll(reasons, { timeout: 20_000 }).toEqual({
    'allowed.test': 'failed: tls_rejected_by_client',
    'sub.allowed.test': 'failed: closed_without_request',
    'untrusted.test': expect.stringMatching(/^failed: (?!tls_rejected)/),
  })
  await ruled.kill()
}, 60_000)
