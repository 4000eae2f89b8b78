import { readFileSync } from 'node:fs'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { tryAll } from '../internet/from-guest.ts'
import { internet, newPath, trusted } from '../internet/injected.ts'
import type { RecordedRequest } from '../internet/services/records.ts'
import { Slot } from '../internet/slot.ts'
import { addressOf, asRoot, gatewayOf, guest, server } from './guest.ts'
import { countLeaks, type Leaks } from './leaks.ts'

const ATTACKS = new URL('egress-attacks.py', import.meta.url)
/** They overlap; each waits for answers that must not come. */
const ATTACKS_TIMEOUT_MS = 120_000
const { web, shared, dns } = internet.addresses

/** gVisor refuses raw sockets. */
const PERMISSION_ERROR = 'PermissionError'
const names = [...readFileSync(ATTACKS, 'utf8').matchAll(/^@attack\("(.+)"\)$/gm)].map(([, name]) => name!)
const NETWORK = {
  denyOut: ['0.0.0.0/0'],
  allowOut: [
    ...['allowed.test', 'shared-allowed.test'],
    ...['private.test', 'mixed.test', 'loopback.test', 'metadata.test', 'mapped.test'],
  ],
  // so that TLS to this name is intercepted
  rules: { 'shared-allowed.test': [{ transform: { headers: { 'x-set': 'yes' } } }] },
}

/** A request that the rules allow, wherever the sandbox connected to. */
function isAllowed({ address, headers, isEncrypted, serverName }: RecordedRequest): boolean {
  const host = (headers.host ?? headers[':authority'] ?? '').toLowerCase().replace(/\.?(:\d*)?$/, '')
  if (address === web && host === 'allowed.test') return true
  return address === shared && host === 'shared-allowed.test' && (!isEncrypted || serverName === host)
}

describe('a sandbox that may reach two names', () => {
  const attacker = guest({ network: NETWORK })
  const neighbour = guest()
  const path = newPath()
  let leaks: Leaks
  let seen: Record<string, unknown>
  let connectionsBefore: number

  beforeAll(async () => {
    leaks = await countLeaks(server.home, '192.0.2.254')
    connectionsBefore = (await internet.records()).connections.length
    const given = {
      ...internet.addresses,
      path,
      gateway: await gatewayOf(attacker()),
      neighbour: await addressOf(neighbour()),
    }
    await attacker().files.write([
      { path: '/tmp/attacks.py', data: await readFile(ATTACKS, 'utf8') },
      { path: '/tmp/given.json', data: JSON.stringify(given) },
    ])
    const { stdout, stderr, exitCode } = await asRoot(attacker(), 'python3 /tmp/attacks.py /tmp/given.json', {
      timeoutMs: ATTACKS_TIMEOUT_MS,
    })
    if (exitCode !== 0) throw new Error(`the attacks broke: ${stderr}`)
    seen = JSON.parse(stdout)
    const raw = names.filter((name) => String(seen[name]).startsWith(PERMISSION_ERROR))
    Object.assign(seen, await fromTheSlot({ ...given, only: raw }))
  }, ATTACKS_TIMEOUT_MS + 60_000)
  afterAll(() => leaks?.close())

  /** Attacks that the sandbox cannot even try are tried without gVisor, as a sentry could that was taken over. */
  async function fromTheSlot(given: object): Promise<Record<string, unknown>> {
    const folder = await mkdtemp(join(tmpdir(), 'sandlot-attacks-'))
    try {
      await writeFile(join(folder, 'given.json'), JSON.stringify(given))
      const slot = new Slot(server, attacker().sandboxId)
      return await slot.use(async (inside) =>
        JSON.parse(await inside('python3', fileURLToPath(ATTACKS), join(folder, 'given.json'))),
      )
    } finally {
      await rm(folder, { recursive: true, force: true })
    }
  }

  const marked = (name: string) => `${path}-${name.replaceAll(' ', '-')}`

  test('reaches them, which the refusals below depend on', async () => {
    const own = newPath()
    await tryAll(attacker(), trusted, [
      { url: `https://allowed.test${own}` },
      { url: `http://allowed.test${own}` },
      { url: `https://shared-allowed.test${own}`, trustsSystemOnly: true },
    ])
    const requests = await internet.requestsFor(own)
    expect(requests).toHaveLength(3)
    expect(requests.filter(isAllowed)).toHaveLength(3)
  })

  test.each(names)('%s leads nowhere else', async (name) => {
    const { requests, queries, datagrams } = await internet.records()
    const found = requests.filter((request) => request.path.includes(marked(name)) && !isAllowed(request))
    expect(found, JSON.stringify(seen[name])).toEqual([])
    const label = marked(name).slice(1, 51).toLowerCase()
    expect(queries.filter((query) => query.name.includes(label))).toEqual([])
    expect(datagrams.filter(({ text }) => text.includes(path))).toEqual([])
  })

  test('every attack was tried', () => {
    expect(Object.keys(seen)).toHaveLength(names.length)
    expect(Object.values(seen).filter((result) => String(result).startsWith(PERMISSION_ERROR))).toEqual([])
  })

  test('has sent no packet and opened no connection to any other place meanwhile', async () => {
    expect(await leaks.leaked()).toBe(0)
    const { connections } = await internet.records()
    expect(
      connections.slice(connectionsBefore).filter(({ address }) => ![web, shared, dns].includes(address)),
    ).toEqual([])
  })
})
