import { type ConnectionOpts, Sandbox } from 'e2b-official'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Sandbox as OwnSandbox, type SandboxEgressRecord } from '../../packages/sdk/src/index.ts'
import { tryAll } from '../internet/from-guest.ts'
import { internet, trusted } from '../internet/injected.ts'
import { settingsFor } from '../internet/internet.ts'
import { connectionTo, startServer, type TestServer } from '../server.ts'

const { web, other, nameless, echo } = internet.addresses
/** A connection is recorded about three seconds after it closed, and is then on its way for some more. */
const SOON_MS = 20_000

let server: TestServer
let opts: ConnectionOpts
const sandboxes: Sandbox[] = []

async function start(isOn: boolean): Promise<void> {
  const { flags, env } = settingsFor(internet.info)
  server = await startServer({
    name: 'record-egress',
    port: 13_162,
    networkRange: '10.162.0.0/16',
    flags: [...flags, '--pool-min', '1', '--pool-max', '2', '--record-egress', String(isOn)],
    env,
  })
  opts = connectionTo(server.info())
}
async function end(): Promise<void> {
  sandboxes.length = 0
  await server?.purge()
}

async function create(more: object = {}): Promise<Sandbox> {
  const sandbox = await Sandbox.create({ ...opts, ...more, timeoutMs: 300_000 })
  sandboxes.push(sandbox)
  return sandbox
}

async function recordsOf({ sandboxId }: Sandbox): Promise<SandboxEgressRecord[]> {
  const own = await OwnSandbox.connect(sandboxId, opts)
  const found: SandboxEgressRecord[] = []
  for await (const record of own.egress()) found.push(record)
  return found
}

/** Connects to a web server and an echo. @returns whether each answered */
const connect = async (sandbox: Sandbox) =>
  (await tryAll(sandbox, trusted, [{ url: `http://${web}/` }, { tcp: `${echo}:9000` }])).map(({ ok }) => ok)

describe('with the setting recordEgress', () => {
  beforeAll(() => start(true), 600_000)
  afterAll(end, 60_000)

  test('a sandbox without rules is recorded, soon after each connection closed and once', async () => {
    const sandbox = await create()
    expect(await connect(sandbox)).toEqual([true, true])
    const connections = [
      expect.objectContaining({
        address: web,
        port: 80,
        protocol: 'tcp',
        verdict: 'allowed',
        rule: 'default',
      }),
      expect.objectContaining({
        address: echo,
        port: 9000,
        protocol: 'tcp',
        verdict: 'allowed',
        rule: 'default',
      }),
    ]
    await expect
      .poll(() => recordsOf(sandbox), { timeout: SOON_MS })
      .toEqual(expect.arrayContaining(connections))
    const records = await recordsOf(sandbox)
    expect(records.filter(({ address }) => address === web || address === echo)).toHaveLength(2)
    const byEcho = records.find(({ address }) => address === echo)!
    // "ping" and the frames around it, both ways
    expect(byEcho.bytesOut).toBeGreaterThan(100)
    expect(byEcho.bytesIn).toBeGreaterThan(100)
  }, 60_000)

  test('a closed sandbox is recorded with what it tried', async () => {
    const sandbox = await create({ allowInternetAccess: false })
    expect(await connect(sandbox)).toEqual([false, false])
    await expect
      .poll(() => recordsOf(sandbox), { timeout: SOON_MS })
      .toEqual(
        expect.arrayContaining([
          expect.objectContaining({ address: web, port: 80, verdict: 'denied', rule: 'deny 0.0.0.0/0' }),
          expect.objectContaining({ address: echo, port: 9000, verdict: 'denied', rule: 'deny 0.0.0.0/0' }),
        ]),
      )
  }, 60_000)
})

describe('without it', () => {
  beforeAll(() => start(false), 600_000)
  afterAll(end, 60_000)

  test('only sandboxes with rules are recorded', async () => {
    const open = await create()
    const closed = await create({ allowInternetAccess: false })
    expect(await connect(open)).toEqual([true, true])
    expect(await connect(closed)).toEqual([false, false])
    // connects later than the others did, and until it is recorded: the programs that report have only been started
    const ruled = await create({ network: { denyOut: [other] } })
    const recorded = async () => {
      await tryAll(ruled, trusted, [{ url: `http://${other}/` }, { url: `http://${nameless}/` }])
      return recordsOf(ruled)
    }
    await expect
      .poll(recorded, { timeout: 30_000, interval: 1_000 })
      .toEqual(
        expect.arrayContaining([
          expect.objectContaining({ address: other, verdict: 'denied', rule: `deny ${other}/32` }),
          expect.objectContaining({ address: nameless, verdict: 'allowed' }),
        ]),
      )
    expect(await recordsOf(open)).toEqual([])
    expect(await recordsOf(closed)).toEqual([])
  }, 90_000)
})
