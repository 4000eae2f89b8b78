import { readFileSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { Sandbox, type SandboxOpts } from 'e2b-official'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { CHECKOUT, connectionTo, startServer, type TestServer } from '../server.ts'
import { acceptedOf } from './guest.ts'
import { countLeaks, deleteFirewall, type Leaks, sendsOn, startSender } from './leaks.ts'
import { type Outside, openOutside } from './outside.ts'

/** Address that sandboxes without internet send to; no machine has it, and packets would be routed to the outside. */
const NOBODY = `11.212.${CHECKOUT}.99`
const PORT = 8080

let server: TestServer
let outside: Outside
let leaks: Leaks
let source: Sandbox

const create = (opts: SandboxOpts & { template?: string } = {}) => {
  const { template = 'base', ...rest } = opts
  return Sandbox.create(template, { ...connectionTo(server.info()), timeoutMs: 900_000, ...rest })
}
const call = async <T>(method: string, path: string, body?: unknown): Promise<T> => {
  const { apiUrl, apiKey } = connectionTo(server.info())
  const response = await fetch(`${apiUrl}${path}`, {
    method,
    headers: { 'x-api-key': String(apiKey), 'content-type': 'application/json' },
    body: body === undefined ? undefined : JSON.stringify(body),
    signal: AbortSignal.timeout(60_000),
  })
  if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${await response.text()}`)
  return (await response.json()) as T
}
const checkpoint = async () =>
  (await call<{ checkpointID: string }>('POST', `/sandboxes/${source.sandboxId}/checkpoints`, {}))
    .checkpointID
const rollback = (checkpointID: string) =>
  call('POST', `/sandboxes/${source.sandboxId}/rollback`, { checkpointID })
const connect = async () => {
  source = await Sandbox.connect(source.sandboxId, connectionTo(server.info()))
}

beforeAll(async () => {
  server = await startServer({
    name: 'no-internet',
    port: 13_229,
    networkRange: '10.229.0.0/16',
    flags: ['--pool-min', '2', '--pool-max', '4'],
  })
  outside = await openOutside({ alsoRouted: [NOBODY] })
  leaks = await countLeaks(server.info().home, outside.address)
  source = await create({ allowInternetAccess: false })
  await startSender(source, NOBODY, PORT)
}, 300_000)
afterAll(async () => {
  await leaks?.close()
  await outside?.close()
  await server?.purge()
}, 120_000)

test('packets of a sandbox with internet are counted, also those for the address that the others send to', async () => {
  const open = await create()
  expect(await acceptedOf(open, [`${outside.address}:${outside.port}`])).toHaveLength(1)
  expect(await leaks.admitted()).toBeGreaterThan(0)
  expect(await leaks.leaked()).toBe(0)
  await open.commands.run(`echo counted > /dev/udp/${NOBODY}/${PORT}`)
  await expect.poll(leaks.leaked).toBe(1)
  await open.kill()
})

test('no packet leaves the sandbox from any address that root can assign, by any protocol', async () => {
  await sendsOn(source, 600)
  expect(await leaks.leaked()).toBe(0)
})

test('no packet leaves while the sandbox is forked', async () => {
  const forks = await call<Array<{ sandbox: { sandboxID: string } }>>(
    'POST',
    `/sandboxes/${source.sandboxId}/fork`,
    { count: 3, timeout: 300 },
  )
  for (const { sandbox } of forks) {
    const fork = await Sandbox.connect(sandbox.sandboxID, connectionTo(server.info()))
    await sendsOn(fork)
    await fork.kill()
  }
  expect(await leaks.leaked()).toBe(0)
})

test('no packet leaves while the sandbox is rolled back', async () => {
  const id = await checkpoint()
  for (let i = 0; i < 3; i++) await rollback(id)
  await sendsOn(source)
  expect(await leaks.leaked()).toBe(0)
})

test('no packet leaves when the sandbox is resumed hot and cold', async () => {
  await source.pause()
  await connect()
  await sendsOn(source)
  await source.pause()
  // a rollback to the current checkpoint ends the frozen machine
  await rollback(
    (await call<Tree>('GET', `/sandboxes/${source.sandboxId}/tree`)).checkpoints.at(-1)!.checkpointID,
  )
  await connect()
  await sendsOn(source)
  expect(await leaks.leaked()).toBe(0)
})

test('no packet leaves while two checkpoints of the sandbox are compared', async () => {
  const from = await checkpoint()
  await source.commands.run('head -c 100M /dev/urandom > big; for i in $(seq 500); do echo $i > f$i; done')
  const to = await checkpoint()
  const diff = await call<{ added: string[] }>(
    'GET',
    `/sandboxes/${source.sandboxId}/diff?from=${from}&to=${to}`,
  )
  expect(diff.added).toContain('/home/user/big')
  expect(await leaks.leaked()).toBe(0)
})

test('no packet leaves while sandboxes are started from its snapshot, with and without machines in the warm pool', async () => {
  const { snapshotId } = await source.createSnapshot()
  for (let i = 0; i < 4; i++) {
    const copy = await create({ template: snapshotId, allowInternetAccess: false })
    await sendsOn(copy)
    await copy.kill()
  }
  expect(await leaks.leaked()).toBe(0)
})

test('a sandbox that is created with internet from a snapshot without has internet, as has a fork of it', async () => {
  const closed = await create({ allowInternetAccess: false })
  const { snapshotId } = await closed.createSnapshot()
  await closed.kill()
  const open = await create({ template: snapshotId })
  expect(await acceptedOf(open, [`${outside.address}:${outside.port}`])).toHaveLength(1)
  const [fork] = await call<Array<{ sandbox: { sandboxID: string } }>>(
    'POST',
    `/sandboxes/${open.sandboxId}/fork`,
    { count: 1, timeout: 300 },
  )
  const copy = await Sandbox.connect(fork!.sandbox.sandboxID, connectionTo(server.info()))
  expect(await acceptedOf(copy, [`${outside.address}:${outside.port}`])).toHaveLength(1)
  await Promise.all([open.kill(), copy.kill()])
})

/** Pid of the process through which the server changes its firewall. */
function changingProcess(): number {
  const { pid } = server.info()
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ')
  const found = children.find((child) => readFileSync(`/proc/${child}/cmdline`, 'utf8') === 'nft\0-i\0')
  if (!found) throw new Error(`the server has no nft among its processes ${children}`)
  return Number(found)
}

/** Holds changes of the firewall back while `work` runs. */
async function withHeldFirewall(work: () => Promise<void>): Promise<void> {
  const pid = changingProcess()
  process.kill(pid, 'SIGSTOP')
  try {
    await work()
  } finally {
    process.kill(pid, 'SIGCONT')
  }
}

test('a create without internet is not answered before its policy is in force', async () => {
  let creating: Promise<Sandbox> | undefined
  await withHeldFirewall(async () => {
    creating = create({ allowInternetAccess: false })
    expect(await Promise.race([creating.then(() => 'answered'), delay(1_500, 'waiting')])).toBe('waiting')
  })
  const closed = await creating!
  await startSender(closed, NOBODY, PORT)
  await sendsOn(closed)
  await closed.kill()
  expect(await leaks.leaked()).toBe(0)
})

test('a create whose policy cannot be put in force fails with the reason, and leaves nothing', async () => {
  const { home } = server.info()
  const listed = async () => (await call<unknown[]>('GET', '/v2/sandboxes')).length
  const before = await listed()
  let creating: Promise<unknown> | undefined
  await withHeldFirewall(async () => {
    creating = call('POST', '/v2/sandboxes', { templateID: 'base', allow_internet_access: false }).catch(
      (error: Error) => error.message,
    )
    await delay(500)
    await deleteFirewall(home)
  })
  expect(await creating).toMatch(/503 .*nothing is started now/)
  expect(await listed()).toBe(before)
  // the table is installed again at once
  const closed = await vi.waitFor(() => create({ allowInternetAccess: false }), {
    timeout: 20_000,
    interval: 500,
  })
  await startSender(closed, NOBODY, PORT)
  await sendsOn(closed)
  await closed.kill()
  expect(await leaks.leaked()).toBe(0)
})

interface Tree {
  checkpoints: Array<{ checkpointID: string }>
}
