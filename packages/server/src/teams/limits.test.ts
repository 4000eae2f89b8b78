import { describe, expect, test } from 'vitest'
import { serverUnderTest } from '../test-support/server-under-test.ts'
import { TEAM_LIMITS, TeamLimits } from './limits.ts'
import { DEFAULT_TEAM_SLUG, findTeamBySlug } from './repository.ts'

const tested = serverUnderTest()
const call = (...args: Parameters<typeof tested.current.call>) => tested.current.call(...args)

const announce = (body: object) => call('POST', '/v3/templates', { name: 'app', ...body })
const startBuild = async (steps: unknown[] = []) => {
  const { templateID, buildID } = (await announce({})).body
  const started = await call('POST', `/v2/templates/${templateID}/builds/${buildID}`, {
    fromImage: 'e2bdev/base',
    steps,
  })
  const status = async () => (await call('GET', `/templates/${templateID}/builds/${buildID}/status`)).body
  return { started, status }
}

describe('resources of a build', () => {
  test.each([
    [{ cpuCount: 10 }, /cpuCount is 10, this machine has at most 8/],
    [{ memoryMB: 16_386 }, /memoryMB is 16386 MB, this machine has at most 16384 MB/],
    [{ minFreeDiskMb: 200_000 }, /the disk is 200000 MB, this machine has at most 102400 MB/],
  ])('%j: no more than the machine has, whatever the plan says', async (asked, message) => {
    await tested.current.limit({ cpu_count: 64, memory_mb: 1_048_576, disk_size_mb: 1_048_576 })
    const { status, body } = await announce(asked)
    expect([status, body.message]).toEqual([400, expect.stringMatching(message)])
  })

  test.each([
    [{ cpuCount: 4 }, /cpuCount is 4, your plan allows at most 2/],
    [{ memoryMB: 2048 }, /memoryMB is 2048 MB, your plan allows at most 1024 MB/],
    [{ minFreeDiskMb: 30_000 }, /the disk is 30000 MB, your plan allows at most 20000 MB/],
  ])('%j: no more than the plan allows', async (asked, message) => {
    await tested.current.limit({ cpu_count: 2, memory_mb: 1024, disk_size_mb: 20_000 })
    const { status, body } = await announce(asked)
    expect([status, body.message]).toEqual([400, expect.stringMatching(message)])
    expect((await announce({ cpuCount: 2, memoryMB: 1024 })).status).toBe(202)
  })

  test('without a plan, a build may use all that the machine has', async () => {
    expect((await announce({ cpuCount: 8, memoryMB: 16_384, minFreeDiskMb: 102_400 })).status).toBe(202)
  })

  test("a plan also limits sandboxes of other teams' templates", async () => {
    await tested.current.limit({ memory_mb: 512 })
    const { status, body } = await call('POST', '/v2/sandboxes', { templateID: 'base' })
    expect([status, body.message]).toEqual([400, 'this template has 1024 MB of memory, your plan allows 512'])
  })

  test('a plan limits unfinished builds', async () => {
    await tested.current.limit({ unfinished_builds: 2 })
    const statuses = []
    for (const name of ['a', 'b', 'c']) statuses.push((await announce({ name })).status)
    expect(statuses).toEqual([202, 202, 429])
  })
})

describe("a machine counts toward its team's concurrent sandboxes", () => {
  test('while it builds', async () => {
    await tested.current.limit({ concurrent_sandboxes: 1 })
    let finish = () => {}
    tested.current.node.building = () => new Promise((resolve) => (finish = resolve))
    const { started, status } = await startBuild()
    expect(started.status).toBe(202)
    await expect.poll(() => tested.current.node.builtJobs.length).toBe(1)
    expect((await call('POST', '/v2/sandboxes', { templateID: 'base' })).status).toBe(429)
    finish()
    await expect.poll(async () => (await status()).status).toBe('ready')
    expect((await call('POST', '/v2/sandboxes', { templateID: 'base' })).status).toBe(201)
  })

  test('and a build is refused when the limit is reached', async () => {
    await tested.current.limit({ concurrent_sandboxes: 1 })
    await tested.current.create()
    const { started } = await startBuild()
    expect([started.status, started.body.message]).toEqual([
      429,
      expect.stringContaining('its plan allows 1'),
    ])
    expect(tested.current.node.builtJobs).toEqual([])
  })

  /** A sandbox with two checkpoints, and diffs of them that end with `finish`. */
  async function comparable() {
    const t = tested.current
    const { sandboxID: id } = await t.create()
    for (let i = 0; i < 2; i++) await t.act(id, 'checkpoints')
    const running: Array<() => void> = []
    t.node.diff = () =>
      new Promise((resolve) => running.push(() => resolve({ added: [], changed: [], deleted: [] })))
    const diff = () => call('GET', `/sandboxes/${id}/diff`)
    return { diff, running, finish: () => running.forEach((end) => void end()) }
  }
  const create = async () => (await call('POST', '/v2/sandboxes', { templateID: 'base' })).status

  test('while it reads for a diff', async () => {
    const { diff, running, finish } = await comparable()
    await tested.current.limit({ concurrent_sandboxes: 4 })
    const first = diff()
    await expect.poll(() => running.length).toBe(1)
    expect((await diff()).body.message).toContain('its plan allows 4')
    expect([await create(), await create()]).toEqual([201, 429])
    finish()
    expect((await first).status).toBe(200)
    expect([await create(), await create(), await create()]).toEqual([201, 201, 429])
  })

  test.each([1, 3])('and a plan sets how many diffs are made at a time: %d', async (limit) => {
    const { diff, running, finish } = await comparable()
    await tested.current.limit({ diffs: limit })
    const allowed = Array.from({ length: limit }, diff)
    await expect.poll(() => running.length).toBe(limit)
    expect((await diff()).status).toBe(429)
    finish()
    for (const { status } of await Promise.all(allowed)) expect(status).toBe(200)
  })

  test('and the number of concurrent diffs is limited', async () => {
    const { diff, running, finish } = await comparable()
    const two = [diff(), diff()]
    await expect.poll(() => running.length).toBe(2)
    const third = await diff()
    expect([third.status, third.headers['retry-after']]).toEqual([429, '2'])
    finish()
    for (const answer of await Promise.all(two)) expect(answer.status).toBe(200)
    const after = diff()
    await expect.poll(() => running.length).toBe(3)
    finish()
    expect((await after).status).toBe(200)
  })
})

test('a team at its limit may roll back, with a limit of concurrent rollbacks', async () => {
  const t = tested.current
  const ids: string[] = []
  for (let i = 0; i < 3; i++) ids.push((await t.create()).sandboxID)
  const checkpoints: string[] = []
  for (const id of ids) checkpoints.push((await t.act(id, 'checkpoints')).body.checkpointID)
  await t.limit({ concurrent_sandboxes: 3 })
  let go = () => {}
  t.node.acquiring = new Promise<void>((resolve) => (go = resolve))
  const rollBack = (index: number) =>
    call('POST', `/sandboxes/${ids[index]}/rollback`, { checkpointID: checkpoints[index] })
  const before = t.node.resumes
  const two = [rollBack(0), rollBack(1)]
  await expect.poll(() => t.node.resumes - before).toBe(2)
  const third = await rollBack(2)
  expect([third.status, third.headers['retry-after']]).toEqual([429, '1'])
  go()
  for (const { status } of await Promise.all(two)) expect(status).toBeLessThan(300)
  expect((await rollBack(2)).status).toBeLessThan(300)
})

describe('a fork meets the rate of creates', () => {
  const fork = (id: string, count: number) => call('POST', `/sandboxes/${id}/fork`, { count })
  const create = () => call('POST', '/v2/sandboxes', { templateID: 'base' })

  test('like as many creates: all copies are made or none', async () => {
    const t = tested.current
    const { sandboxID: id } = await t.create()
    await t.limit({ creates_per_second: 3 })
    expect((await fork(id, 2)).status).toBe(201)
    const refused = await fork(id, 2)
    expect([refused.status, refused.headers['retry-after'], refused.body.error_code]).toEqual([
      429,
      '1',
      'rate_limited',
    ])
    await expect.poll(() => t.node.saved.size).toBe(0)
    expect((await fork(id, 1)).status).toBe(201)
    expect((await create()).status).toBe(429)
  })

  test('also when it has more copies than the plan allows at once, and later creates then wait for them', async () => {
    const t = tested.current
    const { sandboxID: id } = await t.create()
    await t.limit({ creates_per_second: 3 })
    const { status, body } = await fork(id, 9)
    expect([status, body.filter(({ sandbox }: { sandbox?: object }) => sandbox).length]).toEqual([201, 9])
    expect((await create()).headers['retry-after']).toBe('3')
    t.now += 2_400
    expect((await create()).status).toBe(201)
    expect((await fork(id, 1)).status).toBe(429)
  })
})

const limitsAt = (clock: { now: number }) =>
  new TeamLimits({
    runningOf: () => 0,
    capacity: () => ({ cpuCount: 8, memoryMB: 16_384, diskSizeMB: 102_400 }),
    now: () => clock.now,
  })
const team = async () => (await tested.current.inStore((store) => findTeamBySlug(store, DEFAULT_TEAM_SLUG)))!

test('a team starts at most 2,000 machines at a time, without a plan too', async () => {
  const limits = limitsAt({ now: 0 })
  const own = await team()
  const releases = Array.from({ length: 20 }, () => limits.reserve(own, 100))
  expect(() => limits.reserve(own)).toThrow('2000 machines of team')
  limits.reserve({ ...own, teamId: 'other' })
  releases[0]!()
  limits.reserve(own, 100)
})

test('where a plan says nothing, the defaults hold: no limit, or the number of `TEAM_LIMITS`', async () => {
  await tested.current.limit({})
  expect((await team()).plan).toEqual({
    concurrentSandboxes: null,
    createsPerSecond: null,
    maxLengthHours: null,
    requestsPerSecond: null,
    storageMB: null,
    cpuCount: null,
    memoryMB: null,
    diskSizeMB: null,
    unfinishedBuilds: TEAM_LIMITS.unfinishedBuilds,
    uploads: TEAM_LIMITS.uploads,
    uploadMB: null,
    volumeMB: null,
    diffs: TEAM_LIMITS.diffs,
  })
})

describe('requests', () => {
  test('the keys of a team share one limit, however many there are', async () => {
    const clock = { now: 0 }
    const limits = limitsAt(clock)
    const own = await team()
    let allowed = 0
    const askAll = () => {
      for (let i = 0; i < 3_000; i++) {
        const { waitSeconds } = limits.countRequest(own, `key ${i % 7}`, `GET /${i % 3}`)
        if (waitSeconds === 0) allowed++
        else expect(waitSeconds).toBe(1)
      }
    }
    askAll()
    expect(allowed).toBe(2_000)
    clock.now += 1_000
    askAll()
    expect(allowed).toBe(2_500)
  })

  test("to one route leave capacity for the team's other routes, and do not affect other teams", async () => {
    const limits = limitsAt({ now: 0 })
    const own = await team()
    const ask = (route: string, of = own) => limits.countRequest(of, 'key', route)
    for (let i = 0; i < 1_600; i++) expect(ask('GET /a').waitSeconds).toBe(0)
    expect(ask('GET /a')).toEqual({ limit: 1_600, remaining: 0, resetSeconds: 4, waitSeconds: 1 })
    expect(ask('GET /b')).toEqual({ limit: 2_000, remaining: 399, resetSeconds: 4, waitSeconds: 0 })
    const other = { ...own, teamId: 'other' }
    expect(ask('GET /a', other)).toEqual({ limit: 1_600, remaining: 1_599, resetSeconds: 1, waitSeconds: 0 })
  })

  test('get answers with the state of the limit, and beyond the limit 429 with Retry-After', async () => {
    await tested.current.limit({ requests_per_second: 2 })
    const ask = async () => {
      const { status, headers, body } = await call('GET', '/v2/sandboxes')
      const [limit, remaining, reset] = ['limit', 'remaining', 'reset'].map(
        (name) => headers[`ratelimit-${name}`],
      )
      return { status, limit, remaining, reset, retryAfter: headers['retry-after'], body }
    }
    expect(await ask()).toMatchObject({ status: 200, limit: '2', remaining: '1', reset: '1' })
    expect(await ask()).toMatchObject({ status: 200, remaining: '0', retryAfter: undefined })
    expect(await ask()).toMatchObject({
      status: 429,
      limit: '2',
      remaining: '0',
      reset: '1',
      retryAfter: '1',
      body: { code: 429, message: 'Rate limit exceeded' },
    })
  })
})

test('every request for a machine tells the node the team', async () => {
  const t = tested.current
  const { teamID } = (await call('GET', '/teams')).body[0]
  const { sandboxID: id } = await t.create()
  await t.act(id, 'pause')
  t.node.frozen.clear()
  await t.act(id, 'connect', { timeout: 60 })
  await t.act(id, 'fork', { count: 2 })
  expect(t.node.owners).toEqual([teamID, teamID, teamID, teamID])
})

test('a team has 256 requests for files of volumes at a time', async () => {
  const limits = limitsAt({ now: 0 })
  const own = await team()
  const releases = Array.from({ length: 256 }, () => limits.reserveVolumeRequest(own))
  expect(() => limits.reserveVolumeRequest(own)).toThrow('256 requests')
  limits.reserveVolumeRequest({ ...own, teamId: 'other' })
  releases[0]!()
  limits.reserveVolumeRequest(own)
})
