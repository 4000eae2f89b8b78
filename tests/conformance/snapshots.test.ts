import { afterAll, expect, test } from 'vitest'
import {
  callApi,
  describeClients,
  describeEachClient,
  eachNewClient,
  ownSandboxes,
  rejection,
  type Sandbox,
} from './official.ts'
import { bootIdOf, post } from './paused.ts'

const uniqueName = () => `conformance-${process.pid}-${Math.random().toString(36).slice(2)}`

describeEachClient('a snapshot', (client) => {
  const { Sandbox } = client.e2b
  const create = ownSandboxes(client)
  const made: string[] = []
  afterAll(() => Promise.allSettled(made.map((id) => Sandbox.deleteSnapshot(id))))
  const snapshotOf = async (own: Sandbox, opts: { name?: string } = {}) => {
    const snapshot = await own.createSnapshot(opts)
    made.push(snapshot.snapshotId)
    return snapshot
  }
  const from = async (snapshotId: string, opts = {}) => {
    const own = await Sandbox.create(snapshotId, { timeoutMs: 120_000, ...opts })
    started.push(own)
    return own
  }
  const started: Sandbox[] = []
  afterAll(() => Promise.allSettled(started.map((own) => own.kill())))

  test('starts sandboxes with the memory, processes and files of the snapshot; the source keeps running', async () => {
    const own = await create({ envs: { GREETING: 'hallo' } })
    await own.files.write('/home/user/file', 'then')
    const sleep = await own.commands.run('sleep 1000', { background: true, timeoutMs: 0 })
    const snapshot = await snapshotOf(own)
    expect(snapshot.snapshotId).toMatch(/^[a-z0-9]{20}:default$/)
    await own.files.write('/home/user/file', 'now')
    const copies = await Promise.all([from(snapshot.snapshotId), from(snapshot.snapshotId)])
    for (const copy of copies) {
      expect(copy.sandboxId).not.toBe(own.sandboxId)
      expect(await copy.files.read('/home/user/file')).toBe('then')
      expect((await copy.commands.list()).map(({ pid }) => pid)).toContain(sleep.pid)
      expect(await bootIdOf(copy)).toBe(await bootIdOf(own))
    }
    expect(await own.files.read('/home/user/file')).toBe('now')
    await copies[0]!.files.write('/home/user/file', 'mine')
    expect(await copies[1]!.files.read('/home/user/file')).toBe('then')
    expect(new Set([own, ...copies].map((sandbox) => String(sandbox['envdAccessToken']))).size).toBe(3)
  })

  test('outlives its source, and is gone once deleted', async () => {
    const own = await create()
    await own.files.write('/home/user/file', 'kept')
    const { snapshotId } = await snapshotOf(own)
    await own.kill()
    const copy = await from(snapshotId)
    expect(await copy.files.read('/home/user/file')).toBe('kept')
    await copy.kill()
    expect(await Sandbox.deleteSnapshot(snapshotId)).toBe(true)
    expect(await Sandbox.deleteSnapshot(snapshotId)).toBe(false)
    expect(await rejection(Sandbox.create(snapshotId))).toBeInstanceOf(client.e2b.SandboxError)
  })

  test('has the given name and tags', async () => {
    const own = await create()
    const name = uniqueName()
    await own.files.write('/home/user/file', 'one')
    const first = await snapshotOf(own, { name })
    expect(first.snapshotId).toMatch(new RegExp(`^[^/]+/${name}:default$`))
    await own.files.write('/home/user/file', 'two')
    const second = await snapshotOf(own, { name: `${name}:v2` })
    expect(second.snapshotId).toMatch(new RegExp(`^[^/]+/${name}:v2$`))
    for (const [id, text] of [
      [name, 'one'],
      [first.snapshotId, 'one'],
      [`${name}:v2`, 'two'],
    ] as const)
      expect(await (await from(id)).files.read('/home/user/file')).toBe(text)
  })

  test('is refused for an illegal name, and the error has the rule', async () => {
    const own = await create()
    expect((await rejection(own.createSnapshot({ name: 'not a name' }))).message).toMatch(
      /400.*letters, digits/,
    )
  })

  test('is listed by its source, in pages, newest first', async () => {
    const own = await create()
    const ids: string[] = []
    for (let i = 0; i < 3; i++) ids.unshift((await snapshotOf(own)).snapshotId)
    const paginator = Sandbox.listSnapshots({ sandboxId: own.sandboxId, limit: 2 })
    expect((await paginator.nextItems()).map(({ snapshotId }) => snapshotId)).toEqual(ids.slice(0, 2))
    expect(paginator.hasNext).toBe(true)
    expect((await paginator.nextItems()).map(({ snapshotId }) => snapshotId)).toEqual(ids.slice(2))
    expect(paginator.hasNext).toBe(false)
    expect((await own.listSnapshots().nextItems()).length).toBe(3)
  })

  test('is a template among the others', async () => {
    const own = await create()
    const { snapshotId } = await snapshotOf(own, { name: uniqueName() })
    const templates = (await (await callApi('/templates')).json()) as Array<{ names: string[] }>
    expect(templates.flatMap(({ names }) => names)).toContain(snapshotId.split(':')[0])
  })

  test('of a paused or unknown sandbox is an error', async () => {
    const own = await create()
    await own.pause()
    expect((await rejection(own.createSnapshot())).message).toMatch(/409/)
    expect(await rejection(Sandbox.createSnapshot('i0123456789abcdefghij'))).toBeInstanceOf(
      client.e2b.NotFoundError,
    )
  })
})

describeClients(
  'snapshots by name',
  (client) => {
    const { Sandbox } = client.e2b
    const create = ownSandboxes(client)

    test('are found with and without tag', async () => {
      const own = await create()
      const name = uniqueName()
      const { snapshotId } = await own.createSnapshot({ name })
      const tagged = await own.createSnapshot({ name: `${name}:v2` })
      const found = async (wanted: string) =>
        (await Sandbox.listSnapshots({ name: wanted }).nextItems()).map((snapshot) => snapshot.snapshotId)
      expect(await found(name)).toEqual([tagged.snapshotId, snapshotId])
      expect(await found(`${name}:v2`)).toEqual([tagged.snapshotId])
      expect(await found(`${name}-not`)).toEqual([])
      await Sandbox.deleteSnapshot(snapshotId)
    })
  },
  eachNewClient,
)

describeClients(
  'a fork',
  (client) => {
    const create = ownSandboxes(client)

    test('copies a running sandbox as often as requested; the copies are independent', async () => {
      const own = await create()
      await own.files.write('/home/user/file', 'same')
      const sleep = await own.commands.run('sleep 1000', { background: true, timeoutMs: 0 })
      const { endAt } = await own.getInfo()
      const forks = await own.fork({ count: 3, timeoutMs: 60_000 })
      const copies = forks.filter((fork) => !(fork instanceof Error)) as Sandbox[]
      try {
        expect(forks.filter((fork) => fork instanceof Error)).toEqual([])
        expect(new Set([own, ...copies].map(({ sandboxId }) => sandboxId)).size).toBe(4)
        for (const [index, copy] of copies.entries()) {
          expect(await copy.files.read('/home/user/file')).toBe('same')
          expect((await copy.commands.list()).map(({ pid }) => pid)).toContain(sleep.pid)
          await copy.files.write('/home/user/file', String(index))
        }
        for (const [index, copy] of copies.entries())
          expect(await copy.files.read('/home/user/file')).toBe(String(index))
        expect(await own.files.read('/home/user/file')).toBe('same')
        expect((await own.getInfo()).endAt).toEqual(endAt)
      } finally {
        await Promise.all(copies.map((copy) => copy.kill()))
      }
    }, 120_000)

    test('makes one copy by default, and refuses none or too many', async () => {
      const own = await create()
      const forks = await own.fork()
      expect(forks).toHaveLength(1)
      await (forks[0] as Sandbox).kill()
      for (const count of [0, 101])
        expect((await post(`/sandboxes/${own.sandboxId}/fork`, { count })).status).toBe(400)
    })
  },
  eachNewClient,
)
