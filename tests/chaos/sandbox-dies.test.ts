import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { type ConnectionOpts, NotFoundError, Sandbox } from 'e2b-official'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { connectionTo, startServer, type TestServer } from '../server.ts'
import { leaks, takeInventory } from './inventory.ts'

const SLOTS = 6

let server: TestServer
let options: ConnectionOpts & { timeoutMs: number }

beforeAll(async () => {
  server = await startServer({
    name: 'sandbox-dies',
    port: 13_212,
    networkRange: '10.212.0.0/16',
    flags: ['--pool-min', '1', '--pool-max', '1', '--slots', String(SLOTS)],
  })
  options = { ...connectionTo(server.info()), timeoutMs: 300_000 }
}, 300_000)
afterAll(() => server?.purge(), 120_000)

const api = (path: string, init: RequestInit = {}) =>
  fetch(`${options.apiUrl}${path}`, {
    ...init,
    headers: { 'x-api-key': String(options.apiKey), 'content-type': 'application/json' },
    signal: AbortSignal.timeout(30_000),
  })

/** Finds the process of the sandbox's kernel as an administrator would: row, then machine. */
function kernelPid(home: string, sandboxId: string): number {
  const database = new DatabaseSync(join(home, 'db.sqlite'), { readOnly: true })
  const row = database.prepare('select machine_id from sandboxes where id = ?').get(sandboxId)
  database.close()
  return Number(readFileSync(join(home, 'run/machines', String(row?.machine_id), 'pid'), 'utf8'))
}

test('a dead kernel is noticed within about a second: 404, 502, an event with the reason, and nothing left behind', async () => {
  const { home } = server.info()
  const sandbox = await Sandbox.create(options)
  process.kill(kernelPid(home, sandbox.sandboxId), 'SIGKILL')
  const diedAt = Date.now()
  await expect
    .poll(() => api(`/sandboxes/${sandbox.sandboxId}`).then(({ status }) => status), {
      interval: 50,
      timeout: 5_000,
    })
    .toBe(404)
  expect(Date.now() - diedAt).toBeLessThan(3_000)
  expect(await sandbox.isRunning()).toBe(false)
  // the event is written when the machine is gone
  await expect
    .poll(async () => ((await (await api(`/events/sandboxes/${sandbox.sandboxId}`)).json()) as unknown[])[0])
    .toMatchObject({
      type: 'sandbox.lifecycle.killed',
      event_data: { kill_reason: expect.stringMatching(/^exited: /) },
    })
  await expect
    .poll(async () => leaks(await takeInventory(home), 0), { timeout: 20_000, interval: 200 })
    .toEqual([])
}, 60_000)

test('a warm machine that dies is replaced before anyone gets it', async () => {
  const { home } = server.info()
  await expect.poll(async () => (await takeInventory(home)).warm.length, { timeout: 20_000 }).toBe(1)
  const [id] = (await takeInventory(home)).warm
  process.kill(Number(readFileSync(join(home, 'run/machines', id!, 'pid'), 'utf8')), 'SIGKILL')
  const sandbox = await Sandbox.create(options)
  expect((await sandbox.commands.run('echo fine')).stdout).toBe('fine\n')
  await sandbox.kill()
}, 60_000)

test('a kernel that hangs blocks neither its own kill nor other sandboxes', async () => {
  const { home } = server.info()
  const hung = await Sandbox.create(options)
  process.kill(kernelPid(home, hung.sandboxId), 'SIGSTOP')
  await expect(hung.commands.run('true', { requestTimeoutMs: 1_500, timeoutMs: 1_500 })).rejects.toThrow()
  const other = await Sandbox.create(options)
  expect((await other.commands.run('echo fine')).stdout).toBe('fine\n')
  expect(await hung.kill()).toBe(true)
  await other.kill()
  await expect
    .poll(async () => leaks(await takeInventory(home), 0), { timeout: 20_000, interval: 200 })
    .toEqual([])
}, 60_000)

test('without a free slot a create gets a 503 with Retry-After, and works again after one kill', async () => {
  const sandboxes: Sandbox[] = []
  let refused: Response | undefined
  for (let i = 0; i <= SLOTS && !refused; i++) {
    const response = await api('/v2/sandboxes', {
      method: 'POST',
      body: JSON.stringify({ templateID: 'base' }),
    })
    if (response.status === 201)
      sandboxes.push(
        await Sandbox.connect(((await response.json()) as { sandboxID: string }).sandboxID, options),
      )
    else refused = response
  }
  expect(refused?.status).toBe(503)
  expect(Number(refused?.headers.get('retry-after'))).toBeGreaterThan(0)
  expect(await refused?.json()).toMatchObject({ code: 503, error_code: 'sandbox_capacity_unavailable' })
  expect(sandboxes).toHaveLength(SLOTS)
  for (const sandbox of sandboxes) expect((await sandbox.commands.run('echo up')).stdout).toBe('up\n')
  await sandboxes.pop()?.kill()
  await expect
    .poll(
      () =>
        api('/v2/sandboxes', {
          method: 'POST',
          body: JSON.stringify({ templateID: 'base', timeout: 60 }),
        }).then(({ status }) => status),
      { timeout: 20_000, interval: 500 },
    )
    .toBe(201)
  for (const { sandboxId } of await Sandbox.list({ ...options, limit: 100 }).nextItems())
    await Sandbox.kill(sandboxId, options)
}, 120_000)

test('killing a sandbox during a command ends the stream with the error that clients recognise', async () => {
  const sandbox = await Sandbox.create(options)
  const command = sandbox.commands.run('sleep 100')
  const failed = expect(command).rejects.toThrow(
    /killed or reached its end of life|sandbox timeout|not found/i,
  )
  await expect.poll(async () => (await sandbox.commands.list()).length).toBe(1)
  await sandbox.kill()
  await failed
  await expect(Sandbox.connect(sandbox.sandboxId, options)).rejects.toBeInstanceOf(NotFoundError)
}, 60_000)
