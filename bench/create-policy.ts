// What a network policy adds to a create from the warm pool: raw requests, the policies in turn. See README.md.
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { apiHeaders, apiUrl, home, killAll, metadata, onExit, warmCount } from './server.ts'
import { pause, report, round, summarize, timed } from './stats.ts'

const count = Number(process.argv[process.argv.indexOf('--n') + 1]) || 100
const WARM_UP = 3
const REFILL_TIMEOUT_MS = 15_000
/** Pause after a refill, so that work of the kernel that follows a restore does not slow down the next create. */
const SETTLE_MS = 100
const ALL = '0.0.0.0/0'
const NAME = 'registry.npmjs.org'
const RANGES = Array.from({ length: 20 }, (_, i) => `93.184.${i}.0/24`)

const POLICIES = {
  'no policy': undefined,
  'deny all': { denyOut: [ALL] },
  '20 ranges': { denyOut: [ALL], allowOut: RANGES },
  'a name and 20 ranges': { denyOut: [ALL], allowOut: [NAME, ...RANGES] },
  'a header rule': {
    denyOut: [ALL],
    allowOut: [NAME],
    rules: { [NAME]: [{ transform: { headers: { 'x-a': 'b' } } }] },
  },
}
type Policy = keyof typeof POLICIES

interface Measured {
  create: number[]
  /** Processor time of the server's process during the create, with work of the pool that happens meanwhile. */
  server: number[]
}

const measured = Object.fromEntries(
  Object.keys(POLICIES).map((policy) => [policy, { create: [], server: [] }]),
) as unknown as Record<Policy, Measured>

const { pid } = JSON.parse(readFileSync(join(home, 'server.json'), 'utf8')) as { pid: number }

/** Processor time of all threads of the server, in ms. */
const processorMs = (): number =>
  readdirSync(`/proc/${pid}/task`).reduce(
    (sum, thread) =>
      sum + Number(readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'utf8').split(' ')[0]),
    0,
  ) / 1e6

async function call(method: string, path: string, body?: object): Promise<{ sandboxID: string }> {
  const response = await fetch(apiUrl + path, {
    method,
    headers: apiHeaders,
    body: body && JSON.stringify(body),
    signal: AbortSignal.timeout(30_000),
  })
  const text = await response.text()
  if (!response.ok) throw new Error(`${method} ${path} answered ${response.status}: ${text.slice(0, 200)}`)
  return JSON.parse(text || '{}')
}

let shortfalls = 0
async function refilled(target: number): Promise<void> {
  const deadline = performance.now() + REFILL_TIMEOUT_MS
  while (warmCount() < target && performance.now() < deadline) await pause(20)
  if (warmCount() < target) shortfalls++
  await pause(SETTLE_MS)
}

async function createOne(policy: Policy, target: number, into?: Measured): Promise<void> {
  await refilled(target)
  const body = { templateID: 'base', timeout: 300, metadata, network: POLICIES[policy] }
  const before = processorMs()
  const [{ sandboxID }, ms] = await timed(() => call('POST', '/v2/sandboxes', body))
  into?.server.push(processorMs() - before)
  into?.create.push(ms)
  await call('DELETE', `/sandboxes/${sandboxID}`)
}

const rowOf = ({ create, server }: Measured): Record<string, number> => {
  const sorted = create.toSorted((a, b) => a - b)
  const base = summarize(measured['no policy'].create).p50
  const { p50 } = summarize(create)
  return {
    n: create.length,
    p50,
    p90: round(sorted[Math.ceil(0.9 * sorted.length) - 1]!),
    'p50: more than no policy': round(p50 - base),
    'p50: of no policy': round(p50 / base),
    "server's processor, p50": summarize(server).p50,
  }
}

await onExit()
try {
  const target = Math.max(1, warmCount())
  const policies = Object.keys(POLICIES) as Policy[]
  for (let i = -WARM_UP; i < count; i++) {
    if (i === 0) shortfalls = 0
    for (const policy of policies) await createOne(policy, target, i < 0 ? undefined : measured[policy])
  }
  report('create-policy', {
    unit: 'ms',
    ...Object.fromEntries(policies.map((policy) => [policy, rowOf(measured[policy])])),
    'creates that began before the stock was full': shortfalls,
  })
} finally {
  await killAll()
}
process.exit(0)
