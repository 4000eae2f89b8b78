import { CLOSED, type NetworkPolicy, OPEN } from '@sandlot/protocol/node'
import type { SandboxNetworkConfig } from '@sandlot/protocol/rest'
import { beforeEach, describe, expect, test } from 'vitest'
import { type ServerUnderTest, serverUnderTest } from '../test-support/server-under-test.ts'
import { networkPolicyOf, networkWarnings } from './network-policy.ts'

const under = serverUnderTest()
let t: ServerUnderTest
beforeEach(() => void (t = under.current))

const policies = () => [...t.node.policies.values()]

test.each<[what: string, network: SandboxNetworkConfig, policy: Partial<NetworkPolicy>]>([
  ['nothing', {}, {}],
  ['a denied block', { denyOut: ['10.9.8.7/8', '10.0.0.0/8'] }, { denyRanges: ['10.0.0.0/8'] }],
  [
    'names and addresses',
    { allowOut: ['1.1.1.1', 'A.com.', '*.B.com', '*', 'a.com'], denyOut: ['0.0.0.0/0'] },
    {
      allowRanges: ['1.1.1.1/32'],
      allowNames: ['a.com', '*.b.com', '*'],
      denyRanges: ['0.0.0.0/0'],
    },
  ],
  ['DNS servers', { dnsServers: ['1.1.1.1', '1.1.1.1'] }, { dnsServers: ['1.1.1.1'] }],
  ['no DNS servers', { dnsServers: [] }, { dnsServers: [] }],
  [
    'transforms',
    { rules: { '*.A.com': [{ transform: { headers: { X: 'y' } } }], 'b.com': [{}], 'c.com': [] } },
    { transforms: { '*.a.com': { X: 'y' } } },
  ],
  ['rules without transforms', { rules: { 'b.com': [{ transform: { headers: {} } }] } }, {}],
  ['a proxy', { egressProxy: { address: 'P.com:1080' } }, { proxy: { host: 'p.com', port: 1080 } }],
  [
    'a proxy with TLS',
    { egressProxy: { address: '1.1.1.1:1', username: 'u', password: 'p', tls: { serverName: 'p.com' } } },
    { proxy: { host: '1.1.1.1', port: 1, username: 'u', password: 'p', tls: { serverName: 'p.com' } } },
  ],
  [
    'a proxy whose TLS is off',
    { egressProxy: { address: '1.1.1.1:1', tls: { enabled: false, serverName: 'p.com' } } },
    { proxy: { host: '1.1.1.1', port: 1 } },
  ],
])('the policy for %s', (_, network, policy) => {
  expect(networkPolicyOf({ secure: true, timeoutSeconds: 1, network })).toStrictEqual({ ...OPEN, ...policy })
})

test('without internet access, everything is denied but what is allowed', () => {
  const network = { allowOut: ['1.1.1.1', 'a.com'], denyOut: ['2.2.2.2'] }
  const settings = { secure: true, timeoutSeconds: 1, allowInternetAccess: false }
  expect(networkPolicyOf({ ...settings, network })).toEqual({
    allowRanges: ['1.1.1.1/32'],
    allowNames: ['a.com'],
    denyRanges: ['0.0.0.0/0'],
  })
  expect(networkPolicyOf(settings)).toBe(CLOSED)
})

describe('warnings', () => {
  const rules = { 'api.a.com': [{ transform: { headers: { x: '${e2b.identity.tokens.cloud}' } } }] }
  const of = (network: SandboxNetworkConfig, tokens: string[] = ['cloud']) =>
    networkWarnings({
      secure: true,
      timeoutSeconds: 1,
      network,
      iam: {
        tokens: Object.fromEntries(tokens.map((name) => [name, { audience: 'a', tokenType: 'JWT-SVID' }])),
      },
    })
  const denyOut = ['0.0.0.0/0']

  test.each<[network: SandboxNetworkConfig]>([
    [{ rules }],
    [{ rules, denyOut: ['1.1.1.1'] }],
    [{ rules, denyOut, allowOut: ['*.a.com'] }],
    [{ rules, denyOut, allowOut: ['0.0.0.0/0'] }],
  ])('%j has none', (network) => {
    expect(of(network)).toBeUndefined()
  })

  test.each<[network: SandboxNetworkConfig, warning: string]>([
    [
      { rules, denyOut, allowOut: ['a.com'] },
      'network rules for api.a.com do not allow it: add it to allowOut, else no connection to it passes',
    ],
    [
      { rules, denyOut, allowOut: ['1.1.1.1'] },
      'network rules for api.a.com do not allow it: add it to allowOut, unless it is at an address that allowOut lists',
    ],
  ])('%j: %s', (network, warning) => {
    expect(of(network)).toEqual([warning])
  })

  test('name identity tokens that the sandbox does not have', () => {
    expect(of({ rules }, ['other'])).toEqual([
      "network rules for api.a.com use the identity token 'cloud', which the sandbox does not have: requests get 502",
    ])
  })

  test('are in the answers of a create and of a get', async () => {
    const network = { rules, denyOut }
    const { body } = await t.call('POST', '/v2/sandboxes', { templateID: 'base', network })
    expect(body.warnings).toHaveLength(2)
    const { body: detail } = await t.call('GET', `/sandboxes/${body.sandboxID}`)
    expect(detail.warnings).toEqual(body.warnings)
    expect(await t.create()).not.toHaveProperty('warnings')
  })
})

test.each([false, true])(
  'every machine for a sandbox with internet %s is requested with the network policy of the sandbox',
  async (allowed) => {
    const { sandboxID: id } = await t.create({ allow_internet_access: allowed })
    const { body: snapshot } = await t.act(id, 'snapshots', {})
    const { checkpointID: checkpointId } = (await t.act(id, 'checkpoints')).body
    await t.act(id, 'fork', { count: 2 })
    await t.act(id, 'rollback', { checkpointID: checkpointId })
    await t.act(id, 'pause')
    t.node.frozen.clear()
    await t.act(id, 'connect', { timeout: 100 })
    await t.create({ templateID: snapshot.snapshotID, allow_internet_access: allowed })
    // create, two forks, rollback, cold resume, start from a snapshot
    expect(policies()).toEqual(Array.from({ length: 6 }, () => (allowed ? OPEN : CLOSED)))
  },
)

test('network and identity tokens are kept through pause and rollback; forks inherit only the network, snapshots nothing', async () => {
  const network = {
    allowOut: ['a.com'],
    denyOut: ['0.0.0.0/0'],
    rules: { 'a.com': [{ transform: { headers: { x: '${e2b.identity.tokens.cloud}' } } }] },
    dnsServers: ['1.1.1.1'],
    egressProxy: { address: 'p.example:1', username: 'u', password: 'p', tls: { enabled: true } },
    httpsPorts: [8443],
    maskRequestHost: 'app.example',
  }
  const iam = { tokens: { cloud: { audience: 'https://a.example', tokenType: 'JWT-SVID' } } }
  const { sandboxID: id } = await t.create({ network, iam })
  const detail = async (id: string) => (await t.call('GET', `/sandboxes/${id}`)).body
  const shown = { ...network, egressProxy: { address: 'p.example:1', username: 'u', tls: { enabled: true } } }
  expect((await detail(id)).network).toEqual(shown)
  const { checkpointID } = (await t.act(id, 'checkpoints')).body
  await t.act(id, 'pause')
  expect((await detail(id)).network).toEqual(shown)
  await t.act(id, 'rollback', { checkpointID })
  t.node.frozen.clear()
  await t.act(id, 'connect', { timeout: 100 })
  await t.crash()
  const after = await detail(id)
  expect([after.network, after.warnings]).toEqual([shown, undefined])
  const [{ sandbox: fork }] = (await t.act(id, 'fork')).body
  expect(fork.warnings).toEqual([expect.stringContaining("use the identity token 'cloud'")])
  expect((await detail(fork.sandboxID)).network).toEqual(shown)
  const { snapshotID } = (await t.act(id, 'snapshots')).body
  const copy = await detail((await t.create({ templateID: snapshotID })).sandboxID)
  expect([copy.network, copy.warnings]).toEqual([undefined, undefined])
})

test('after a start the node is told the network policy of running and paused sandboxes', async () => {
  const open = await t.create()
  const closed = await t.create({ allow_internet_access: false })
  const paused = await t.create({ allow_internet_access: false })
  await t.act(paused.sandboxID, 'pause')
  await t.crash()
  const { inUse, frozen } = t.node.known!
  expect(inUse.map(({ network }) => network)).toEqual([OPEN, CLOSED])
  expect(frozen).toEqual([
    {
      machineId: expect.any(String),
      checkpointId: expect.any(String),
      sandboxId: paused.sandboxID,
      teamId: expect.any(String),
      network: CLOSED,
      volumes: [],
    },
  ])
  expect([open, closed].every(({ sandboxID }) => t.server.directory.find(sandboxID))).toBe(true)
})
