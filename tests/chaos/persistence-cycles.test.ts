import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { startServer, type TestServer } from '../server.ts'
import { randomFrom } from './random.ts'
import { Proving } from './subject.ts'
import { askWitness } from './witness.ts'

const IS_FULL = process.env.CHAOS_FULL === '1'
const CYCLES = IS_FULL ? 200 : 12
const CROWD = IS_FULL ? 100 : 12
const RACES = IS_FULL ? 50 : 4
const SEED = Number(process.env.CHAOS_SEED ?? 20261124)
const CREATED_AT_ONCE = 4

let server: TestServer
let proving: Proving

beforeAll(async () => {
  server = await startServer({
    name: 'persistence-cycles',
    port: 13_215,
    networkRange: '10.215.0.0/16',
    flags: ['--pool-min', '0', '--pool-max', '0', '--hot-pause-seconds', '1'],
  })
  proving = new Proving(server)
}, 300_000)
afterAll(() => server?.purge(), 120_000)
afterEach(() => proving.killAll(), 120_000)

/** Long enough that no paused sandbox is held in memory any more. */
const untilCold = () =>
  expect.poll(async () => (await proving.machines()).length, { timeout: 30_000, interval: 200 }).toBe(0)

test(
  `${CYCLES} pauses and resumes of one sandbox, frozen and cold, preserve its memory and files to the byte`,
  async () => {
    const random = randomFrom(SEED)
    const subject = await proving.begin(SEED, 32)
    const { sandboxId } = subject
    for (let cycle = 0; cycle < CYCLES; cycle++) {
      const paused = await proving.call('POST', `/sandboxes/${sandboxId}/pause`, {})
      expect(paused.status, await paused.text()).toBe(204)
      if (random() < 0.5) await untilCold()
      const resumed = await proving.call('POST', `/sandboxes/${sandboxId}/connect`, { timeout: 3_000 })
      expect(resumed.status, await resumed.text()).toBe(201)
      const told = await askWitness(proving.sandboxUrl, sandboxId)
      expect(told).toEqual({ ...subject.account, count: subject.account.count + 1 })
      subject.account = told
    }
    // old checkpoints are deleted after the answer was sent
    const surplus = async (): Promise<number> => {
      const { checkpoints, keep } = await proving.read<{
        checkpoints: unknown[]
        keep: { last: number }
      }>(`/sandboxes/${sandboxId}/tree`)
      return checkpoints.length - keep.last - 1
    }
    await expect.poll(surplus, { timeout: 20_000 }).toBeLessThanOrEqual(0)
    await proving.expectNoLeaks()
  },
  120_000 + CYCLES * 15_000,
)

test(
  `${CROWD} sandboxes whose deadlines pass in the same second are all paused and all come back`,
  async () => {
    const subjects = []
    for (let i = 0; i < CROWD; i += CREATED_AT_ONCE)
      subjects.push(
        ...(await Promise.all(
          Array.from({ length: Math.min(CREATED_AT_ONCE, CROWD - i) }, (_, k) => proving.begin(i + k, 4)),
        )),
      )
    await Promise.all(
      subjects.map(({ sandboxId }) =>
        proving.call('POST', `/sandboxes/${sandboxId}/timeout`, { timeout: 1 }),
      ),
    )
    await expect
      .poll(
        () => proving.read<unknown[]>('/v2/sandboxes?state=paused&limit=100').then(({ length }) => length),
        {
          timeout: 20_000 + CROWD * 3_000,
          interval: 500,
        },
      )
      .toBe(CROWD)
    await untilCold()
    await proving.expectNoLeaks()
    for (const subject of subjects) {
      const [last] = await proving.events(subject.sandboxId)
      expect(last).toMatchObject({
        type: 'sandbox.lifecycle.paused',
        event_data: { pause_reason: 'timeout' },
      })
      expect((await proving.revive(subject))?.count).toBe(subject.account.count + 1)
      await proving.call('DELETE', `/sandboxes/${subject.sandboxId}`)
    }
    await proving.expectNoLeaks()
  },
  180_000 + CROWD * 15_000,
)

test(
  `${RACES} times two clients that pause, resume and kill the same sandbox concurrently get consistent answers`,
  async () => {
    const random = randomFrom(SEED)
    const allowed: Record<string, number[]> = {
      pause: [204, 404, 409],
      connect: [200, 201, 404, 409],
      snapshots: [201, 404, 409],
      kill: [204, 404],
    }
    const rest = ['pause', 'connect', 'snapshots']
    for (let race = 0; race < RACES; race++) {
      const subject = await proving.begin(race, 4)
      const { sandboxId } = subject
      const act = async (what: string): Promise<string> => {
        const body = what === 'connect' ? { timeout: 3_000 } : {}
        const { status } =
          what === 'kill'
            ? await proving.call('DELETE', `/sandboxes/${sandboxId}`)
            : await proving.call('POST', `/sandboxes/${sandboxId}/${what}`, body)
        expect(allowed[what], what).toContain(status)
        return `${what} ${status}`
      }
      const client = async () => {
        const done: string[] = []
        for (let i = 0; i < 4; i++) done.push(await act(rest[Math.floor(random() * rest.length)]!))
        return done
      }
      await Promise.all([client(), client()])
      const told = await proving.revive(subject)
      expect(told?.count).toBe(subject.account.count + 1)
      // the second caller finds it gone
      const ends = await Promise.all(['kill', 'pause', 'kill', 'connect'].map(act))
      expect(ends.filter((end) => end === 'kill 204').length, ends.join()).toBeGreaterThanOrEqual(1)
      await expect
        .poll(async () => (await proving.call('GET', `/sandboxes/${sandboxId}`)).status, { timeout: 20_000 })
        .toBe(404)
      expect((await proving.events(sandboxId))[0]).toMatchObject({
        type: 'sandbox.lifecycle.killed',
        event_data: { kill_reason: 'request' },
      })
    }
    await proving.killAll()
    await proving.expectNoLeaks()
  },
  60_000 + RACES * 45_000,
)
