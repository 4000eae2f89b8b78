import { BuildFailure } from '@sandlot/protocol'
import { expect, test } from 'vitest'
import { type Answer, serverUnderTest } from '../test-support/server-under-test.ts'
import { BuildLogs } from './logs.ts'

const tested = serverUnderTest()
const call = (...args: Parameters<typeof tested.current.call>) => tested.current.call(...args)

interface Announced {
  templateID: string
  buildID: string
}

const announce = async (name: string, more = {}): Promise<Announced> =>
  (await call('POST', '/v3/templates', { name, ...more })).body
const start = ({ templateID, buildID }: Announced, body: object = {}): Promise<Answer> =>
  call('POST', `/v2/templates/${templateID}/builds/${buildID}`, {
    ...('fromTemplate' in body ? {} : { fromImage: 'e2bdev/base' }),
    steps: [],
    ...body,
  })
const statusOf = async ({ templateID, buildID }: Announced, query = '') =>
  (await call('GET', `/templates/${templateID}/builds/${buildID}/status${query}`)).body
const settled = async (build: Announced) => {
  await expect.poll(async () => (await statusOf(build)).status).toMatch(/ready|error/)
  return statusOf(build)
}
const built = async (name: string, more = {}): Promise<Announced> => {
  const build = await announce(name, more)
  await start(build)
  expect((await settled(build)).status).toBe('ready')
  return build
}

test('a build is announced and started, and sandboxes can be created from the result', async () => {
  const answer = await call('POST', '/v3/templates', {
    name: 'My-App:v1',
    tags: ['latest'],
    cpuCount: 4,
    memoryMB: 512,
  })
  expect(answer.status).toBe(202)
  expect(answer.body).toMatchObject({ public: false, tags: ['v1', 'latest'], aliases: ['my-app'] })
  expect(answer.body.names[0]).toMatch(/\/my-app$/)
  const build: Announced = answer.body
  expect((await statusOf(build)).status).toBe('waiting')
  tested.current.node.builtEnvironment = {
    defaultUser: 'worker',
    defaultWorkdir: '/w',
    envVars: { A: 't', B: 't' },
  }
  const steps = [{ type: 'RUN', args: ['ls'], forceUpload: true }]
  expect((await start(build, { fromTemplate: 'base', steps, startCmd: 's', readyCmd: 'r' })).status).toBe(202)
  expect(await settled(build)).toMatchObject({ status: 'ready', logs: [] })
  expect(tested.current.node.builtJobs[0]!.recipe).toMatchObject({
    cpuCount: 4,
    memoryMB: 512,
    startCommand: 's',
    readyCommand: 'r',
    isForced: false,
    from: { buildId: 'b1', name: 'base' },
    steps: [{ type: 'RUN', command: 'ls' }],
  })
  const sandbox = await tested.current.create({ templateID: 'my-app:latest', envVars: { A: 'own' } })
  expect(sandbox.templateID).toBe(build.templateID)
  expect(tested.current.node.inits().at(-1)).toMatchObject({
    defaultUser: 'worker',
    defaultWorkdir: '/w',
    envVars: { A: 'own' },
  })
  expect((await call('POST', '/v2/sandboxes', { templateID: 'my-app' })).body.message).toBe(
    "tag 'default' does not exist for template 'my-app'",
  )
})

test('commands in sandboxes see the variables of steps only if the template says so; templates that start from it see them always', async () => {
  const { node } = tested.current
  const envOf = async (templateID: string, envVars?: Record<string, string>) => {
    await tested.current.create({ templateID, envVars })
    return node.inits().at(-1)!.envVars
  }
  const buildWith = async (name: string, envVars: Record<string, string>, body: object) => {
    node.builtEnvironment = { defaultUser: 'user', envVars }
    const build = await announce(name)
    expect((await start(build, body)).status).toBe(202)
    expect((await settled(build)).status).toBe('ready')
  }
  await buildWith('quiet', { TOKEN: 'secret' }, { fromTemplate: 'base' })
  expect(await envOf('quiet')).toEqual({})
  await buildWith('shown', { DISPLAY: ':0' }, { fromTemplate: 'base', templateEnvAtRuntime: true })
  expect(await envOf('shown', { MORE: '1' })).toEqual({ DISPLAY: ':0', MORE: '1' })
  await buildWith('on-top', { DISPLAY: ':1', TOKEN: 'secret' }, { fromTemplate: 'shown' })
  expect(node.builtJobs.at(-1)!.recipe.from).toMatchObject({ environment: { envVars: { DISPLAY: ':0' } } })
  expect(await envOf('on-top')).toEqual({ DISPLAY: ':1' })
  await buildWith('on-quiet', { TOKEN: 'secret', B: '2' }, { fromTemplate: 'quiet' })
  expect(node.builtJobs.at(-1)!.recipe.from).toMatchObject({ environment: { envVars: { TOKEN: 'secret' } } })
  expect(await envOf('on-quiet')).toEqual({})
})

test('a build under a known name belongs to the same template, whose tag moves when the build is ready', async () => {
  const first = await built('app')
  const second = await announce('app')
  expect(second.templateID).toBe(first.templateID)
  expect((await call('GET', '/templates/app/tags')).body).toMatchObject([
    { tag: 'default', buildID: first.buildID },
  ])
  await start(second)
  await settled(second)
  expect((await call('GET', '/templates/app/tags')).body).toMatchObject([
    { tag: 'default', buildID: second.buildID },
  ])
  expect(
    (await call('GET', '/templates/app')).body.builds.map(({ status }: { status: string }) => status),
  ).toEqual(['ready', 'ready'])
})

test('the newest ten builds without a tag are kept', async () => {
  const builds = []
  for (let i = 0; i < 13; i++) {
    tested.current.now += 1_000
    builds.push(await built(i === 1 ? 'app:kept' : 'app'))
  }
  const ids = async () =>
    (await call('GET', '/templates/app')).body.builds.map(({ buildID }: Announced) => buildID).reverse()
  const left = builds.slice(1).map(({ buildID }) => buildID)
  await expect.poll(ids).toEqual(left)
  expect(tested.current.node.saved.size).toBe(12)
  await tested.current.crash()
  expect(await ids()).toEqual(left)
})

test('a build can be started and tagged by its id, also after another build took its tag', async () => {
  const first = await built('app')
  const second = await built('app')
  const other = await built('other')
  for (const isRestarted of [false, true]) {
    if (isRestarted) await tested.current.crash()
    for (const { buildID } of [first, second])
      for (const name of ['app', 'default/app', first.templateID]) {
        await tested.current.create({ templateID: `${name}:${buildID}` })
        expect(tested.current.node.acquired.at(-1)).toBe(buildID)
      }
  }
  const late = await announce('late')
  await start(late, { fromTemplate: `app:${first.buildID}` })
  await settled(late)
  expect(tested.current.node.builtJobs.at(-1)!.recipe.from).toMatchObject({ buildId: first.buildID })
  expect(
    await call('POST', '/templates/tags', { target: `app:${first.buildID}`, tags: ['old'] }),
  ).toMatchObject({
    status: 201,
    body: { tags: ['old'], buildID: first.buildID },
  })
  await tested.current.create({ templateID: 'app:old' })
  expect(tested.current.node.acquired.at(-1)).toBe(first.buildID)
  // a build of another template, also when that has the same name
  const { status, body } = await call('POST', '/v2/sandboxes', { templateID: `app:${other.buildID}` })
  expect([status, body.message]).toEqual([404, `tag '${other.buildID}' does not exist for template 'app'`])
})

test('a create from a build that failed or is not ready says so', async () => {
  await built('app')
  const waiting = await announce('app')
  tested.current.node.building = () => Promise.reject(new BuildFailure('2', 'it broke'))
  const failed = await announce('app')
  await start(failed)
  await settled(failed)
  const createOf = async ({ buildID }: Announced) => {
    const answer = await call('POST', '/v2/sandboxes', { templateID: `app:${buildID}` })
    return [answer.status, answer.body.message.replace(buildID, 'X')]
  }
  const unknown = "tag 'X' does not exist for template 'app'"
  expect(await createOf(waiting)).toEqual([
    404,
    `${unknown}; the build of that id is waiting, try again when it is ready`,
  ])
  expect(await createOf(failed)).toEqual([404, `${unknown}; the build of that id failed: it broke`])
})

test('a failed build keeps its reason and step, and creates still start from the previous build', async () => {
  const good = await built('app')
  tested.current.node.building = () => Promise.reject(new BuildFailure('2', 'it broke'))
  const bad = await announce('app')
  await start(bad)
  expect(await settled(bad)).toMatchObject({ status: 'error', reason: { step: '2', message: 'it broke' } })
  expect((await statusOf(bad)).logEntries.at(-1)).toMatchObject({
    level: 'error',
    message: 'it broke',
    step: '2',
  })
  expect(tested.current.node.saved.size).toBe(1)
  await tested.current.create({ templateID: 'app' })
  expect((await call('GET', '/templates/app/tags')).body[0].buildID).toBe(good.buildID)
})

test('logs are paged by offset and level, and outlive the server', async () => {
  tested.current.node.building = async ({ log }) => {
    for (let i = 0; i < 150; i++) log({ level: i % 2 ? 'debug' : 'info', message: `line ${i}`, step: '1' })
  }
  const build = await built('app')
  const entries = async (query: string) =>
    (await statusOf(build, query)).logEntries as Array<{ message: string }>
  for (const isRestarted of [false, true]) {
    if (isRestarted) await tested.current.crash()
    expect(await entries('')).toHaveLength(100)
    const rest = await entries('?logsOffset=100')
    expect(rest.map(({ message }) => message)).toContain('line 149')
    expect(await entries(`?logsOffset=${100 + rest.length}`)).toEqual([])
    expect((await entries('?level=info&logsOffset=1&limit=2')).map(({ message }) => message)).toEqual([
      'line 0',
      'line 2',
    ])
  }
  const { logs } = (
    await call(
      'GET',
      `/templates/${build.templateID}/builds/${build.buildID}/logs?direction=backward&limit=1`,
    )
  ).body
  expect(logs[0].message).toMatch(/Build finished/)
})

test('offsets and cursors of a log may be as large as numbers get', async () => {
  const build = await built('app')
  const path = `/templates/${build.templateID}/builds/${build.buildID}`
  for (const huge of ['9007199254740991', '1e30']) {
    const { status, body } = await call('GET', `${path}/status?logsOffset=${huge}`)
    expect([huge, status, body.logEntries]).toEqual([huge, 200, []])
    const newest = await call('GET', `${path}/logs?direction=backward&limit=1&cursor=${huge}`)
    expect([huge, newest.status, newest.body.logs?.length]).toEqual([huge, 200, 1])
  }
})

test('a build that a crash interrupted fails with a reason, and leaves no files', async () => {
  tested.current.node.building = () => new Promise(() => {})
  const running = await announce('app')
  await start(running)
  const waiting = await announce('other')
  await expect.poll(() => tested.current.node.builtJobs.length).toBe(1)
  await tested.current.crash()
  expect(await statusOf(running)).toMatchObject({
    status: 'error',
    reason: { message: expect.stringMatching(/restarted in the middle/) },
  })
  expect(await statusOf(waiting)).toMatchObject({ status: 'error' })
  expect(
    await tested.current.inStore((store) => store.selectFrom('checkpoints').selectAll().execute()),
  ).toEqual([])
})

test('deleting a template ends its build', async () => {
  tested.current.node.building = ({ signal }) =>
    new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
  const build = await announce('app')
  await start(build)
  await expect.poll(() => tested.current.node.builtJobs.length).toBe(1)
  expect((await call('DELETE', `/templates/${build.templateID}`)).status).toBe(204)
  expect((await call('GET', '/templates/aliases/app')).status).toBe(404)
})

test('a build is started once', async () => {
  const build = await announce('app')
  const answers = await Promise.all([start(build), start(build)])
  expect(answers.map(({ status }) => status).sort()).toEqual([202, 400])
})

test.each([
  [{ name: 'Bad Name' }, /'bad name' is not a valid name/],
  [{ name: 'x', tags: ['A B'] }, /'A B' is not a valid tag/],
  [{ name: 'stranger/x' }, /namespace 'stranger' is not yours/],
  [{ name: 'x', cpuCount: 3 }, /CPU count must be 1 or an even number/],
  [{ name: 'x', memoryMB: 129 }, /Memory must be divisible by 2/],
  [{ name: 'x', memoryMB: 64 }, /memoryMB/],
  [{}, /name is missing/],
])('%j is refused', async (body, message) => {
  const answer = await call('POST', '/v3/templates', body)
  expect(answer.status).toBe(400)
  expect(answer.body.message).toMatch(message)
})

test('the body of a start request is checked before the build runs', async () => {
  const build = await announce('app')
  const refusal = async (body: object) => (await start(build, body)).body.message
  expect(await refusal({ fromImage: 'a', fromTemplate: 'b' })).toMatch(/both given/)
  expect(await refusal({ fromImage: '' })).toMatch(/both missing/)
  expect(await refusal({ fromTemplate: '' })).toMatch(/both missing/)
  expect(await refusal({ steps: [{ type: 'NOPE' }] })).toMatch(/step 1 \(NOPE\)/)
  const copy = { type: 'COPY', args: ['a', 'b'], filesHash: 'a'.repeat(64) }
  expect(await refusal({ steps: [copy] })).toMatch(/step 1 \(COPY\): the files of 'a' were not uploaded/)
  expect((await statusOf(build)).status).toBe('waiting')
})

test('tags are assigned, listed and removed', async () => {
  const build = await built('app:v1')
  expect(
    await call('POST', '/templates/tags', { target: 'app:v1', tags: ['stable', 'default'] }),
  ).toMatchObject({
    status: 201,
    body: { tags: ['stable', 'default'], buildID: build.buildID },
  })
  expect((await call('POST', '/templates/tags', { target: 'app:none', tags: ['x'] })).status).toBe(404)
  expect((await call('POST', '/templates/tags', { target: 'app:v1', tags: ['X Y'] })).status).toBe(400)
  expect((await call('DELETE', '/templates/tags', { name: 'app', tags: ['stable'] })).status).toBe(204)
  expect((await call('DELETE', '/templates/tags', { name: 'app', tags: ['stable'] })).status).toBe(404)
  expect((await call('DELETE', '/templates/tags', { name: 'app', tags: ['default'] })).status).toBe(400)
  expect((await call('DELETE', '/templates/tags', { name: 'app:v1', tags: ['v1'] })).status).toBe(400)
  await tested.current.crash()
  const tags = (await call('GET', '/templates/app/tags')).body as Array<{ tag: string }>
  expect(tags.map(({ tag }) => tag).sort()).toEqual(['default', 'v1'])
})

test('a template is made public and private', async () => {
  const { templateID } = await built('app')
  const answer = await call('PATCH', `/v2/templates/${templateID}`, { public: true })
  expect(answer.body.names[0]).toMatch(/\/app$/)
  expect((await call('GET', '/templates/aliases/app')).body).toEqual({ templateID, public: true })
  await call('PATCH', '/v2/templates/app', { public: false })
  expect((await call('GET', '/templates/aliases/app')).body.public).toBe(false)
  expect((await call('PATCH', '/v2/templates/base', { public: false })).status).toBe(403)
})

test('an unused template is deleted with its checkpoint; a template in use is not', async () => {
  await built('app')
  const sandbox = await tested.current.create({ templateID: 'app' })
  expect((await call('DELETE', '/templates/app')).status).toBe(400)
  await call('DELETE', `/sandboxes/${sandbox.sandboxID}`)
  expect((await call('DELETE', '/templates/app')).status).toBe(204)
  expect(tested.current.node.saved.size).toBe(0)
  expect((await call('DELETE', '/templates/app')).status).toBe(404)
})

test('after a restart the node is told of finished builds, but not of failed ones', async () => {
  const good = await built('app')
  tested.current.node.building = () => Promise.reject(new Error('no'))
  const bad = await announce('bad')
  await start(bad)
  await settled(bad)
  tested.current.node.teamBuilds.clear()
  await tested.current.crash()
  expect([...tested.current.node.teamBuilds.keys()]).toEqual([good.buildID])
})

test('clients that push Docker images are told which clients work', async () => {
  const answer = await call('POST', '/templates', { dockerfile: 'FROM x' })
  expect(answer.status).toBe(501)
  expect(answer.body.message).toMatch(/use e2b .* or newer/)
})

test('the newest twenty failed builds are kept, with their template', async () => {
  const t = tested.current
  t.node.building = () => Promise.reject(new BuildFailure('1', 'no luck'))
  let last: Announced | undefined
  for (let i = 0; i < 25; i++) {
    last = await announce('app')
    await start(last)
    expect((await settled(last)).status).toBe('error')
  }
  await expect
    .poll(async () => (await call('GET', `/templates/${last!.templateID}`)).body.builds.length)
    .toBe(20)
  expect((await statusOf(last!)).logEntries.at(-1).message).toBe('no luck')
})

test('a team keeps the logs of its newest builds', async () => {
  const t = tested.current
  const builds: Announced[] = []
  for (const name of ['a', 'b', 'c']) {
    builds.push(await built(name))
    t.now += 1_000
  }
  await t.inStore(async (store) => {
    const logs = new BuildLogs(store, Date.now, () => {})
    expect([await logs.prune(2), await logs.prune(2)]).toEqual([1, 0])
  })
  const lines = await Promise.all(builds.map(async (build) => (await statusOf(build)).logEntries.length > 0))
  expect(lines).toEqual([false, true, true])
})

test('a team with too many builds is told to delete templates', async () => {
  const t = tested.current
  const build = await announce('app')
  await t.inStore(async (store) => {
    const row = await store.selectFrom('builds').selectAll().executeTakeFirstOrThrow()
    for (let from = 0; from < 5_000; from += 500)
      await store
        .insertInto('builds')
        .values(Array.from({ length: 500 }, (_, i) => ({ ...row, id: `${from + i}`, status: 'error' })))
        .execute()
  })
  await t.crash()
  const { status, body } = await call('POST', '/v3/templates', { name: 'app' })
  expect([status, body.message]).toEqual([429, expect.stringContaining('5001 builds and snapshots')])
  expect((await call('DELETE', `/templates/${build.templateID}`)).status).toBe(204)
  expect((await call('POST', '/v3/templates', { name: 'app' })).status).toBe(202)
}, 60_000)

test('a build of a template that is being deleted is a 409; afterwards the name belongs to a new template', async () => {
  const running = await announce('app')
  const waiting = await announce('app')
  const gate = Promise.withResolvers<void>()
  tested.current.node.building = () => gate.promise
  await start(running)
  await expect.poll(() => tested.current.node.builtJobs.length).toBe(1)
  const remove = () => call('DELETE', `/templates/${running.templateID}`)
  const deleting = remove()
  const late = async () =>
    Promise.all([call('POST', '/v3/templates', { name: 'app' }), start(waiting), remove()])
  await expect.poll(async () => (await late()).map(({ status }) => status)).toEqual([409, 409, 409])
  gate.resolve()
  expect((await deleting).status).toBe(204)
  expect((await announce('app')).templateID).not.toBe(running.templateID)
})
