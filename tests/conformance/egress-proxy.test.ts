import { readFileSync } from 'node:fs'
import { Sandbox } from 'e2b-official'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { PORTS } from '../internet/addresses.ts'
import { reachedOf, type Try } from '../internet/from-guest.ts'
import { internet, trusted } from '../internet/injected.ts'
import { callApi, currentByUrl, rejection, useEnvironment } from './official.ts'

const ALL = '0.0.0.0/0'
const { socks, echo, web, nameless } = internet.addresses

let sandbox: Sandbox
beforeAll(async () => {
  useEnvironment(currentByUrl)
  sandbox = await Sandbox.create({
    timeoutMs: 300_000,
    network: { egressProxy: { address: `${socks}:${PORTS.socks}` } },
  })
}, 60_000)
afterAll(() => sandbox?.kill(), 30_000)

const reached = (table: Record<string, Try>) => reachedOf(sandbox, trusted, table)
/** Lines that the proxies have logged since the last call. */
let read = 0
const logged = async () => {
  const { socks: lines } = await internet.records()
  const fresh = lines.slice(read).join('\n')
  read = lines.length
  return fresh
}
const update = (egressProxy: object, rest: object = {}) =>
  callApi(`/sandboxes/${sandbox.sandboxId}/network`, {
    method: 'PUT',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ egressProxy, ...rest }),
  })

test('all TCP goes through the SOCKS5 proxy, UDP and DNS do not', async () => {
  const table = {
    http: { url: `http://${web}/` },
    https: { url: 'https://allowed.test/' },
    echo: { tcp: `${echo}:9000` },
    udp: { udp: `${echo}:9000` },
  }
  await logged()
  expect(await reached(table)).toEqual(Object.keys(table))
  const lines = await logged()
  expect(lines).toContain(`${echo}:9000`)
  expect(lines).toContain(`${web}:80`)
  expect(lines).toMatch(new RegExp(`(${web}|allowed.test):443`))
})

test('connections that a name allows are made by that name, others by address', async () => {
  expect(
    (
      await update(
        { address: `socks.test:${PORTS.socksWithPassword}`, username: 'user', password: 'pass' },
        { denyOut: [ALL], allowOut: ['allowed.test', nameless] },
      )
    ).status,
  ).toBe(204)
  await logged()
  const table = {
    name: { url: 'https://allowed.test/' },
    address: { url: `http://${nameless}/` },
    refused: { url: 'https://denied.test/' },
  }
  expect(await reached(table)).toEqual(['name', 'address'])
  const lines = await logged()
  expect(lines).toContain('allowed.test:443')
  expect(lines).toContain(`${nameless}:80`)
  expect(lines).not.toContain('denied.test')
})

test('the proxy may speak TLS, with an authority of its own; its password is never shown', async () => {
  const caCert = readFileSync(internet.info.caFile, 'utf8')
  const credentials = { username: 'user', password: 'pass' }
  const address = `${socks}:${PORTS.socksOverTls}`
  await update({ address, ...credentials, tls: { enabled: true, serverName: 'socks.test', caCert } })
  expect(await reached({ https: { url: 'https://allowed.test/' } })).toHaveLength(1)
  const shown = await (await callApi(`/sandboxes/${sandbox.sandboxId}`)).text()
  expect(shown).toContain(address)
  expect(shown).not.toContain('"password"')
  expect(shown).not.toContain('BEGIN CERTIFICATE')
  await update({ address, ...credentials, tls: { enabled: true, serverName: 'missing.test', caCert } })
  expect(await reached({ 'wrong name': { url: 'https://allowed.test/' } })).toEqual([])
})

test.each([
  ['a wrong password', { address: `${socks}:${PORTS.socksWithPassword}`, username: 'user', password: 'no' }],
  ['a closed port', { address: `${socks}:9` }],
  ['a name without address', { address: 'missing.test:1080' }],
  ['a name that leads to a private address', { address: `private-socks.test:${PORTS.socks}` }],
  ['a proxy that speaks no SOCKS', { address: `${echo}:${PORTS.serverFirst}` }],
])('connections fail, and never go out directly, with %s', async (_, egressProxy) => {
  const answer = await update(egressProxy)
  // the server may refuse at once what cannot work
  if (answer.status !== 204) {
    expect(answer.status).toBe(400)
    expect(await answer.text()).toContain('Invalid egress proxy config')
    return
  }
  expect(await reached({ http: { url: `http://${web}/` }, echo: { tcp: `${echo}:9000` } })).toEqual([])
})

test('a private proxy is refused', async () => {
  const error = await rejection(
    sandbox.updateNetwork({ egressProxy: { address: `${internet.addresses.private}:1080` } }),
  )
  expect(error.message).toContain('Invalid egress proxy config: address')
  expect(error.message).toContain('is private')
})
