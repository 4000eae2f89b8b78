import { SandlotError } from '@sandlot/protocol'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { type ServerUnderTest, serverUnderTest } from '../test-support/server-under-test.ts'
import { SandboxRepository } from './repository.ts'

const under = serverUnderTest()
let t: ServerUnderTest
beforeEach(() => void (t = under.current))

const pause = (id: string, body: object = {}) => t.call('POST', `/sandboxes/${id}/pause`, body)
const connect = (id: string, body: object = { timeout: 100 }) =>
  t.call('POST', `/sandboxes/${id}/connect`, body)
const resume = (id: string, body: object = {}) => t.call('POST', `/sandboxes/${id}/resume`, body)
const detail = async (id: string) => (await t.call('GET', `/sandboxes/${id}`)).body
const stateOf = async (id: string) => (await detail(id)).state
const typesOf = async (id: string) => (await t.eventsOf(id)).map(({ type }) => type.split('.').at(-1))

describe('pause and resume', () => {
  test('return the same sandbox: id, tokens, metadata and lifecycle settings', async () => {
    const created = await t.create({
      metadata: { colour: 'blue' },
      autoPause: true,
      network: { allowPublicTraffic: false },
    })
    const id = created.sandboxID
    const before = await detail(id)
    expect(await pause(id)).toMatchObject({ status: 204, body: undefined })
    expect(await detail(id)).toEqual({ ...before, state: 'paused', pauseMode: 'full' })
    const resumed = await connect(id)
    expect(resumed.status).toBe(201)
    expect(resumed.body).toMatchObject({
      sandboxID: id,
      envdAccessToken: created.envdAccessToken,
      trafficAccessToken: created.trafficAccessToken,
    })
    const { startedAt, endAt, ...rest } = before
    expect(await detail(id)).toMatchObject(rest)
    expect(await typesOf(id)).toEqual(['created', 'paused', 'resumed'])
  })

  test('answer 409 when there is nothing to do and 404 for unknown sandboxes', async () => {
    const { sandboxID: id } = await t.create()
    expect(await resume(id)).toMatchObject({ status: 409, body: { code: 409 } })
    await pause(id)
    expect(await pause(id)).toMatchObject({ status: 409, body: { code: 409 } })
    expect((await resume(id)).status).toBe(201)
    await t.call('DELETE', `/sandboxes/${id}`)
    for (const gone of [id, 'inever'])
      for (const act of [pause, resume, connect]) expect((await act(gone)).body).toMatchObject({ code: 404 })
  })

  test('are refused to another team', async () => {
    const { sandboxID } = await t.create()
    await t.inStore((store) => store.updateTable('sandboxes').set({ team_id: 'another' }).execute())
    await t.crash()
    for (const act of [pause, resume, connect]) expect((await act(sandboxID)).status).toBe(404)
  })

  test('of two concurrent pauses one wins, of two connects one resumes', async () => {
    const { sandboxID: id } = await t.create()
    const pauses = await Promise.all([pause(id), pause(id)])
    expect(pauses.map(({ status }) => status).sort()).toEqual([204, 409])
    const connects = await Promise.all([connect(id), connect(id), connect(id)])
    expect(connects.map(({ status }) => status).sort()).toEqual([200, 200, 201])
    expect(t.node.resumes).toBe(1)
  })

  test('a kill during a pause waits for it and wins', async () => {
    const { sandboxID: id } = await t.create()
    const { promise, resolve } = Promise.withResolvers<void>()
    t.node.saving = promise
    const paused = pause(id)
    await expect.poll(() => stateOf(id)).toBe('paused')
    const killed = t.call('DELETE', `/sandboxes/${id}`)
    resolve()
    expect([(await paused).status, (await killed).status]).toEqual([204, 204])
    expect(await t.statusOf(id)).toBe(404)
    expect(t.node.machines.size).toBe(0)
    await expect.poll(() => t.node.saved.size).toBe(0)
  })

  test('end the streams of the edge when the pause begins, and hide the address until the resume', async () => {
    const { sandboxID: id } = await t.create()
    const gone: string[] = []
    t.server.directory.onGone((sandboxId) => gone.push(sandboxId))
    const { promise, resolve } = Promise.withResolvers<void>()
    t.node.saving = promise
    const paused = pause(id)
    await expect.poll(() => gone).toEqual([id])
    expect(t.server.directory.find(id)?.state).toBe('paused')
    resolve()
    await paused
    await connect(id)
    expect(t.server.directory.find(id)?.state).toBe('running')
  })

  test('a frozen machine is thawed without an init; a new machine gets token and environment', async () => {
    const { sandboxID: id } = await t.create({ envVars: { COLOUR: 'blue' } })
    await pause(id)
    await connect(id)
    expect(t.node.machines.size).toBe(1)
    expect(t.node.frozen.size).toBe(0)
    await pause(id)
    t.node.machines.clear()
    t.node.frozen.clear()
    const { body } = await connect(id)
    expect(t.node.inits()).toMatchObject([
      { sandboxId: id, accessToken: body.envdAccessToken, envVars: { COLOUR: 'blue' } },
    ])
  })

  test('memory: false boots another machine, and the event says so', async () => {
    const { sandboxID: id } = await t.create({ envVars: { COLOUR: 'blue' } })
    await pause(id, { memory: false })
    expect((await connect(id, { timeout: 100, memory: false })).status).toBe(201)
    const [, paused, resumed] = await t.eventsOf(id)
    expect(paused!.event_data).toMatchObject({ pause_reason: 'request', checkpoint: { memory: false } })
    expect(resumed!.event_data).toMatchObject({ resume_reason: 'request', memory: false })
  })

  test('a pause that cannot be saved leaves the sandbox running as it was, and it can be paused later', async () => {
    const { sandboxID: id } = await t.create()
    const before = await detail(id)
    t.node.failSave = 1
    expect(await pause(id)).toMatchObject({ status: 507, body: { code: 507, error_code: 'disk_full' } })
    expect(await detail(id)).toEqual(before)
    expect(t.server.directory.find(id)).toMatchObject({ state: 'running', address: '10.0.0.2' })
    expect(await tree(id)).toEqual([])
    expect((await pause(id)).status).toBe(204)
  })

  test('a resume that fails leaves the sandbox paused, and it can be resumed later or killed', async () => {
    const { sandboxID: id } = await t.create()
    await pause(id)
    t.node.failResume = 1
    expect((await connect(id)).status).toBe(503)
    expect(await stateOf(id)).toBe('paused')
    t.node.frozen.clear()
    t.node.failInit = 1
    const before = t.node.machines.size
    expect((await connect(id)).status).toBeGreaterThanOrEqual(500)
    expect(await stateOf(id)).toBe('paused')
    await expect.poll(() => t.node.machines.size).toBeLessThanOrEqual(before)
    expect((await connect(id)).status).toBe(201)
    await pause(id)
    expect((await t.call('DELETE', `/sandboxes/${id}`)).status).toBe(204)
    expect(await t.statusOf(id)).toBe(404)
  })

  test('a sandbox whose kernel dies while it is saved is ended', async () => {
    const { sandboxID: id } = await t.create()
    const { promise, resolve } = Promise.withResolvers<void>()
    t.node.saving = promise
    t.node.failSave = 1
    const paused = pause(id)
    await expect.poll(() => stateOf(id)).toBe('paused')
    t.node.machines.clear()
    resolve()
    expect((await paused).status).toBe(507)
    await expect.poll(() => t.statusOf(id)).toBe(404)
    expect((await t.eventsOf(id)).at(-1)?.event_data.kill_reason).toBe('exited: while it was saved')
  })

  test('a sandbox ends when its new machine dies during the resume, before the machine belongs to it', async () => {
    const { sandboxID: id } = await t.create()
    await pause(id)
    t.node.machines.clear()
    t.node.frozen.clear()
    t.node.dieInInit = 1
    expect((await connect(id)).status).toBe(201)
    await expect.poll(() => t.statusOf(id)).toBe(404)
    expect((await t.eventsOf(id)).at(-1)?.event_data.kill_reason).toMatch(/^exited: the sandbox's kernel/)
  })

  test('a frozen machine that dies does not end its paused sandbox', async () => {
    const { sandboxID: id } = await t.create()
    const machineId = t.node.firstMachine()
    await pause(id)
    t.node.kill(machineId, 'it died')
    expect((await connect(id)).status).toBe(201)
    expect(await typesOf(id)).toEqual(['created', 'paused', 'resumed'])
  })
})

const tree = async (id: string) => (await t.call('GET', `/sandboxes/${id}/tree`)).body.checkpoints

describe('the time to live', () => {
  const secondsLeft = async (id: string) => (Date.parse((await detail(id)).endAt) - t.now) / 1000

  test('cannot be set while a sandbox is paused: clients of 2.0 resume when they are told so', async () => {
    const { sandboxID: id } = await t.create({ timeout: 30 })
    await pause(id)
    const before = await detail(id)
    for (const [what, body] of [
      ['timeout', { timeout: 50 }],
      ['refreshes', { duration: 50 }],
    ] as const)
      expect(await t.call('POST', `/sandboxes/${id}/${what}`, body)).toMatchObject({
        status: 404,
        body: {
          code: 404,
          message: `Sandbox "${id}" is paused, and its time to live begins with the next connect`,
        },
      })
    expect(await detail(id)).toEqual(before)
    expect((await t.call('POST', `/sandboxes/${id}/resume`, { timeout: 50 })).status).toBe(201)
    expect((await t.call('POST', `/sandboxes/${id}/timeout`, { timeout: 50 })).status).toBe(204)
  })

  test('does not elapse while a sandbox is paused, and starts anew at the resume', async () => {
    const { sandboxID: id } = await t.create({ timeout: 30 })
    await pause(id)
    t.now += 3_600_000
    expect(await stateOf(id)).toBe('paused')
    await connect(id, { timeout: 50 })
    expect(await secondsLeft(id)).toBe(50)
    expect(Date.parse((await detail(id)).startedAt)).toBe(t.now)
  })

  test('is by default 300 s for a connect of v2 and 15 s for a resume', async () => {
    const { sandboxID: id } = await t.create({ timeout: 10 })
    await pause(id)
    expect((await t.call('POST', `/v2/sandboxes/${id}/connect`, {})).status).toBe(201)
    expect(await secondsLeft(id)).toBe(300)
    await pause(id)
    await resume(id)
    expect(await secondsLeft(id)).toBe(15)
  })

  test('ends a resumed sandbox again', async () => {
    const { sandboxID: id } = await t.create()
    await pause(id)
    await connect(id, { timeout: 0 })
    await expect.poll(() => t.statusOf(id)).toBe(404)
  })

  test('may not exceed the limit of the plan', async () => {
    const { sandboxID: id } = await t.create({ timeout: 60 })
    await pause(id)
    await t.limit({ max_length_hours: 1 })
    for (const act of [connect, resume])
      expect((await act(id, { timeout: 3601 })).body).toMatchObject({
        code: 400,
        message: 'Timeout cannot be greater than 1 hours',
      })
    expect(await stateOf(id)).toBe('paused')
  })
})

describe('at its deadline', () => {
  beforeEach(() => void vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] }))
  afterEach(() => void vi.useRealTimers())
  function pass(seconds: number): void {
    t.now += seconds * 1_000
    vi.advanceTimersByTime(seconds * 1_000)
  }

  test.each([true, false])('a sandbox with autoPause is paused (memory: %s)', async (hasMemory) => {
    const { sandboxID: id } = await t.create({ timeout: 5, autoPause: true, autoPauseMemory: hasMemory })
    pass(5)
    await expect.poll(async () => (await t.eventsOf(id)).at(-1)?.event_data.pause_reason).toBe('timeout')
    expect(await stateOf(id)).toBe('paused')
    expect(await tree(id)).toMatchObject([{ why: 'auto-pause', memory: hasMemory, isHead: true }])
    expect((await detail(id)).lifecycle).toEqual({ autoResume: false, onTimeout: 'pause' })
  })

  test('a sandbox that cannot be saved keeps running, and is paused once the disk has room', async () => {
    t.node.failSave = 1
    const { sandboxID: id } = await t.create({ timeout: 5, autoPause: true })
    pass(5)
    await expect.poll(() => t.node.failSave).toBe(0)
    await expect.poll(() => stateOf(id)).toBe('running')
    await expect.poll(() => tree(id)).toEqual([])
    pass(29)
    expect(await stateOf(id)).toBe('running')
    pass(1)
    await expect.poll(() => stateOf(id)).toBe('paused')
  })

  test('a sandbox whose memory a file of a volume blocks is paused without it at last, and the event says why', async () => {
    const { sandboxID: id } = await t.create({ timeout: 5, autoPause: true })
    t.node.failMemory = 10
    pass(5)
    for (let tries = 1; tries <= 3; tries++) {
      await expect.poll(() => t.node.failMemory).toBe(10 - tries)
      await expect.poll(() => stateOf(id)).toBe('running')
      await expect.poll(() => tree(id)).toEqual([])
      pass(30)
    }
    await expect.poll(() => stateOf(id)).toBe('paused')
    expect(await tree(id)).toMatchObject([{ why: 'auto-pause', memory: false, isHead: true }])
    expect((await t.eventsOf(id)).at(-1)?.event_data).toMatchObject({
      pause_reason: 'timeout',
      memory_lost: 'a process holds /mnt/data/file',
    })
  })

  test('many sandboxes are paused concurrently, each once', async () => {
    const created = await Promise.all(
      Array.from({ length: 50 }, () => t.create({ timeout: 5, autoPause: true })),
    )
    pass(5)
    for (const { sandboxID } of created)
      await expect.poll(() => typesOf(sandboxID)).toEqual(['created', 'paused'])
    expect(t.node.saved.size).toBe(50)
  })

  test('an extension that came before the pause wins', async () => {
    const { sandboxID: id } = await t.create({ timeout: 5, autoPause: true })
    pass(4)
    await connect(id, { timeout: 500 })
    pass(2)
    expect(await stateOf(id)).toBe('running')
    expect(t.node.saved.size).toBe(0)
  })

  test('contradicting options are refused', async () => {
    for (const body of [
      { autoPauseMemory: false },
      { autoPause: true, autoPauseMemory: false, autoResume: { enabled: true } },
    ])
      expect((await t.call('POST', '/v2/sandboxes', { templateID: 'base', ...body })).body.code).toBe(400)
  })
})

describe('traffic to a paused sandbox', () => {
  const sleeping = async (timeout = 5) => {
    const { sandboxID } = await t.create({ timeout, autoPause: true, autoResume: { enabled: true } })
    await pause(sandboxID)
    return sandboxID
  }

  test('resumes it once for all concurrent requests, for at least 300 s', async () => {
    const id = await sleeping()
    expect(t.server.directory.find(id)).toMatchObject({ state: 'paused', wakesOnTraffic: true })
    await Promise.all(Array.from({ length: 20 }, () => t.server.directory.wake(id)))
    expect(t.node.resumes).toBe(1)
    expect(t.server.directory.find(id)?.state).toBe('running')
    expect(Date.parse((await detail(id)).endAt) - t.now).toBe(300_000)
    expect((await t.eventsOf(id)).at(-1)?.event_data).toMatchObject({
      resume_reason: 'traffic',
      memory: true,
    })
  })

  test('keeps the timeout of the create when that is longer', async () => {
    const id = await sleeping(1_000)
    await t.server.directory.wake(id)
    expect(Date.parse((await detail(id)).endAt) - t.now).toBe(1_000_000)
  })

  test('that arrives during the pause waits for the pause, and resumes the sandbox', async () => {
    const { sandboxID: id } = await t.create({ autoPause: true, autoResume: { enabled: true } })
    const { promise, resolve } = Promise.withResolvers<void>()
    t.node.saving = promise
    const paused = pause(id)
    await expect.poll(() => t.server.directory.find(id)?.state).toBe('paused')
    const woken = t.server.directory.wake(id)
    resolve()
    await Promise.all([paused, woken])
    expect(await stateOf(id)).toBe('running')
  })

  test('does not resume a sandbox without autoResume', async () => {
    const { sandboxID: id } = await t.create({ autoPause: true })
    await pause(id)
    expect(t.server.directory.find(id)?.wakesOnTraffic).toBe(false)
    await t.server.directory.wake(id)
    expect(await stateOf(id)).toBe('paused')
  })

  test('does not boot a sandbox that was paused without memory', async () => {
    const { sandboxID: id } = await t.create({ autoPause: true, autoResume: { enabled: true } })
    await pause(id, { memory: false })
    await t.server.directory.wake(id)
    expect(await stateOf(id)).toBe('paused')
    expect((await connect(id)).status).toBe(201)
  })

  test('fails when the resume fails, and the next request retries', async () => {
    const id = await sleeping()
    t.node.failResume = 1
    await expect(t.server.directory.wake(id)).rejects.toMatchObject({
      errorName: 'sandbox_capacity_unavailable',
    })
    expect(await stateOf(id)).toBe('paused')
    await t.server.directory.wake(id)
    expect(await stateOf(id)).toBe('running')
  })
})

describe("a team's limit of sandboxes", () => {
  test('holds for traffic too', async () => {
    const { sandboxID: id } = await t.create({ autoPause: true, autoResume: { enabled: true } })
    await pause(id)
    await t.limit({ concurrent_sandboxes: 1 })
    const other = await t.create()
    await expect(t.server.directory.wake(id)).rejects.toMatchObject({ errorName: 'quota_exceeded' })
    expect(await stateOf(id)).toBe('paused')
    await t.call('DELETE', `/sandboxes/${other.sandboxID}`)
    await t.server.directory.wake(id)
    expect(await stateOf(id)).toBe('running')
  })

  test('does not count paused sandboxes, and holds when they are resumed', async () => {
    await t.limit({ concurrent_sandboxes: 2 })
    const first = await t.create()
    await t.create()
    const full = () => t.call('POST', '/v2/sandboxes', { templateID: 'base' })
    expect((await full()).status).toBe(429)
    await pause(first.sandboxID)
    const third = await full()
    expect(third.status).toBe(201)
    expect((await connect(first.sandboxID)).status).toBe(429)
    expect(await stateOf(first.sandboxID)).toBe('paused')
    await pause(third.body.sandboxID)
    expect((await connect(first.sandboxID)).status).toBe(201)
    expect((await full()).status).toBe(429)
  })
})

describe('lists', () => {
  test('are filtered by state; the v1 list has only running sandboxes', async () => {
    const running = (await t.create()).sandboxID
    const paused = (await t.create()).sandboxID
    await pause(paused)
    const idsOf = async (url: string) =>
      (await t.call('GET', url)).body.map(({ sandboxID }: { sandboxID: string }) => sandboxID).sort()
    expect(await idsOf('/v2/sandboxes')).toEqual([running, paused].sort())
    expect(await idsOf('/v2/sandboxes?state=running')).toEqual([running])
    expect(await idsOf('/v2/sandboxes?state=paused')).toEqual([paused])
    expect(await idsOf('/sandboxes')).toEqual([running])
  })
})

describe('a sandbox whose envd does not answer', () => {
  const stuck = async (body: Record<string, unknown> = {}): Promise<string> => {
    const { sandboxID } = await t.create(body)
    t.node.unresponsive.add(t.node.firstMachine())
    return sandboxID
  }
  const listed = async () => (await t.call('GET', '/v2/sandboxes')).body[0]

  test.each([{ requireHealthyGuest: true }, { memory: false }])(
    'is not paused with %j: it answers 503 and keeps running',
    async (body) => {
      const id = await stuck()
      const { status, body: error, headers } = await pause(id, body)
      expect([status, error.error_code, headers['should-retry']]).toEqual([
        503,
        'sandbox_guest_unresponsive',
        undefined,
      ])
      expect(await stateOf(id)).toBe('running')
      expect(t.node.saved.size).toBe(0)
      t.node.unresponsive.clear()
      expect((await pause(id, body)).status).toBe(204)
    },
  )

  test('is paused by default, is marked as unresponsive, and can only be booted, also after a restart', async () => {
    const id = await stuck({ autoPause: true, autoResume: { enabled: true } })
    expect(await detail(id)).not.toHaveProperty('envdUnresponsiveAtPause')
    expect((await pause(id)).status).toBe(204)
    await t.crash()
    expect(await detail(id)).toMatchObject({ envdUnresponsiveAtPause: true, pauseMode: 'full' })
    expect((await listed()).envdUnresponsiveAtPause).toBe(true)
    await t.server.directory.wake(id)
    expect(await stateOf(id)).toBe('paused')
    for (const back of [connect, resume]) {
      const { status, body } = await back(id)
      expect([status, body.error_code]).toEqual([409, 'sandbox_snapshot_guest_agent_unresponsive'])
    }
    expect((await connect(id, { timeout: 100, memory: false })).status).toBe(201)
    expect(await detail(id)).not.toHaveProperty('envdUnresponsiveAtPause')
    expect(await detail(id)).not.toHaveProperty('pauseMode')
    t.node.unresponsive.clear()
    await pause(id)
    expect(await listed()).not.toHaveProperty('envdUnresponsiveAtPause')
    expect((await connect(id)).status).toBe(201)
  })

  test.each([true, false])('cannot postpone its deadline (memory: %s)', async (memory) => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    try {
      const id = await stuck({ autoPause: true, autoPauseMemory: memory, timeout: 10 })
      t.now += 10_000
      await vi.advanceTimersByTimeAsync(10_000)
      vi.useRealTimers()
      await expect.poll(() => stateOf(id)).toBe('paused')
      expect(await detail(id)).toMatchObject({ pauseMode: memory ? 'full' : 'filesystem' })
      expect((await detail(id)).envdUnresponsiveAtPause).toBe(memory || undefined)
    } finally {
      vi.useRealTimers()
    }
  })

  test('can be resumed after a rollback to an earlier checkpoint', async () => {
    const { sandboxID: id } = await t.create()
    const before = (await t.act(id, 'checkpoints')).body.checkpointID
    t.node.unresponsive.add(t.node.firstMachine())
    await pause(id)
    await t.act(id, 'rollback', { checkpointID: before })
    expect(await detail(id)).not.toHaveProperty('envdUnresponsiveAtPause')
    expect((await connect(id)).status).toBe(201)
  })
})

test('what a pause could not record is recorded later, once, also when the sandbox was resumed meanwhile', async () => {
  const { sandboxID } = await t.create()
  const { setPaused } = SandboxRepository.prototype
  const recording = vi.spyOn(SandboxRepository.prototype, 'setPaused').mockImplementationOnce(async function (
    this: SandboxRepository,
    ...args
  ) {
    await setPaused.apply(this, args)
    throw new SandlotError('store_unavailable', 'the connection broke')
  })
  expect((await t.act(sandboxID, 'pause')).status).toBe(204)
  expect((await t.act(sandboxID, 'connect', { timeout: 50 })).status).toBe(201)
  await expect.poll(() => recording.mock.calls.length, { timeout: 5_000 }).toBe(2)
  await recording.mock.results[1]!.value
  recording.mockRestore()
  const states = await t.inStore((store) => store.selectFrom('sandboxes').select('state').execute())
  expect(states).toEqual([{ state: 'running' }])
  const types = (await t.eventsOf(sandboxID)).map(({ type }) => type.split('.').at(-1))
  expect(types).toEqual(['created', 'paused', 'resumed'])
})
