import { execFile } from 'node:child_process'
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { namesFor } from '@sandlot/node/instance-names'
import { Sandbox, type SandboxOpts } from 'e2b-official'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { CHECKOUT, connectionTo, sandlot, startServer, type TestServer } from '../server.ts'
import { acceptedOf, addressOf, pythonAsRoot } from './guest.ts'
import { countLeaks, deleteFirewall, type Leaks, sendsOn, startSender } from './leaks.ts'
import { type Outside, openOutside } from './outside.ts'

const NOBODY = `11.212.${CHECKOUT}.98`
const PORT = 8080
const MAX_CONNECTIONS = 64
const MENDED = { timeout: 20_000, interval: 200 }

let server: TestServer
let outside: Outside
let leaks: Leaks
/** Wraps the real nft: while the file `refuse` exists no table is installed. */
let programs: string
let open: Sandbox
let closed: Sandbox

const nft = async (...args: string[]) => (await promisify(execFile)('nft', args, { timeout: 10_000 })).stdout
const table = () => namesFor(server.info().home).nftTable
const create = (opts: SandboxOpts = {}) =>
  Sandbox.create({ ...connectionTo(server.info()), timeoutMs: 900_000, ...opts })
const post = async (path: string, body: object) => {
  const { apiUrl, apiKey } = connectionTo(server.info())
  const response = await fetch(`${apiUrl}${path}`, {
    method: 'POST',
    headers: { 'x-api-key': String(apiKey), 'content-type': 'application/json' },
    body: JSON.stringify(body),
    signal: AbortSignal.timeout(30_000),
  })
  return { status: response.status, body: (await response.json()) as Record<string, unknown> }
}
const reachesOutside = async (sandbox: Sandbox) =>
  (await acceptedOf(sandbox, [`${outside.address}:${outside.port}`])).length === 1
const timesSaid = (text: string) => server.log().split(text).length - 1

beforeAll(async () => {
  programs = mkdtempSync(join(tmpdir(), 'sandlot-programs-'))
  const wrapper = `#!/bin/sh
if [ "$1" = -f ] && [ -e ${programs}/refuse ]; then echo 'Error: refused for a test' >&2; exit 1; fi
exec ${(await promisify(execFile)('which', ['nft'])).stdout.trim()} "$@"
`
  writeFileSync(join(programs, 'nft'), wrapper)
  chmodSync(join(programs, 'nft'), 0o755)
  server = await startServer({
    name: 'firewall-gone',
    port: 13_228,
    networkRange: '10.228.0.0/16',
    flags: ['--pool-min', '1', '--pool-max', '2', '--sandbox-connections', String(MAX_CONNECTIONS)],
    env: { PATH: `${programs}:${process.env.PATH}` },
  })
  outside = await openOutside({ alsoRouted: [NOBODY] })
  leaks = await countLeaks(server.info().home, outside.address)
  open = await create()
  closed = await create({ allowInternetAccess: false })
  await startSender(closed, NOBODY, PORT)
  // an address that no sandbox may send to
  await startSender(open, outside.privateAddresses[0]!, PORT, { withDns: false })
}, 300_000)
afterAll(async () => {
  await leaks?.close()
  await outside?.close()
  await server?.purge()
  if (programs) rmSync(programs, { recursive: true, force: true })
}, 120_000)

test('connections of one sandbox are limited, independently of other sandboxes', async () => {
  const [many, few] = await Promise.all([create(), create()])
  const program = `
import json, socket, sys
sockets = []
for i in range(3 * int(sys.argv[3])):
    sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sender.sendto(("%s %d" % (sys.argv[4], i)).encode(), (sys.argv[1], int(sys.argv[2])))
    sockets.append(sender)
print(json.dumps(len(sockets)))`
  const args = [outside.address, String(outside.port)]
  await pythonAsRoot(many, program, ...args, String(MAX_CONNECTIONS), 'many')
  await pythonAsRoot(few, program, ...args, '4', 'few')
  const arrived = (await (
    await fetch(`http://${outside.address}:${outside.port}/datagrams`)
  ).json()) as string[]
  const of = (name: string) => arrived.filter((text) => text.startsWith(name)).length
  expect(of('few')).toBe(12)
  expect(of('many')).toBeGreaterThan(MAX_CONNECTIONS / 2)
  expect(of('many')).toBeLessThanOrEqual(MAX_CONNECTIONS)
  await Promise.all([many.kill(), few.kill()])
})

test('open connections of a sandbox do not count against the next sandbox in its slot', async () => {
  const holder = await create()
  const place = await addressOf(holder)
  const program = `
import json, socket, subprocess, sys
hold = "import socket, time\\ns = [socket.create_connection(('%s', %s), 5) for i in range(%s)]\\nprint('open', flush=True)\\ntime.sleep(600)"
child = subprocess.Popen(['python3', '-c', hold % tuple(sys.argv[1:4])], stdout=subprocess.PIPE)
print(json.dumps(child.stdout.readline().decode().strip()))`
  const args = [outside.address, String(outside.port), String(MAX_CONNECTIONS)]
  expect(await pythonAsRoot(holder, program, ...args)).toBe('open')
  await holder.kill()
  const others: Sandbox[] = []
  try {
    let next: Sandbox
    do others.push((next = await create()))
    while ((await addressOf(next)) !== place && others.length < 12)
    expect(await addressOf(next)).toBe(place)
    const { stdout } = await next.commands.run(`curl -s -m 5 http://${outside.address}:${outside.port}/`)
    expect(stdout).toBe('outside')
  } finally {
    await Promise.all(others.map((sandbox) => sandbox.kill()))
  }
})

test('without the firewall table every sandbox is frozen, nothing starts and no packet leaves; all continue when the table is back', async () => {
  const other = await create()
  await other.pause()
  writeFileSync(join(programs, 'refuse'), '')
  try {
    await deleteFirewall(server.info().home)
    await expect.poll(() => timesSaid('machines are frozen'), MENDED).toBe(1)
    // the fault is logged before the machines are frozen
    const runs = () =>
      open.commands.run('true', { requestTimeoutMs: 2_000 }).then(
        () => true,
        () => false,
      )
    await expect.poll(runs, MENDED).toBe(false)
    for (const [path, body] of [
      ['/v2/sandboxes', { templateID: 'base' }],
      [`/sandboxes/${other.sandboxId}/connect`, { timeout: 60 }],
      [`/sandboxes/${other.sandboxId}/resume`, { timeout: 60 }],
    ] as const) {
      const refused = await post(path, body)
      expect(refused, path).toMatchObject({ status: 503, body: { error_code: 'firewall_unavailable' } })
      expect(refused.body.message).toContain(table())
    }
    expect(await sandlot(['status', '--home', server.info().home])).toContain('sandboxes are frozen')
  } finally {
    rmSync(join(programs, 'refuse'))
  }
  await expect.poll(() => timesSaid('machines run again'), MENDED).toBe(1)
  expect(await sandlot(['status', '--home', server.info().home])).not.toContain('are frozen')
  await Promise.all([sendsOn(open), sendsOn(closed)])
  expect(await leaks.leaked()).toBe(0)
  const fresh = await create()
  expect(await reachesOutside(fresh)).toBe(true)
  await Promise.all([fresh.kill(), other.kill()])
})

test.each([
  ['is deleted', () => deleteFirewall(server.info().home)],
  ['has an additional rule', () => nft('insert', 'rule', 'inet', table(), 'from_sandbox', 'accept')],
  ['has no rules', () => nft('flush', 'table', 'inet', table())],
  [
    'has an additional open address',
    () => nft('add', 'element', 'inet', table(), 'open', '{ "eth9" . 10.228.0.2 }'),
  ],
])('a table that %s is installed again at once, and no packet leaves meanwhile', async (_, change) => {
  const before = timesSaid('machines run again')
  await change()
  await expect.poll(() => timesSaid('machines run again'), { timeout: 3_000, interval: 50 }).toBe(before + 1)
  const listed = await nft('list', 'table', 'inet', table())
  expect(listed).toContain('@open goto internet')
  expect(listed).not.toContain('eth9')
  await Promise.all([sendsOn(open), sendsOn(closed)])
  expect(await leaks.leaked()).toBe(0)
})

test('without table and server the filters of the links still apply, and the next server keeps each machine with its policy', async () => {
  await server.kill()
  await deleteFirewall(server.info().home)
  await sleep(5_000)
  expect(await leaks.leaked()).toBe(0)
  await server.start()
  await Promise.all([sendsOn(open), sendsOn(closed)])
  expect(await leaks.leaked()).toBe(0)
  expect(await reachesOutside(closed)).toBe(false)
  const fresh = await create()
  expect(await reachesOutside(fresh)).toBe(true)
  await fresh.kill()
})

test('a start whose table cannot be installed fails and says so', async () => {
  await server.stop()
  writeFileSync(join(programs, 'refuse'), '')
  try {
    await expect(server.start()).rejects.toThrow(/cannot be installed.*refused for a test/s)
  } finally {
    rmSync(join(programs, 'refuse'))
  }
})
