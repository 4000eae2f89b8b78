import { setTimeout as delay } from 'node:timers/promises'
import { type ConnectionOpts, Sandbox } from 'e2b-official'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { connectionTo, sandboxUrlOf, startServer, type TestServer } from '../server.ts'
import { leaks, takeInventory } from './inventory.ts'
import { randomFrom } from './random.ts'

/** The full run is `CHAOS_ROUNDS=50`. */
const ROUNDS = Number(process.env.CHAOS_ROUNDS ?? 6)
const SEED = Number(process.env.CHAOS_SEED ?? 20261123)
const MAX_SANDBOXES = 8

interface Known {
  sandboxId: string
  token: string
  endAt: number
  marker: string
}

let server: TestServer
let options: ConnectionOpts

beforeAll(async () => {
  server = await startServer({
    name: 'server-killed',
    port: 13_211,
    networkRange: '10.211.0.0/16',
    flags: ['--pool-min', '2', '--pool-max', '4'],
  })
  options = { ...connectionTo(server.info()), requestTimeoutMs: 20_000 }
}, 300_000)
afterAll(() => server?.purge(), 120_000)

test(`${ROUNDS} times kill -9 of the server under load loses no sandbox and leaks nothing`, async () => {
  const random = randomFrom(SEED)
  const alive = new Map<string, Known>()
  /** Sandboxes that were killed, or perhaps killed: the answer did not arrive. */
  const maybeGone = new Set<string>()

  async function createOne(): Promise<void> {
    const marker = `m${Math.floor(random() * 1e9)}`
    const sandbox = await Sandbox.create({ ...options, timeoutMs: 900_000, metadata: { marker } })
    const info = await sandbox.getInfo()
    const known = {
      sandboxId: sandbox.sandboxId,
      token: String(sandbox['envdAccessToken']),
      endAt: info.endAt.getTime(),
      marker,
    }
    await sandbox.files.write('/home/user/marker', marker)
    await sandbox.commands.run('python3 -m http.server 8000 --bind 127.0.0.1', {
      background: true,
      timeoutMs: 0,
    })
    alive.set(known.sandboxId, known)
  }

  async function actOnce(): Promise<void> {
    const ids = [...alive.keys()]
    const id = ids[Math.floor(random() * ids.length)]
    const choice = random()
    if (!id || (choice < 0.4 && alive.size < MAX_SANDBOXES)) return createOne()
    if (choice < 0.5) {
      maybeGone.add(id)
      alive.delete(id)
      await Sandbox.kill(id, options)
      return
    }
    const sandbox = await Sandbox.connect(id, { ...options, timeoutMs: 1_000 })
    await sandbox.commands.run('cat /home/user/marker')
  }

  for (let round = 0; round < ROUNDS; round++) {
    let isKilled = false
    const clients = Array.from({ length: 3 }, async () => {
      // requests that the crash cut off may fail; every answer that was given must hold
      while (!isKilled) await actOnce().catch(() => delay(20))
    })
    await delay(300 + random() * 2_500)
    isKilled = true
    await server.kill()
    await Promise.all(clients)
    await server.start()

    for (const known of alive.values()) {
      const sandbox = await Sandbox.connect(known.sandboxId, { ...options, timeoutMs: 1_000 })
      expect(String(sandbox['envdAccessToken'])).toBe(known.token)
      expect(await sandbox.files.read('/home/user/marker')).toBe(known.marker)
      const info = await sandbox.getInfo()
      expect(info.endAt.getTime()).toBe(known.endAt)
      expect(info.metadata).toEqual({ marker: known.marker })
      const page = await fetch(`${sandboxUrlOf(server.info().domain)}/marker`, {
        headers: { 'e2b-sandbox-id': known.sandboxId, 'e2b-sandbox-port': '8000' },
      })
      expect(await page.text()).toBe(known.marker)
    }
    // creates whose answer was lost still made sandboxes: these are listed, and nothing else is
    const listed = await Sandbox.list({ ...options, limit: 100 }).nextItems()
    for (const id of alive.keys()) expect(listed.map(({ sandboxId }) => sandboxId)).toContain(id)
    await expect
      .poll(async () => leaks(await takeInventory(server.info().home), listed.length), {
        timeout: 30_000,
        interval: 500,
      })
      .toEqual([])
  }
  for (const id of maybeGone) if (!alive.has(id)) await Sandbox.kill(id, options)
  for (const id of alive.keys()) expect(await Sandbox.kill(id, options)).toBe(true)
}, 900_000)

test('SIGTERM ends the server cleanly within ten seconds and its sandboxes keep running', async () => {
  const sandbox = await Sandbox.create({ ...options, timeoutMs: 300_000 })
  const command = await sandbox.commands.run('sleep 1000', { background: true, timeoutMs: 0 })
  expect(await server.stop()).toBe(0)
  await server.start()
  const again = await Sandbox.connect(sandbox.sandboxId, options)
  expect((await again.commands.list()).map(({ pid }) => pid)).toContain(command.pid)
  expect(await again.kill()).toBe(true)
}, 120_000)
