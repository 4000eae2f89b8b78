// What rules for the way out cost: starts a server and an internet of its own. See README.md.
import { readFileSync } from 'node:fs'
import { Sandbox } from 'e2b-official'
import { type Internet, openInternet, settingsFor } from '../tests/internet/internet.ts'
import { Slot } from '../tests/internet/slot.ts'
import { connectionTo, startServer, type TestServer } from '../tests/server.ts'
import { pause, report, round, summarize } from './stats.ts'

const argument = (name: string, otherwise: number) =>
  Number(process.argv[process.argv.indexOf(name) + 1]) || otherwise
const ROUNDS = argument('--n', 3)
const BYTES = argument('--bytes', 1_000_000_000)
const REQUESTS = argument('--requests', 10_000)
const HANDSHAKES = 200
const CONNECTIONS = 1_000
const RANGE = '10.223.0.0/16'
const TIMEOUT_MS = 300_000
const NAME = 'allowed.test'
const ALL = '0.0.0.0/0'

const waysTo = (web: string) => ({
  'no policy': {},
  'address policy': { denyOut: [ALL], allowOut: [web] },
  'name policy': { denyOut: [ALL], allowOut: [NAME] },
  transform: {
    denyOut: [ALL],
    allowOut: [NAME],
    rules: { [NAME]: [{ transform: { headers: { 'x-set': 'yes' } } }] },
  },
})
type Way = keyof ReturnType<typeof waysTo>

/** Runs a command as one side of the comparison, and returns what it printed. */
type Side = (command: string) => Promise<string>

const residentBytes = (pid: number): number =>
  Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))![1]) * 1024

/** Requests and handshakes are in HTTP/1.1, as Node's server ends an HTTP/2 connection of curl after a thousand requests. */
const curl = (web: string, version = '1.1') => `curl -skf --http${version} --resolve ${NAME}:443:${web}`

/** @returns seconds, as curl measures them: without its start */
async function download(side: Side, web: string, version: '1.1' | '2'): Promise<number> {
  const out = await side(
    `${curl(web, version)} -o /dev/null -w '%{time_total} %{size_download} %{http_version}' https://${NAME}/bytes/${BYTES}`,
  )
  const [seconds, size, used] = out.split(' ').map(Number)
  if (size !== BYTES) throw new Error(`${size} bytes arrived, not ${BYTES}`)
  if (used !== Number(version)) throw new Error(`the download was in HTTP/${used}, not ${version}`)
  return seconds!
}

/** Requests one after the other on one connection. @returns seconds */
async function manyRequests(side: Side, web: string): Promise<number> {
  const out = await side(
    `${curl(web)} -o /dev/null -w '%{time_total} %{http_code}\\n' "https://${NAME}/status/204?[1-${REQUESTS}]"`,
  )
  const lines = out.trim().split('\n')
  if (lines.length !== REQUESTS || lines.some((line) => !line.endsWith('204')))
    throw new Error(`not all requests were answered: ${lines.length} lines`)
  return lines.reduce((sum, line) => sum + Number(line.split(' ')[0]), 0)
}

/** @returns milliseconds until each of many connections had its handshake behind it */
async function handshakes(side: Side, web: string): Promise<number[]> {
  const out = await side(
    `${curl(web)} -H 'Connection: close' -o /dev/null -w '%{time_appconnect}\\n' "https://${NAME}/status/204?[1-${HANDSHAKES}]"`,
  )
  return out
    .trim()
    .split('\n')
    .map((line) => Number(line) * 1000)
}

const HOLD = (web: string) => `exec python3 - <<'END'
import socket, ssl, time
context = ssl.create_default_context()
context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
held = []
for _ in range(${CONNECTIONS}):
    connection = context.wrap_socket(socket.create_connection(("${web}", 443)), server_hostname="${NAME}")
    connection.sendall(b"GET /status/204 HTTP/1.1\\r\\nHost: ${NAME}\\r\\n\\r\\n")
    connection.recv(1000)
    held.append(connection)
print("held", flush=True)
time.sleep(5)
END`

/** @returns bytes of the server that each open connection takes */
async function memoryOf(side: Side, serverPid: number, web: string): Promise<number> {
  await handshakes(side, web)
  const before = residentBytes(serverPid)
  let most = before
  let isDone = false
  const holding = side(`ulimit -n 4096; ${HOLD(web)}`).finally(() => {
    isDone = true
  })
  while (!isDone) {
    most = Math.max(most, residentBytes(serverPid))
    await pause(250)
  }
  await holding
  return (most - before) / CONNECTIONS
}

interface Measured {
  download: number[]
  /** One stream of HTTP/2. */
  downloadHttp2: number[]
  requests: number[]
  handshakes: number[]
}

async function measure(side: Side, web: string, into: Measured): Promise<void> {
  into.download.push(await download(side, web, '1.1'))
  into.downloadHttp2.push(await download(side, web, '2'))
  into.requests.push(await manyRequests(side, web))
  into.handshakes.push(...(await handshakes(side, web)))
}

const shown = (all: Record<Way, Measured>): Record<string, unknown> => {
  const base = all['no policy']
  const median = (values: number[]) => summarize(values).p50
  return Object.fromEntries(
    Object.entries(all).map(([way, { download, downloadHttp2, requests, handshakes }]) => [
      way,
      {
        'download: s': round(median(download)),
        'of no policy': round(median(download) / median(base.download)),
        'download in HTTP/2: s': round(median(downloadHttp2)),
        'of no policy  ': round(median(downloadHttp2) / median(base.downloadHttp2)),
        'requests: s': round(median(requests)),
        'of no policy ': round(median(requests) / median(base.requests)),
        'new TLS connection: ms': round(median(handshakes)),
        'more than no policy: ms': round(median(handshakes) - median(base.handshakes)),
      },
    ]),
  )
}

const empty = (): Measured => ({ download: [], downloadHttp2: [], requests: [], handshakes: [] })
let internet: Internet | undefined
let server: TestServer | undefined
try {
  internet = await openInternet()
  const { flags, env } = settingsFor(internet)
  server = await startServer({
    ...{ name: 'bench-egress', port: 13_223, networkRange: RANGE, env },
    flags: [...flags, '--pool-min', '1', '--pool-max', '1'],
  })
  const { web } = internet.addresses
  const sandbox = await Sandbox.create({ ...connectionTo(server.info()), timeoutMs: 3_000_000 })
  const slot = new Slot(server.info(), sandbox.sandboxId)
  const { pid } = server.info()
  const inSandbox: Side = async (command) =>
    (await sandbox.commands.run(command, { timeoutMs: TIMEOUT_MS })).stdout
  const ways = Object.entries(waysTo(web)) as Array<[Way, object]>
  const table = () => Object.fromEntries(ways.map(([way]) => [way, empty()])) as Record<Way, Measured>
  // first, while the server has no memory to use again
  const memory: Record<string, number> = {}
  for (const way of ['name policy', 'transform'] as const) {
    await sandbox.updateNetwork(waysTo(web)[way])
    const bytes = await slot.use((run) => memoryOf((command) => run('sh', '-c', command), pid, web))
    memory[`${way}: KiB`] = round(bytes / 1024)
  }
  const outside = table()
  const inside = table()
  // the first round warms up server, sources and sandbox
  for (let i = 0; i <= ROUNDS; i++)
    for (const [way, network] of ways) {
      await sandbox.updateNetwork(network)
      await slot.use((run) =>
        measure((command) => run('sh', '-c', command), web, i > 0 ? outside[way] : empty()),
      )
      await measure(inSandbox, web, i > 0 ? inside[way] : empty())
    }
  report('egress', {
    'from the slot on the host': shown(outside),
    'from the sandbox': shown(inside),
    'memory of an open connection': memory,
  })
} finally {
  await server?.purge()
  await internet?.close()
}
process.exit(0)
