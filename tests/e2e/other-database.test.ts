import { cp, readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { type ConnectionOpts, Sandbox } from 'e2b-official'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { connectionTo, sandlot, startServer, type TestServer } from '../server.ts'
import { askHolder, FILE, HOLDER, IN_BUCKET, openSharedBucket, type SharedBucket } from './shared-bucket.ts'

const DATABASE = 'db.sqlite'

let bucket: SharedBucket
let first: TestServer
let second: TestServer
const firstFlags: string[] = []

beforeAll(async () => {
  bucket = await openSharedBucket('other-database')
  const { env } = bucket
  const flags = [...bucket.flags, '--pool-min', '1', '--pool-max', '1']
  firstFlags.push(...flags)
  first = await startServer({
    env,
    name: 'database-a',
    port: 13_141,
    networkRange: '10.154.0.0/16',
    flags: firstFlags,
  })
  second = await startServer({
    env,
    name: 'database-b',
    port: 13_142,
    networkRange: '10.155.0.0/16',
    flags,
  })
}, 600_000)
afterEach(async () => {
  for (const { sandboxId } of await runningOn(first)) await Sandbox.kill(sandboxId, optionsOf(first))
})
afterAll(async () => {
  await first?.purge()
  await second?.purge()
  await bucket?.close()
}, 120_000)

const optionsOf = (server: TestServer): ConnectionOpts => connectionTo(server.info())
const runningOn = (server: TestServer) => Sandbox.list(optionsOf(server)).nextItems()
const databaseOf = (server: TestServer): string => join(server.info().home, DATABASE)

/** Creates a sandbox with content in its memory and on its disk. */
async function makeSandbox(server: TestServer) {
  const sandbox = await Sandbox.create({ ...optionsOf(server), timeoutMs: 3_600_000 })
  await sandbox.files.write(FILE, sandbox.sandboxId)
  const { pid } = await sandbox.commands.run(HOLDER, { background: true, stdin: true, timeoutMs: 0 })
  return { sandbox, sandboxId: sandbox.sandboxId, pid, held: await askHolder(sandbox, pid) }
}
type Made = Awaited<ReturnType<typeof makeSandbox>>

async function expectWhole(server: TestServer, { sandboxId, pid, held }: Made): Promise<void> {
  const again = await Sandbox.connect(sandboxId, { ...optionsOf(server), timeoutMs: 3_600_000 })
  expect(await askHolder(again, pid)).toBe(held)
  expect(await again.files.read(FILE)).toBe(sandboxId)
}

const inBucket = async (): Promise<string[]> => {
  const names = await readdir(bucket.s3.bucketDir, { recursive: true })
  return names.filter((name) => /checkpoints\/|sandboxes\//.test(name)).sort()
}
const isInBucket = async ({ sandboxId }: Made) =>
  (await inBucket()).includes(`sandboxes/${sandboxId}.json.enc`)

async function pause(server: TestServer, made: Made): Promise<void> {
  await Sandbox.pause(made.sandboxId, optionsOf(server))
  await expect.poll(() => isInBucket(made), IN_BUCKET).toBe(true)
}

/** Copies the database files; after a stop the write-ahead log is empty. */
async function saveDatabase(server: TestServer, name: string): Promise<string> {
  await server.stop()
  const saved = join(bucket.dir, name)
  await cp(databaseOf(server), saved)
  return saved
}
async function putDatabase(server: TestServer, saved: string | undefined): Promise<void> {
  for (const suffix of ['', '-wal', '-shm']) await rm(`${databaseOf(server)}${suffix}`, { force: true })
  if (saved !== undefined) await cp(saved, databaseOf(server))
}

/** Starts on another database for as long as `look` takes, then on the original again. */
async function onDatabase(other: string | undefined, look: () => Promise<void>): Promise<void> {
  const original = await saveDatabase(first, 'original')
  await putDatabase(first, other)
  await first.start()
  await look()
  await first.stop()
  await putDatabase(first, original)
  await first.start()
}

const homeOf = ({ home }: { home: string }) => ['--home', home]
const gc = (...args: string[]) => sandlot(['gc', ...homeOf(first.info()), ...args], bucket.env)
const doctor = async () => {
  const { home, port } = first.info()
  const output = await sandlot(
    ['doctor', '--json', '--home', home, '--port', String(port)],
    bucket.env,
  ).catch((error: Error) => error.message)
  return /"detail": "([^"]*not listed by database[^"]*)"/.exec(output)?.[1]
}

test('on an empty database the server reports the checkpoints that are not listed, and sandboxes continue when the original is back', async () => {
  const [paused, filesOnly, running] = [
    await makeSandbox(first),
    await makeSandbox(first),
    await makeSandbox(first),
  ]
  await pause(first, paused)
  await Sandbox.pause(filesOnly.sandboxId, { ...optionsOf(first), keepMemory: false } as ConnectionOpts)
  await expect.poll(() => isInBucket(filesOnly), IN_BUCKET).toBe(true)
  const { snapshotId } = await running.sandbox.createSnapshot(optionsOf(first))
  const before = await inBucket()

  await onDatabase(undefined, async () => {
    expect(await runningOn(first)).toEqual([])
    const said = /3 checkpoints of [\d.]+ MB, not listed by database \S+ since \S+, deleted by it from/
    expect(await gc('--dry-run')).toMatch(said)
    // a garbage collection on request does not delete them either
    expect(await gc()).toMatch(said)
    expect(await doctor()).toMatch(said)
    expect(await doctor()).toMatch(/1 frozen sandbox, not listed by database/)
    // the machine still serves other sandboxes
    const other = await Sandbox.create(optionsOf(first))
    await other.kill(optionsOf(first))
  })
  expect(await inBucket()).toEqual(expect.arrayContaining(before))
  expect(await gc('--dry-run')).not.toContain('not listed')
  await expectWhole(first, running)
  await expectWhole(first, paused)
  const again = await Sandbox.connect(filesOnly.sandboxId, optionsOf(first))
  expect(await again.files.read(FILE)).toBe(filesOnly.sandboxId)
  const copy = await Sandbox.create(snapshotId, optionsOf(first))
  expect(await copy.files.read(FILE)).toBe(running.sandboxId)
}, 600_000)

test('on a database of a week ago, checkpoints made since are kept, and so are those that the old database lists in another state', async () => {
  const old = await makeSandbox(first)
  await pause(first, old)
  const weekAgo = await saveDatabase(first, 'week-ago')
  await first.start()
  await expectWhole(first, old)
  await pause(first, old)
  const since = await makeSandbox(first)
  await pause(first, since)

  await onDatabase(weekAgo, async () => {
    expect((await runningOn(first)).map(({ sandboxId }) => sandboxId)).toContain(old.sandboxId)
    expect(await gc('--dry-run')).toMatch(/2 checkpoints of .* not listed/)
    // as users would who do not know of the restore
    await expectWhole(first, old)
    await Sandbox.pause(old.sandboxId, optionsOf(first))
  })
  await expectWhole(first, old)
  await expectWhole(first, since)
}, 600_000)

test('with the database of another instance on the same bucket, neither instance loses anything', async () => {
  const [own, other] = [await makeSandbox(first), await makeSandbox(second)]
  await pause(first, own)
  await pause(second, other)
  const foreign = await saveDatabase(second, 'foreign')
  const before = await inBucket()
  await onDatabase(foreign, async () => {
    expect((await runningOn(first)).map(({ sandboxId }) => sandboxId)).toContain(other.sandboxId)
    expect(await gc()).toMatch(/not listed/)
  })
  await second.start()
  expect(await inBucket()).toEqual(expect.arrayContaining(before))
  await expectWhole(second, other)
  await expectWhole(first, own)
  await Sandbox.kill(other.sandboxId, optionsOf(second))
}, 600_000)

test('in a shared bucket, checkpoints that one server took over outlive the grace period of the other server', async () => {
  const [taken, left] = [await makeSandbox(first), await makeSandbox(first)]
  await pause(first, taken)
  await pause(first, left)
  await first.stop()
  await second.stop()
  await sandlot(
    ['adopt', ...homeOf(second.info()), ...bucket.flags, '--sandbox', taken.sandboxId, '--force'],
    bucket.env,
  )
  await putDatabase(first, undefined)
  firstFlags.push('--unlisted-grace-days', '0')
  await first.start()
  expect(await gc()).not.toContain('not listed')
  const { home } = first.info()
  await expect.poll(() => readdir(join(home, 'packed', 'deleting')), IN_BUCKET).toEqual([])
  const checkpoints = (await inBucket()).filter((name) => /\/checkpoints\/\w+\.json$/.test(name))
  expect(checkpoints).toHaveLength(1)
  await second.start()
  await expectWhole(second, taken)
  await Sandbox.kill(taken.sandboxId, optionsOf(second))
}, 600_000)
