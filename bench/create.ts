// Time of a create over the API while the pool has warm machines: one at a time, refilled in between. See README.md.
import { Agent, request } from 'node:http'
import { apiHeaders, apiUrl, createSandbox, killAll, metadata, onExit, warmCount } from './server.ts'
import { pause, report, round, summarize, timed } from './stats.ts'

const count = Number(process.argv[process.argv.indexOf('--n') + 1]) || 100
const REFILL_TIMEOUT_MS = 15_000
const REQUEST_TIMEOUT_MS = 30_000
/** Pause after a refill, so that work of the kernel that follows a restore does not slow down the next create. */
const SETTLE_MS = 100
const createBody = JSON.stringify({ templateID: 'base', timeout: 300, secure: true, metadata })

const agent = new Agent({ keepAlive: true, maxSockets: 1 })
const timings = new Map<string, number[]>()

/** Sends one request on the kept connection and reads the body to its end. */
function call(method: string, path: string, body?: string): Promise<{ status: number; text: string }> {
  return new Promise((resolve, reject) => {
    const length = body ? { 'content-length': Buffer.byteLength(body) } : {}
    const sent = request(
      apiUrl + path,
      { method, agent, headers: { ...apiHeaders, ...length }, timeout: REQUEST_TIMEOUT_MS },
      (response) => {
        const chunks: Buffer[] = []
        response.on('data', (chunk: Buffer) => chunks.push(chunk))
        response.on('error', reject)
        response.on('end', () => {
          if (path === '/sandboxes') record(String(response.headers['server-timing'] ?? ''))
          resolve({ status: response.statusCode ?? 0, text: Buffer.concat(chunks).toString() })
        })
      },
    )
    sent.on('timeout', () =>
      sent.destroy(new Error(`${method} ${path}: no answer in ${REQUEST_TIMEOUT_MS} ms`)),
    )
    sent.on('error', reject)
    sent.end(body)
  })
}

function record(header: string): void {
  for (const [, name, ms] of header.matchAll(/([\w-]+);dur=([\d.]+)/g))
    timings.set(name!, [...(timings.get(name!) ?? []), Number(ms)])
}

let target = 0
async function refilled(): Promise<void> {
  const deadline = performance.now() + REFILL_TIMEOUT_MS
  while (warmCount() < target && performance.now() < deadline) await pause(20)
  if (warmCount() < target) shortfalls++
  await pause(SETTLE_MS)
}
let shortfalls = 0

const raw: number[] = []
const sdk: number[] = []
const health: number[] = []

async function oneRound(): Promise<void> {
  await refilled()
  const [answer, rawMs] = await timed(() => call('POST', '/sandboxes', createBody))
  if (answer.status !== 201) throw new Error(`create answered ${answer.status}: ${answer.text.slice(0, 200)}`)
  const { sandboxID } = JSON.parse(answer.text) as { sandboxID: string }
  health.push((await timed(() => call('GET', '/health')))[1])
  raw.push(rawMs)
  await call('DELETE', `/sandboxes/${sandboxID}`)
  await refilled()
  const [sandbox, sdkMs] = await timed(() => createSandbox())
  sdk.push(sdkMs)
  await sandbox.kill()
}

await onExit()
try {
  target = Math.max(1, warmCount())
  for (let i = 0; i < 3; i++) await oneRound()
  for (const list of [raw, sdk, health, ...timings.values()]) list.length = 0
  shortfalls = 0
  for (let i = 0; i < count; i++) await oneRound()
  const [r, s, h] = [summarize(raw), summarize(sdk), summarize(health)]
  report('create', {
    'POST /sandboxes, keep-alive, ms': r,
    'Sandbox.create() of the SDK, ms': s,
    'GET /health, same connection, ms': h,
    'create p50 / health p50': round(r.p50 / h.p50),
    'SDK p50 / keep-alive p50': round(s.p50 / r.p50),
    'creates that began before the stock was full': shortfalls,
    ...Object.fromEntries([...timings].map(([name, values]) => [`server: ${name} ms`, summarize(values)])),
  })
} finally {
  await killAll()
}
process.exit(0)
