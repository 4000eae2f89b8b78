import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { promisify } from 'node:util'
import { namesFor } from '@sandlot/node/instance-names'
import { Sandbox } from 'e2b-official'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { InternetControl } from '../internet/control.ts'
import { reachedOf } from '../internet/from-guest.ts'
import { type Internet, openInternet, settingsFor } from '../internet/internet.ts'
import { connectionTo, startServer, type TestServer } from '../server.ts'

/** The full run is `CHAOS_ROUNDS=50`. */
const ROUNDS = Math.ceil(Number(process.env.CHAOS_ROUNDS ?? 1) / 5)
const ALL = '0.0.0.0/0'
const POLL = { timeout: 30_000, interval: 250 }

let internet: Internet
let control: InternetControl
let server: TestServer
let trusted: string

beforeAll(async () => {
  internet = await openInternet()
  control = new InternetControl(internet)
  trusted = readFileSync(internet.caFile, 'utf8')
  const { flags, env } = settingsFor(internet)
  server = await startServer({
    name: 'egress-killed',
    port: 13_218,
    networkRange: '10.218.0.0/16',
    flags: [...flags, '--pool-min', '1', '--pool-max', '2'],
    env,
  })
}, 300_000)
afterAll(async () => {
  await server?.purge()
  await internet?.close()
}, 120_000)

const create = (network: object) =>
  Sandbox.create({ ...connectionTo(server.info()), timeoutMs: 900_000, network })

/** Never stops trying what its rules refuse: names, addresses, UDP and TCP, on many connections. */
async function startTrying(sandbox: Sandbox): Promise<void> {
  const { other } = internet.addresses
  const program = `
import socket, time
def attempt(kind, port, data):
    try:
        with socket.socket(socket.AF_INET, kind) as connection:
            connection.settimeout(0.2)
            connection.connect(("${other}", port))
            connection.sendall(data)
            connection.recv(10)
    except OSError:
        pass
while True:
    attempt(socket.SOCK_DGRAM, 9000, b"refused")
    attempt(socket.SOCK_STREAM, 9000, b"refused")
    attempt(socket.SOCK_STREAM, 80, b"GET /refused HTTP/1.1\\r\\nHost: denied.test\\r\\n\\r\\n")
`
  await sandbox.files.write('/tmp/trying.py', program)
  await sandbox.commands.run('python3 /tmp/trying.py', { background: true, timeoutMs: 0 })
}

/** Keeps one TCP connection to an echo and counts what comes back into a file. */
async function startTalking(sandbox: Sandbox): Promise<void> {
  const program = `
import socket, time
connection = socket.create_connection(("${internet.addresses.echo}", 9000))
connection.settimeout(20)
count = 0
while True:
    connection.sendall(b"x")
    assert connection.recv(1) == b"x"
    count += 1
    open("/tmp/count", "w").write(str(count))
    time.sleep(0.05)
`
  await sandbox.files.write('/tmp/talking.py', program)
  await sandbox.commands.run('python3 /tmp/talking.py', { background: true, timeoutMs: 0 })
  await expect.poll(() => countOf(sandbox), POLL).toBeGreaterThan(0)
}

const countOf = async (sandbox: Sandbox): Promise<number> =>
  Number(await sandbox.files.read('/tmp/count').catch(() => '0'))

/** What arrived at the address that all rules refuse. */
async function refusedArrivals() {
  const { connections, datagrams } = await control.records()
  return [...connections, ...datagrams].filter(({ address }) => address === internet.addresses.other)
}

const allowed = (sandbox: Sandbox) =>
  reachedOf(sandbox, trusted, {
    http: { url: 'http://allowed.test/' },
    https: { url: 'https://allowed.test/' },
  })

test(`${ROUNDS} times kill -9 of the server, and no refused packet passes before, meanwhile or after, and connections by address live on`, async () => {
  const byName = await create({ denyOut: [ALL], allowOut: ['allowed.test'] })
  const byAddress = await create({ denyOut: [ALL], allowOut: [internet.addresses.echo] })
  await Promise.all([startTrying(byName), startTrying(byAddress), startTalking(byAddress)])
  expect(await allowed(byName)).toEqual(['http', 'https'])
  for (let round = 0; round < ROUNDS; round++) {
    const stream = await byName.commands.run(
      'curl -sN -m 60 http://allowed.test/events/1000?everyMs=20 > /tmp/events || true',
      { background: true, timeoutMs: 0 },
    )
    await byName.commands.run('until grep -q data: /tmp/events; do sleep 0.05; done')
    const before = await countOf(byAddress)
    const requests = (await control.records()).requests.length
    await server.kill()
    void stream.wait().catch(() => {})
    // the attempts go on without a server
    await new Promise((resolve) => setTimeout(resolve, 1_500))
    expect((await control.records()).requests.length).toBe(requests)
    await server.start()
    await expect.poll(() => allowed(byName), POLL).toEqual(['http', 'https'])
    await expect.poll(() => countOf(byAddress), POLL).toBeGreaterThan(before + 20)
    expect(await refusedArrivals()).toEqual([])
  }
  await Promise.all([byName.kill(), byAddress.kill()])
  // a round took 70 s on a machine with a load of 39, most of it the start of the server
}, 1_400_000)

test('a purge leaves no routing rule and no table behind', async () => {
  const { nftTable, mark } = namesFor(server.info().home)
  const run = async (command: string, ...args: string[]) => (await promisify(execFile)(command, args)).stdout
  const state = async () => ({
    rules: (await run('ip', 'rule')).split('\n').filter((line) => line.includes(`0x${mark.toString(16)} `)),
    tables: (await run('nft', 'list', 'tables')).split('\n').filter((line) => line.endsWith(` ${nftTable}`)),
  })
  expect(await state()).toEqual({ rules: [expect.any(String)], tables: [expect.any(String)] })
  await server.purge()
  expect(await state()).toEqual({ rules: [], tables: [] })
}, 120_000)
