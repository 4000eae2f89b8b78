// Pause, resume, fork and snapshot over the API, beside raw runsc on the same sandbox. See README.md.
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { BuildResources } from '@sandlot/protocol/node'
import type { Sandbox } from 'e2b-official'
import { type BareEngine, type BareSource, openBareEngine } from './bare-engine.ts'
import { apiHeaders, apiUrl, createSandbox, home, killAll, machineOf, metadata, onExit } from './server.ts'
import { pause, report, round, summarize, timed } from './stats.ts'

const count = Number(process.argv[process.argv.indexOf('--n') + 1]) || 20
/** `--size 128x500`: only 128 MB of memory and 500 MB of disk. */
const [, onlyMemory, onlyDisk] =
  /^(\d+)x(\d+)$/.exec(process.argv[process.argv.indexOf('--size') + 1] ?? '') ?? []
const sizes = onlyMemory
  ? [{ memoryMB: Number(onlyMemory), diskMB: Number(onlyDisk) }]
  : [0, 128, 512].flatMap((memoryMB) => [0, 500].map((diskMB) => ({ memoryMB, diskMB })))
const REQUEST_TIMEOUT_MS = 120_000
const COLD_TIMEOUT_MS = 120_000
const FORK_TIMEOUT_SECONDS = 300
const LIFE_SECONDS = 3_600
const PORT = 8000
const sandboxUrl = String(process.env.E2B_SANDBOX_URL)

/** A server in the sandbox that allocates the memory and answers requests, so that the edge wakes the sandbox for it. */
const server = (memoryMB: number) => `
import http.server, os
memory = [bytearray(os.urandom(4096) * 256) for _ in range(${memoryMB})]
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header('content-length', '2')
        self.end_headers()
        self.wfile.write(b'ok')
    def log_message(self, *args):
        pass
http.server.ThreadingHTTPServer(('0.0.0.0', ${PORT}), Answer).serve_forever()
`

async function call<T>(method: string, path: string, body?: unknown): Promise<T> {
  const response = await fetch(apiUrl + path, {
    method,
    headers: apiHeaders,
    body: body === undefined ? undefined : JSON.stringify(body),
    signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS),
  })
  const text = await response.text()
  if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text.slice(0, 300)}`)
  return (text ? JSON.parse(text) : undefined) as T
}

async function throughEdge(sandboxId: string): Promise<void> {
  const response = await fetch(sandboxUrl, {
    headers: { 'e2b-sandbox-id': sandboxId, 'e2b-sandbox-port': String(PORT) },
    signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS),
  })
  const text = await response.text()
  if (response.status !== 200) throw new Error(`through the edge: ${response.status} ${text.slice(0, 300)}`)
}

async function prepare({ memoryMB, diskMB }: (typeof sizes)[number]): Promise<Sandbox> {
  const sandbox = await createSandbox({
    timeoutMs: LIFE_SECONDS * 1000,
    lifecycle: { onTimeout: 'pause', autoResume: true },
  })
  await sandbox.files.write('/tmp/server.py', server(memoryMB))
  await sandbox.commands.run('python3 /tmp/server.py', { background: true, timeoutMs: 0 })
  if (diskMB > 0)
    await sandbox.commands.run(`head -c ${diskMB}M /dev/urandom > /home/user/ballast && sync`, {
      timeoutMs: REQUEST_TIMEOUT_MS,
    })
  const deadline = performance.now() + COLD_TIMEOUT_MS
  while (performance.now() < deadline)
    if (
      await throughEdge(sandbox.sandboxId).then(
        () => true,
        () => false,
      )
    )
      return sandbox
  throw new Error(`the server in sandbox ${sandbox.sandboxId} does not answer`)
}

/** Waits until the paused sandbox is no longer frozen in memory. */
async function untilCold(machineId: string): Promise<void> {
  const deadline = performance.now() + COLD_TIMEOUT_MS
  while (existsSync(join(home, 'run/machines', machineId))) {
    if (performance.now() > deadline)
      throw new Error('a paused sandbox stays in memory: start the server with --hot-pause-seconds 2')
    await pause(50)
  }
}

const KINDS = [
  'raw checkpoint',
  'raw restore',
  'pause',
  'resume hot',
  'resume cold',
  'edge, first request to a cold one',
  'fork x1',
  'fork x10',
  'snapshot',
  'create from it',
] as const
type Measured = Record<(typeof KINDS)[number], number[]>

type MachineRecord = Pick<BareSource, 'imagePath' | 'guestDir'> & { resources: BuildResources }

async function measure(engine: BareEngine, sandbox: Sandbox, into: Measured): Promise<void> {
  const id = sandbox.sandboxId
  const take = async <T>(kind: keyof Measured, work: () => Promise<T>): Promise<T> => {
    const [result, ms] = await timed(work)
    into[kind].push(ms)
    return result
  }
  const resume = () => call('POST', `/sandboxes/${id}/connect`, { timeout: LIFE_SECONDS })
  const putAway = () => call('POST', `/sandboxes/${id}/pause`, {})

  const folder = mkdtempSync(join(tmpdir(), 'sandlot-bench-'))
  try {
    await take('raw checkpoint', () => engine.checkpoint(machineOf(id), folder))
    const record = readFileSync(join(home, 'run/machines', machineOf(id), 'machine.json'), 'utf8')
    const { imagePath, guestDir, resources } = JSON.parse(record) as MachineRecord
    await take('raw restore', () => engine.restore(0, { ...resources, imagePath, guestDir }, folder))
    await engine.end(0)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }

  await take('pause', putAway)
  await take('resume hot', resume)
  await putAway()
  await untilCold(machineOf(id))
  await take('resume cold', resume)
  await putAway()
  await untilCold(machineOf(id))
  await take('edge, first request to a cold one', () => throughEdge(id))

  for (const copies of [1, 10] as const) {
    const forks = await take(`fork x${copies}`, () =>
      call<Array<{ sandbox?: { sandboxID: string }; error?: { message: string } }>>(
        'POST',
        `/sandboxes/${id}/fork`,
        { count: copies, timeout: FORK_TIMEOUT_SECONDS },
      ),
    )
    for (const { sandbox: fork, error } of forks) {
      if (!fork) throw new Error(`a fork failed: ${error?.message}`)
      await call('DELETE', `/sandboxes/${fork.sandboxID}`)
    }
  }

  const { snapshotID } = await take('snapshot', () =>
    call<{ snapshotID: string }>('POST', `/sandboxes/${id}/snapshots`, {}),
  )
  const created = await take('create from it', () =>
    call<{ sandboxID: string }>('POST', '/v2/sandboxes', {
      templateID: snapshotID,
      timeout: FORK_TIMEOUT_SECONDS,
      metadata,
    }),
  )
  await call('DELETE', `/sandboxes/${created.sandboxID}`)
  await call('DELETE', `/templates/${encodeURIComponent(snapshotID)}`)
}

/** Baseline of each measurement: the raw work that it includes. */
const BASELINES: Array<[keyof Measured, Array<keyof Measured>]> = [
  ['pause', ['raw checkpoint']],
  ['resume cold', ['raw restore']],
  ['edge, first request to a cold one', ['raw restore']],
  ['fork x1', ['raw checkpoint', 'raw restore']],
  ['fork x10', ['raw checkpoint', 'raw restore']],
  ['snapshot', ['raw checkpoint']],
  ['create from it', ['raw restore']],
]

await onExit()
const engine = await openBareEngine(1)
const results: Record<string, unknown> = {}
try {
  for (const size of sizes) {
    const sandbox = await prepare(size)
    const measured = Object.fromEntries(KINDS.map((kind) => [kind, []])) as unknown as Measured
    await measure(engine, sandbox, structuredClone(measured))
    for (let i = 0; i < count; i++) await measure(engine, sandbox, measured)
    const name = `${size.memoryMB} MB memory, ${size.diskMB} MB disk`
    for (const kind of KINDS) results[`${name}: ${kind} ms`] = summarize(measured[kind])
    for (const [kind, raw] of BASELINES) {
      const rawMs = raw.reduce((sum, each) => sum + summarize(measured[each]).p50, 0)
      results[`${name}: ${kind} p50 / ${raw.join(' + ')} p50`] = round(summarize(measured[kind]).p50 / rawMs)
    }
    await sandbox.kill()
  }
  report('persistence', results)
} finally {
  await killAll()
  await engine.close()
}
process.exit(0)
