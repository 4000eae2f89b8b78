import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { SandboxRecords } from '@sandlot/node'
import { S3Store } from '@sandlot/node/objects/s3-store'
import { createS3Server, type S3Server } from '@sandlot/node/test-support/versitygw'
import { openTakeoverImport, type TakeoverRows } from '@sandlot/server/takeover/import'
import { newTestDatabase } from '@sandlot/server/test-support/database'
import { ServerUnderTest, serverUnderTest } from '@sandlot/server/test-support/server-under-test'
import { afterAll, beforeAll, expect, test } from 'vitest'

const SECRET = 'a secret of at least thirty-two characters'
const WITHIN = { timeout: 15_000, interval: 100 }
const file = { sha256: 'a'.repeat(64), sizeBytes: 1, modifiedAtNs: '1' }
const base = { image: file, envd: file }

let dir: string
let s3: S3Server
/** As another machine with the same bucket and secret sees it. */
let second: SandboxRecords
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'sandlot-handovers-'))
  s3 = await createS3Server(dir)
  await s3.start()
  second = recordsOf('second', 'the second machine')
}, 600_000)
afterAll(async () => {
  await s3.kill()
  await rm(dir, { recursive: true, force: true })
})

const recordsOf = (instanceId: string, name = 'first') =>
  new SandboxRecords(new S3Store(s3.options), SECRET, { instanceId, name })
const under = serverUnderTest({ records: (id) => recordsOf(id) })

async function pausedAndOffered() {
  const server = under.current
  const { sandboxID, envdAccessToken } = await server.create({ secure: true })
  await server.call('POST', `/sandboxes/${sandboxID}/pause`)
  const [checkpointId] = [...server.node.saved].slice(-1)
  server.node.carried.set(checkpointId!, base)
  await expect
    .poll(async () => (await second.find(sandboxID))?.record, WITHIN)
    .toMatchObject({ state: 'paused', owner: { name: 'first' }, checkpointId, base })
  return { sandboxID, envdAccessToken, checkpointId: checkpointId! }
}

async function takeOver(sandboxID: string): Promise<TakeoverRows> {
  const found = (await second.find(sandboxID))!
  await second.write(found.record, found.tag)
  return found.record.rows as TakeoverRows
}

const connect = (sandboxID: string) =>
  under.current.call('POST', `/sandboxes/${sandboxID}/connect`, { timeout: 60 })

test('a resume takes the sandbox before anything starts, the next pause offers it again', async () => {
  const { sandboxID } = await pausedAndOffered()
  expect((await connect(sandboxID)).status).toBe(201)
  expect((await second.find(sandboxID))?.record.state).toBe('taken')
  await under.current.call('POST', `/sandboxes/${sandboxID}/pause`)
  const next = [...under.current.node.saved].at(-1)!
  under.current.node.carried.set(next, base)
  await expect
    .poll(async () => (await second.find(sandboxID))?.record, WITHIN)
    .toMatchObject({ state: 'paused', checkpointId: next })
})

test('a resume that fails offers it again', async () => {
  const { sandboxID } = await pausedAndOffered()
  under.current.node.failResume = 1
  expect((await connect(sandboxID)).status).toBe(503)
  await expect.poll(async () => (await second.find(sandboxID))?.record.state, WITHIN).toBe('paused')
})

test('a rollback of a paused sandbox offers the checkpoint that it went back to', async () => {
  const { sandboxID, checkpointId } = await pausedAndOffered()
  await connect(sandboxID)
  await under.current.call('POST', `/sandboxes/${sandboxID}/pause`)
  const later = [...under.current.node.saved].at(-1)!
  under.current.node.carried.set(later, base)
  const offered = async () => (await second.find(sandboxID))?.record.checkpointId
  await expect.poll(offered, WITHIN).toBe(later)
  await under.current.call('POST', `/sandboxes/${sandboxID}/rollback`, { checkpointID: checkpointId })
  await expect.poll(offered, WITHIN).toBe(checkpointId)
})

test('what another machine took over is refused with where it went, also after a restart, and its checkpoint stays there', async () => {
  const { sandboxID, checkpointId } = await pausedAndOffered()
  await takeOver(sandboxID)
  const resumes = under.current.node.resumes
  const moved = {
    status: 409,
    body: { message: expect.stringContaining("taken over by 'the second machine'") },
  }
  expect(await connect(sandboxID)).toMatchObject(moved)
  expect(under.current.node.resumes).toBe(resumes)
  await expect.poll(() => under.current.node.left, WITHIN).toEqual([checkpointId])
  await under.current.crash()
  expect(await connect(sandboxID)).toMatchObject(moved)
  expect((await second.find(sandboxID))?.record.owner.name).toBe('the second machine')
})

test('a kill of what another machine took over leaves it its record and its checkpoint', async () => {
  const { sandboxID, checkpointId } = await pausedAndOffered()
  await takeOver(sandboxID)
  await under.current.call('DELETE', `/sandboxes/${sandboxID}`)
  await expect.poll(() => under.current.node.left, WITHIN).toEqual([checkpointId])
  expect((await second.find(sandboxID))?.record.owner.name).toBe('the second machine')
})

test('a kill removes the record', async () => {
  const { sandboxID } = await pausedAndOffered()
  await under.current.call('DELETE', `/sandboxes/${sandboxID}`)
  await expect.poll(() => second.find(sandboxID), WITHIN).toBeUndefined()
})

test('of two who take the same sandbox one loses', async () => {
  const { sandboxID } = await pausedAndOffered()
  const found = (await second.find(sandboxID))!
  await second.write(found.record, found.tag)
  await expect(recordsOf('third').write(found.record, found.tag)).rejects.toMatchObject({
    errorName: 'conflict',
  })
})

test('adopted rows are a paused sandbox of the default team with its id and token; twice is refused', async () => {
  const { sandboxID, envdAccessToken, checkpointId } = await pausedAndOffered()
  const rows = await takeOver(sandboxID)
  const home = await mkdtemp(join(dir, 'second-'))
  const other = new ServerUnderTest(home)
  other.database = await newTestDatabase(home)
  other.node.saved.add(checkpointId)
  const adoption = await openTakeoverImport(other.storeUrl)
  await adoption.insert(rows, 'first')
  await expect(adoption.insert(rows, 'first')).rejects.toMatchObject({ errorName: 'conflict' })
  await adoption.close()
  await other.open()
  const [shown] = (await other.call('GET', '/v2/sandboxes?state=paused')).body
  expect(shown).toMatchObject({ sandboxID, state: 'paused' })
  const resumed = await other.call('POST', `/sandboxes/${sandboxID}/connect`, { timeout: 60 })
  expect(resumed).toMatchObject({ status: 201, body: { sandboxID, envdAccessToken } })
  const [takeover] = await other.eventsOf(sandboxID)
  expect(takeover?.event_data).toEqual({ sandbox_metadata: {}, adopted: { from: 'first' } })
  await other.close()
})

test('while the bucket is down a resume says so and changes nothing, others work, and it works when it is back', async () => {
  const { sandboxID } = await pausedAndOffered()
  await s3.kill()
  try {
    const { status, body } = await connect(sandboxID)
    expect(status).toBe(503)
    expect(body.message).toMatch(/bucket|store/)
    expect(under.current.node.resumes).toBe(0)
    expect((await under.current.call('GET', `/sandboxes/${sandboxID}`)).body.state).toBe('paused')
    const other = await under.current.create()
    expect((await under.current.call('POST', `/sandboxes/${other.sandboxID}/pause`)).status).toBe(204)
  } finally {
    await s3.start()
  }
  expect((await connect(sandboxID)).status).toBe(201)
}, 60_000)
