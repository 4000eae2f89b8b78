import { setTimeout as delay } from 'node:timers/promises'
import { type ConnectionOpts, Sandbox, Template } from 'e2b-official'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Cluster, startCluster } from '../postgres/cluster.ts'
import { connectionTo, startServer, type TestServer } from '../server.ts'
import { leaks, takeInventory } from './inventory.ts'
import { randomFrom } from './random.ts'

/** The full run is `CHAOS_ROUNDS=50`. */
const ROUNDS = Number(process.env.CHAOS_ROUNDS ?? 3)
const SEED = Number(process.env.CHAOS_SEED ?? 20261130)
const MAX_SANDBOXES = 6
const SETTLE = { timeout: 90_000, interval: 500 }

let cluster: Cluster
let server: TestServer
let options: ConnectionOpts

beforeAll(async () => {
  cluster = await startCluster({ isDurable: true })
  await cluster.query('postgres', 'create database sandlot')
  server = await startServer({
    name: 'postgres-killed',
    port: 13_220,
    networkRange: '10.220.0.0/16',
    flags: ['--pool-min', '2', '--pool-max', '4'],
    env: { SANDLOT_STORE: cluster.url('sandlot') },
  })
  options = { ...connectionTo(server.info()), requestTimeoutMs: 30_000 }
}, 600_000)
afterAll(async () => {
  await server?.purge()
  await cluster?.remove()
}, 120_000)

const rows = (statement: string) => cluster.query('sandlot', statement)
const inventory = () => takeInventory(server.info().home, () => rows('select id from checkpoints'))

/** What a request is answered while the database is gone; a key that was used a moment ago is known without it. */
async function answerOf(path: string, body: object): Promise<{ status: number; retryAfter: string | null }> {
  const { E2B_API_URL, E2B_API_KEY } = server.info().env
  const response = await fetch(`${E2B_API_URL}${path}`, {
    method: 'POST',
    headers: { 'X-API-Key': E2B_API_KEY!, 'content-type': 'application/json' },
    body: JSON.stringify(body),
    signal: AbortSignal.timeout(30_000),
  })
  await response.arrayBuffer()
  return { status: response.status, retryAfter: response.headers.get('retry-after') }
}

/** What clients were told, which must hold afterwards. */
class Account {
  /** Sandboxes that a create returned and no kill was sent for, with what is in their file. */
  readonly alive = new Map<string, string>()
  /** Those whose last pause or connect was answered, and what it said. */
  readonly states = new Map<string, 'running' | 'paused'>()
  readonly #killed = new Set<string>()
  readonly #random: () => number

  constructor(random: () => number) {
    this.#random = random
  }

  async act(): Promise<void> {
    const ids = [...this.alive.keys()]
    const id = ids[Math.floor(this.#random() * ids.length)]
    const choice = this.#random()
    if (!id || (choice < 0.4 && ids.length < MAX_SANDBOXES)) return this.#create()
    if (choice < 0.5) {
      this.alive.delete(id)
      this.states.delete(id)
      this.#killed.add(id)
      await Sandbox.kill(id, options)
      return
    }
    const wanted = this.#random() < 0.5 ? 'paused' : 'running'
    // until the answer comes both are possible
    this.states.delete(id)
    if (wanted === 'paused') await Sandbox.pause(id, options)
    else await Sandbox.connect(id, { ...options, timeoutMs: 900_000 })
    if (this.alive.has(id)) this.states.set(id, wanted)
  }

  /** Kills again what a kill was sent for, whose answer may have been an error. */
  async repeatKills(): Promise<void> {
    for (const id of this.#killed) await Sandbox.kill(id, options)
    this.#killed.clear()
  }

  async #create(): Promise<void> {
    const marker = `m${Math.floor(this.#random() * 1e9)}`
    const sandbox = await Sandbox.create({ ...options, timeoutMs: 900_000, metadata: { marker } })
    await sandbox.files.write('/home/user/marker', marker)
    this.alive.set(sandbox.sandboxId, marker)
  }
}

async function checkRows(): Promise<void> {
  const listed: string[] = []
  const pages = Sandbox.list({ ...options, limit: 100, query: { state: ['running', 'paused'] } })
  while (pages.hasNext)
    for (const { sandboxId, state } of await pages.nextItems()) listed.push(`${sandboxId} ${state}`)
  const running = await rows(`select id from sandboxes where state = 'running'`)
  const written = await rows(`select id || ' ' || state from sandboxes where state <> 'killed'`)
  const differing = [
    ...written.filter((row) => !listed.includes(row)).map((row) => `only a row: ${row}`),
    ...listed.filter((row) => !written.includes(row)).map((row) => `only listed: ${row}`),
  ]
  // an assertion would cut the list off
  if (differing.length > 0) throw new Error(differing.join(', '))
  expect(await rows('select id from events group by id having count(*) > 1')).toEqual([])
  expect(
    await rows(`select sandbox_id from events where type = 'sandbox.lifecycle.created'
      group by sandbox_id having count(*) > 1`),
  ).toEqual([])
  expect(leaks(await inventory(), running.length)).toEqual([])
}

test(`${ROUNDS} times kill -9 of PostgreSQL amid creates, pauses and a build loses and doubles nothing`, async () => {
  const random = randomFrom(SEED)
  const account = new Account(random)
  const builds: string[] = []
  for (let round = 0; round < ROUNDS; round++) {
    let isOver = false
    const clients = Array.from({ length: 3 }, async () => {
      while (!isOver) await account.act().catch(() => delay(50))
    })
    const of = Template().fromBaseImage().runCmd(`echo ${round} > ~/round; sleep 3`)
    const build = await Template.buildInBackground(of, `round-${round}`, options)
    await delay(1_000 + random() * 3_000)
    await cluster.kill()
    await delay(500)
    const refused = await answerOf('/v2/sandboxes', { templateID: 'base' })
    expect(refused).toEqual({ status: 503, retryAfter: expect.stringMatching(/^\d+$/) })
    await delay(random() * 12_000)
    isOver = true
    await cluster.start()
    await Promise.all(clients)

    // by itself: nothing was restarted
    await expect
      .poll(
        () =>
          Sandbox.create({ ...options, timeoutMs: 900_000 }).then(
            (made) => made.kill(),
            () => false,
          ),
        SETTLE,
      )
      .toBe(true)
    await expect
      .poll(async () => (await Template.getBuildStatus(build, options)).status, SETTLE)
      .toBe('ready')
    builds.push(`round-${round}`)
    await account.repeatKills()
    for (const [id, state] of account.states)
      expect((await Sandbox.getInfo(id, options)).state, id).toBe(state)
    // what was being recorded when the database went away is retried within a minute
    await expect.poll(() => checkRows().then(() => '', String), SETTLE).toBe('')
    for (const [id, marker] of account.alive) {
      const sandbox = await Sandbox.connect(id, { ...options, timeoutMs: 900_000 })
      expect(await sandbox.files.read('/home/user/marker')).toBe(marker)
      account.states.set(id, 'running')
    }
  }
  await server.stop()
  await server.start()
  expect((await rows(`select id from sandboxes where kill_reason = 'lost'`)).length).toBe(0)
  for (const [id, marker] of account.alive) {
    const sandbox = await Sandbox.connect(id, options)
    expect(await sandbox.files.read('/home/user/marker')).toBe(marker)
    await sandbox.kill()
  }
  for (const name of builds) expect(await (await Sandbox.create(name, options)).kill()).toBe(true)
}, 1_800_000)
