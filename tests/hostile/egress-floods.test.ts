import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import os from 'node:os'
import { promisify } from 'node:util'
import { beforeAll, expect, test } from 'vitest'
import { reachedOf, type Try } from '../internet/from-guest.ts'
import { internet, trusted } from '../internet/injected.ts'
import { asRoot, gatewayOf, guest, pythonAsRoot, server } from './guest.ts'

const NETWORK = {
  denyOut: ['0.0.0.0/0'],
  allowOut: ['allowed.test', 'sub.allowed.test'],
  rules: { 'sub.allowed.test': [{ transform: { headers: { 'x-set': 'yes' } } }] },
}
const MiB = 2 ** 20
/** Connections and UDP flows of one sandbox, as tests/global-setup.ts sets it. */
const MAX_CONNECTIONS = 2_500
const SLOW_READERS = 40
/** What a connection whose client reads nothing may hold: buffers of both sides. */
const MAX_BYTES_A_READER = 2 * MiB
const { web } = internet.addresses

const attacker = guest({ network: NETWORK })
const neighbour = guest({ network: NETWORK })
const idler = guest({ network: NETWORK })
const udpAttacker = guest({ network: { denyOut: ['0.0.0.0/0'], allowOut: [internet.addresses.echo] } })

const rssMiB = (): number =>
  Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${server.pid}/status`, 'utf8'))![1]) / 1024
const isServed = (sandbox = neighbour()) =>
  reachedOf(sandbox, trusted, {
    plain: { url: 'http://allowed.test/' },
    spliced: { url: 'https://allowed.test/' },
    intercepted: { url: 'https://sub.allowed.test/', trustsSystemOnly: true },
  })
const recordOf = async ({ sandboxId }: { sandboxId: string }): Promise<string> => {
  const { E2B_API_URL, E2B_API_KEY } = server.env
  const answer = await fetch(`${E2B_API_URL}/sandboxes/${sandboxId}/egress?limit=1000`, {
    headers: { 'x-api-key': E2B_API_KEY! },
  })
  return answer.text()
}
const ALL_WAYS = ['plain', 'spliced', 'intercepted']

/** Resolves with the seconds until the last of the connections was ended; they wait while other tests run. */
let waiting: Promise<number>
beforeAll(() => {
  const program = `
import json, socket, threading, time
started = time.monotonic()
ended = []
def hold(port, data):
    try:
        with socket.create_connection(("${web}", port), timeout=10) as connection:
            connection.settimeout(1)
            for at in range(60):
                try:
                    connection.sendall(data[at:at + 1])
                    if not connection.recv(100): break
                except TimeoutError:
                    pass
    except OSError:
        pass
    ended.append(time.monotonic() - started)
hello = b"\\x16\\x03\\x01\\x02\\x00\\x01\\x00\\x01\\xfc\\x03\\x03" + b"x" * 100
threads = [threading.Thread(target=hold, args=each) for each in
  [(443, hello), (443, b""), (80, b"GET / HTTP/1.1\\r\\nHost: allowed.test\\r\\n" + b"x" * 100), (80, b"")] * 5]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(json.dumps(max(ended)))`
  waiting = pythonAsRoot<number>(idler(), program)
  waiting.catch(() => {})
})

test('responses that are not read take little memory, and others are served', async () => {
  const program = `
import socket, ssl, sys, time, json
open_ones = []
for i in range(${SLOW_READERS}):
    raw = socket.create_connection(("${web}", 443), timeout=10)
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    name = "sub.allowed.test" if i % 2 else "allowed.test"
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    connection = context.wrap_socket(raw, server_hostname=name)
    connection.sendall(f"GET /bytes/1000000000 HTTP/1.1\\r\\nHost: {name}\\r\\n\\r\\n".encode())
    open_ones.append(connection)
print(json.dumps(len(open_ones)), flush=True)
time.sleep(60)`
  await isServed()
  const before = rssMiB()
  await attacker().files.write('/tmp/slow.py', program)
  const slow = await attacker().commands.run('python3 /tmp/slow.py > /tmp/slow.log', {
    background: true,
    timeoutMs: 0,
  })
  await asRoot(
    attacker(),
    'for i in $(seq 200); do grep -q 40 /tmp/slow.log && exit; sleep 0.1; done; exit 1',
  )
  expect(await isServed()).toEqual(ALL_WAYS)
  expect(rssMiB() - before).toBeLessThan((SLOW_READERS * MAX_BYTES_A_READER) / MiB)
  await slow.kill()
}, 90_000)

test('a flood of connections is limited, and another sandbox is served meanwhile', async () => {
  const program = `
import json, resource, select, socket, time
resource.setrlimit(resource.RLIMIT_NOFILE, (20000, 20000))
held, failed = [], 0
poller = select.poll()
deadline = time.monotonic() + 25
for i in range(3500):
    if time.monotonic() > deadline: break
    connection = socket.socket()
    connection.setblocking(False)
    connection.connect_ex(("${web}", 443))
    held.append(connection)
    if i % 100 == 99: time.sleep(0.05)
time.sleep(4)
alive = 0
for connection in held:
    try:
        connection.getpeername()
        try:
            alive += 0 if connection.recv(1) == b"" else 1
        except BlockingIOError:
            alive += 1
        except OSError:
            pass
    except OSError:
        pass
print(json.dumps([len(held), alive]), flush=True)`
  const flood = pythonAsRoot<[number, number]>(attacker(), program)
  const served = await isServed()
  const [tried, alive] = await flood
  expect(served).toEqual(ALL_WAYS)
  expect(tried).toBeGreaterThan(MAX_CONNECTIONS)
  expect(alive).toBeLessThanOrEqual(MAX_CONNECTIONS)
  await expect.poll(() => recordOf(attacker()), { timeout: 15_000 }).toContain('connection limit')
}, 90_000)

test('a flood of UDP flows is limited too', async () => {
  const text = `flow-${process.pid}`
  const program = `
import json, resource, socket, time
resource.setrlimit(resource.RLIMIT_NOFILE, (20000, 20000))
held = []
for i in range(3200):
    flow = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    flow.sendto(b"${text}", ("${internet.addresses.echo}", 9000))
    held.append(flow)
    if i % 100 == 99: time.sleep(0.02)
print(json.dumps(len(held)))`
  expect(await pythonAsRoot<number>(udpAttacker(), program)).toBe(3_200)
  const { datagrams } = await internet.records()
  const arrived = datagrams.filter((datagram) => datagram.text === text).length
  expect(arrived).toBeGreaterThan(1_000)
  expect(arrived).toBeLessThanOrEqual(MAX_CONNECTIONS)
}, 60_000)

test('neither the proxy nor the resolver nor a service of the host is reached at its own port', async () => {
  const visitors: string[] = []
  const careless: Server = createServer((request, response) => {
    visitors.push(String(request.socket.remoteAddress))
    response.end('{"address":"host"}')
  }).listen(0, '::')
  await once(careless, 'listening')
  try {
    const { stdout } = await promisify(execFile)('ss', ['-Hltnup'])
    const own = stdout.split('\n').filter((line) => line.includes(`pid=${server.pid},`))
    const ports = [...new Set(own.map((line) => Number(/[:\]](\d+)\s/.exec(line)?.[1])))]
    expect(ports).toContain(server.port)
    const hosts = [
      await gatewayOf(attacker()),
      '169.254.53.53',
      ...Object.values(os.networkInterfaces())
        .flatMap((list) => list ?? [])
        .filter(({ family, internal }) => family === 'IPv4' && !internal)
        .map(({ address }) => address)
        .slice(0, 3),
    ]
    const table: Record<string, Try> = {}
    for (const host of hosts)
      for (const port of [...ports, (careless.address() as AddressInfo).port]) {
        table[`${host}:${port}`] = { url: `http://${host}:${port}/health` }
        table[`tcp ${host}:${port}`] = { tcp: `${host}:${port}` }
        table[`udp ${host}:${port}`] = { udp: `${host}:${port}` }
      }
    expect(await reachedOf(attacker(), trusted, table)).toEqual([])
    expect(visitors).toEqual([])
  } finally {
    careless.close()
  }
}, 120_000)

test('connections that say nothing, or a byte a second, were ended meanwhile', async () => {
  expect(await waiting).toBeLessThan(45)
}, 60_000)
