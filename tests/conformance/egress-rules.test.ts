import type { Sandbox, SandboxNetworkUpdate } from 'e2b-official'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { reachedOf, type Try, tryAll } from '../internet/from-guest.ts'
import { internet, newPath, trusted } from '../internet/injected.ts'
import { callApi, currentByUrl, ownSandboxes, useEnvironment } from './official.ts'

const ALL = '0.0.0.0/0'
const { web, other, nameless, shared, echo, otherDns } = internet.addresses
const client = currentByUrl

let sandbox: Sandbox
beforeAll(async () => {
  useEnvironment(client)
  sandbox = await client.e2b.Sandbox.create({ timeoutMs: 600_000 })
}, 60_000)
afterAll(() => sandbox?.kill(), 30_000)

/** Ways to all places, each in its own row. */
const everything: Record<string, Try> = {
  'http to web': { url: `http://${web}/` },
  'https to web': { url: `https://${web}/` },
  'http to other': { url: `http://${other}/` },
  'port 8080 of web': { url: `http://${web}:8080/` },
  'tcp to echo': { tcp: `${echo}:9000` },
  'udp to echo': { udp: `${echo}:9000` },
  'udp 443 to web': { udp: `${web}:9001` },
  'http allowed.test': { url: 'http://allowed.test/' },
  'https allowed.test': { url: 'https://allowed.test/' },
  'https denied.test': { url: 'https://denied.test/' },
}
const rows = Object.keys(everything)
const without = (...names: string[]) => rows.filter((row) => !names.includes(row))

const reached = (table: Record<string, Try> = everything, from = sandbox) => reachedOf(from, trusted, table)
const apply = (update: SandboxNetworkUpdate) => sandbox.updateNetwork(update)

describe('addresses', () => {
  test('without rules everything is reachable', async () => {
    expect(await reached()).toEqual(rows)
  })

  test('denyOut closes an address and nothing else', async () => {
    await apply({ denyOut: [other] })
    expect(await reached()).toEqual(without('http to other', 'https denied.test'))
  })

  test('denyOut closes a block', async () => {
    await apply({ denyOut: [internet.info.range] })
    expect(await reached()).toEqual([])
  })

  test('allowOut beats denyOut', async () => {
    await apply({ denyOut: [ALL], allowOut: [web] })
    const addressed = Object.fromEntries(Object.entries(everything).filter(([row]) => row.includes(' to ')))
    expect(await reached({ ...addressed, 'port 8080': everything['port 8080 of web']! })).toEqual([
      'http to web',
      'https to web',
      'udp 443 to web',
      'port 8080',
    ])
  })

  test('allowOut opens a block in a closed one', async () => {
    await apply({ denyOut: [internet.info.range], allowOut: [`${nameless}/30`] })
    expect(
      await reached({
        nameless: { url: `http://${nameless}/` },
        shared: { url: `http://${shared}/` },
        web: { url: `http://${web}/` },
      }),
    ).toEqual(['nameless', 'shared'])
  })

  test('allowInternetAccess: false keeps allowOut', async () => {
    await apply({ allowInternetAccess: false, allowOut: [web] })
    expect(await reached({ web: everything['http to web']!, other: everything['http to other']! })).toEqual([
      'web',
    ])
    expect((await sandbox.getInfo()).allowInternetAccess).toBe(false)
  })
})

describe('names', () => {
  beforeAll(() => apply({ denyOut: [ALL], allowOut: ['allowed.test', '*.Denied.test', echo] }))

  test('exact names and wildcards open the ports 80 and 443, at any depth and in any case', async () => {
    const table = {
      'http allowed.test': { url: 'http://allowed.test/' },
      'https allowed.test': { url: 'https://allowed.test/' },
      'upper case': { url: 'https://ALLOWED.Test/' },
      'trailing dot': { url: 'http://allowed.test./' },
      'one label below': { url: 'https://sub.denied.test/' },
      'two labels below': { url: 'http://deep.sub.denied.test/' },
      'the name of a wildcard': { url: 'https://denied.test/' },
      'below an exact name': { url: 'https://sub.allowed.test/' },
      'a name that ends alike': { url: 'https://notallowed.test/' },
      'port 8080': { url: 'http://allowed.test:8080/' },
      'port 8443': { url: 'https://allowed.test:8443/' },
      'the address': { url: `http://${web}/` },
      'the address over TLS': { url: `https://${web}/` },
      'udp to the address': { udp: `${web}:9000` },
      'an allowed address': { tcp: `${echo}:9000` },
    }
    expect(await reached(table)).toEqual([
      'http allowed.test',
      'https allowed.test',
      'upper case',
      'trailing dot',
      'one label below',
      'two labels below',
      'an allowed address',
    ])
  })

  test('the name server answers for allowed names only', async () => {
    const results = await tryAll(sandbox, trusted, [
      { dns: 'allowed.test' },
      { dns: 'sub.denied.test', overTcp: true },
      { dns: 'denied.test' },
      { dns: 'secret.of.sandbox.evil.test', overTcp: true },
    ])
    expect(results.map(({ body }) => body)).toEqual(['NOERROR', 'NOERROR', 'REFUSED', 'REFUSED'])
    const { queries } = await internet.records()
    expect(queries.filter(({ name }) => name.includes('evil'))).toEqual([])
  })

  test('connections go to the name as the host resolves it, wherever the sandbox connected to', async () => {
    const [result] = await tryAll(sandbox, trusted, [
      { url: 'https://allowed.test/', args: ['--resolve', `allowed.test:443:${other}`] },
    ])
    expect(result).toMatchObject({ ok: true, address: web })
  })

  test('a redirect to another name ends there', async () => {
    const path = newPath()
    const to = encodeURIComponent(`http://denied.test${path}`)
    const [result] = await tryAll(sandbox, trusted, [
      { url: `http://allowed.test/redirect?to=${to}`, args: ['-L', '--resolve', `denied.test:80:${other}`] },
    ])
    expect(result!.address).toBeUndefined()
    expect(await internet.requestsFor(path)).toEqual([])
  })

  test('the names of several addresses, slow and truncated answers and aliases work', async () => {
    // the first address of many.test answers nothing
    const names = ['many.test', 'slow.test', 'truncated.test', 'alias.test']
    await apply({ denyOut: [ALL], allowOut: names })
    const table = Object.fromEntries(
      names.map((name) => [name, { url: `https://${name}/`, seconds: 10 }] as const),
    )
    expect(await reached(table)).toEqual(names)
  }, 40_000)

  test('* opens every name, and no address', async () => {
    await apply({ denyOut: [ALL], allowOut: ['*'] })
    expect(await reached()).toEqual(['http allowed.test', 'https allowed.test', 'https denied.test'])
  })
})

test('a name that leads to a private address is refused, also when the answer changes', async () => {
  const path = newPath()
  const names = ['rebind.test', 'private.test', 'mixed.test', 'loopback.test', 'metadata.test', 'mapped.test']
  await apply({ denyOut: [ALL], allowOut: names })
  expect(await reached({ 'before the change': { url: 'http://rebind.test/' } })).toHaveLength(1)
  await internet.setName('rebind.test', { a: [internet.addresses.private] })
  const tries = names.flatMap((name) =>
    ['http', 'https'].map((scheme) => ({
      url: `${scheme}://${name}${path}`,
      // the sandbox needs no answer of its name server
      args: ['--resolve', `${name}:80:${web}`, '--resolve', `${name}:443:${web}`],
    })),
  )
  const results = await tryAll(sandbox, trusted, tries)
  await internet.setName('rebind.test', { a: [web] })
  // the proxy may use a connection again that it has made before the change
  const isElsewhere = ({ address }: { address?: string }) => address !== undefined && address !== web
  expect(results.filter(isElsewhere)).toEqual([])
  expect((await internet.requestsFor(path)).filter(isElsewhere)).toEqual([])
}, 40_000)

describe('live updates', () => {
  test.each([
    ['by name and address', { denyOut: [ALL], allowOut: ['allowed.test', nameless] }],
    ['that leave nothing open', { denyOut: [ALL] }],
  ])(
    '%s hold for new connections only',
    async (_, update) => {
      await apply({})
      const events = await sandbox.commands.run(
        `curl -sN -m 10 http://${web}/events/20?everyMs=100 > /tmp/events; wc -l < /tmp/events`,
        { background: true, timeoutMs: 0 },
      )
      await sandbox.commands.run('until grep -q data: /tmp/events; do sleep 0.05; done')
      await apply(update)
      expect(await reached({ new: { url: `http://${web}/` } })).toEqual([])
      expect((await events.wait()).stdout).toBe('40\n')
    },
    40_000,
  )

  test('cut what they refuse with closeExisting', async () => {
    await apply({ denyOut: [ALL], allowOut: ['allowed.test', nameless] })
    const start = (url: string, file: string) =>
      sandbox.commands.run(`curl -sN -m 30 ${url} > ${file} || true; echo ended`, {
        background: true,
        timeoutMs: 0,
      })
    const byName = await start('http://allowed.test/events/600', '/tmp/by-name')
    const byAddress = await start(`http://${nameless}/events/600`, '/tmp/by-address')
    await sandbox.commands.run(
      'for f in by-name by-address; do until grep -q data: /tmp/$f; do sleep 0.05; done; done',
    )
    const answer = await callApi(`/sandboxes/${sandbox.sandboxId}/network`, {
      method: 'PUT',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ denyOut: [ALL], closeExisting: true }),
    })
    expect(answer.status).toBe(204)
    const started = Date.now()
    // the end of a connection that the kernel drops is known to the sandbox when it sends; curl only reads
    await byName.wait()
    expect(Date.now() - started).toBeLessThan(5_000)
    const sizes = () => sandbox.commands.run('wc -c < /tmp/by-address').then(({ stdout }) => Number(stdout))
    const before = await sizes()
    await sandbox.commands.run('sleep 1')
    expect(await sizes()).toBe(before)
    await byAddress.kill()
  }, 60_000)
})

test('dnsServers replaces the resolver of a sandbox with names; without servers there is no DNS', async () => {
  const update = (dnsServers?: string[]) =>
    callApi(`/sandboxes/${sandbox.sandboxId}/network`, {
      method: 'PUT',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ denyOut: [ALL], allowOut: ['allowed.test'], dnsServers }),
    })
  expect((await update([otherDns])).status).toBe(204)
  const name = `n${process.pid}.sub.allowed.test`
  await callApi(`/sandboxes/${sandbox.sandboxId}/network`, {
    method: 'PUT',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ denyOut: [ALL], allowOut: ['*.allowed.test'], dnsServers: [otherDns] }),
  })
  expect(await tryAll(sandbox, trusted, [{ dns: name }])).toMatchObject([{ body: 'NOERROR' }])
  const { queries } = await internet.records()
  expect(queries.filter((query) => query.name === name).map(({ address }) => address)).toEqual([otherDns])
  expect((await update([])).status).toBe(204)
  const [answer] = await tryAll(sandbox, trusted, [{ dns: 'allowed.test' }])
  expect(answer!.ok).toBe(false)
}, 40_000)

describe('a policy of a create', () => {
  const own = ownSandboxes(client)

  test('holds from the first packet, through pause and resume, and in forks; a snapshot has none', async () => {
    const network = { denyOut: [ALL], allowOut: ['allowed.test'] }
    const created = await own({ network, lifecycle: { onTimeout: 'pause' } })
    const table = { allowed: everything['https allowed.test']!, denied: everything['http to other']! }
    expect(await reached(table, created)).toEqual(['allowed'])
    await created.pause()
    const resumed = await client.e2b.Sandbox.connect(created.sandboxId)
    expect(await reached(table, resumed)).toEqual(['allowed'])
    expect((await resumed.getInfo()).network).toMatchObject(network)
    const forks = (await (
      await callApi(`/sandboxes/${created.sandboxId}/fork`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ count: 1, timeout: 120 }),
      })
    ).json()) as Array<{ sandbox: { sandboxID: string } }>
    const fork = await client.e2b.Sandbox.connect(forks[0]!.sandbox.sandboxID)
    expect(await reached(table, fork)).toEqual(['allowed'])
    await fork.kill()
    const { snapshotId } = await resumed.createSnapshot()
    const copy = await client.e2b.Sandbox.create(snapshotId, { timeoutMs: 120_000 })
    expect(await reached(table, copy)).toEqual(['allowed', 'denied'])
    await copy.kill()
  }, 120_000)
})
