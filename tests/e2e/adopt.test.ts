import { readdir, readFile } from 'node:fs/promises'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { namesFor } from '@sandlot/node/instance-names'
import { S3Store } from '@sandlot/node/objects/s3-store'
import { type ConnectionOpts, Sandbox } from 'e2b-official'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { connectionTo, nameOfSameHash, sandlot, startServer, type TestServer } from '../server.ts'
import { askHolder, FILE, HOLDER, IN_BUCKET, openSharedBucket, type SharedBucket } from './shared-bucket.ts'

let bucket: SharedBucket
let first: TestServer
let second: TestServer

beforeAll(async () => {
  bucket = await openSharedBucket('adopt')
  const { env } = bucket
  const flags = [...bucket.flags, '--pool-min', '1', '--pool-max', '2']
  first = await startServer({ name: 'adopt-a', port: 13_146, networkRange: '10.156.0.0/16', flags, env })
  const name = nameOfSameHash('adopt-a')
  second = await startServer({ name, port: 13_147, networkRange: '10.157.0.0/16', flags, env })
}, 600_000)
afterAll(async () => {
  await first?.purge()
  await second?.purge()
  await bucket?.close()
}, 120_000)

const optionsOf = (server: TestServer): ConnectionOpts => connectionTo(server.info())

/** A link that lets everybody read the file: it is signed with the sandbox's token. */
const signatureFor = async (sandbox: Sandbox): Promise<string | null> =>
  new URL(await sandbox.downloadUrl(FILE)).searchParams.get('signature')

const adopt = (...args: string[]): Promise<string> =>
  sandlot(['adopt', '--home', second.info().home, ...bucket.flags, ...args], bucket.env)

const recordsInBucket = async (): Promise<string[]> => {
  const store = new S3Store(bucket.s3.options)
  const keys: string[] = []
  for await (const { key } of store.list('sandboxes/')) keys.push(key)
  store.close()
  return keys
}

/** Checks that each object (images, memory, files, rows) is sealed or empty. */
async function expectSealed(): Promise<void> {
  const paths = await readdir(bucket.s3.bucketDir, { recursive: true, withFileTypes: true })
  const files = paths.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name))
  const folders = new Set<string>()
  for (const path of files) {
    const key = path.slice(bucket.s3.bucketDir.length + 1)
    folders.add(
      key
        .replace(/^sealed\/[0-9a-f]{16}\//, 'sealed/')
        .replace(/\/[^/]*$/, '')
        .replace(/^(sealed\/\w+)\/.*/, '$1'),
    )
    const content = await readFile(path)
    if (key.startsWith('sealed/')) expect([key, content.toString('latin1', 0, 4)]).toEqual([key, 'SLB1'])
    else if (key.startsWith('instances/')) expect([key, content.length]).toEqual([key, 0])
    else expect(Object.keys(JSON.parse(content.toString()))).toEqual(['format', 'keyId', 'nonce', 'content'])
  }
  expect([...folders].sort()).toEqual([
    'instances',
    'sandboxes',
    'sealed/bases',
    'sealed/checkpoints',
    'sealed/chunks',
  ])
}

async function pausedInBucket(server: TestServer, sandbox: Sandbox): Promise<void> {
  await sandbox.pause(optionsOf(server))
  await expect.poll(() => recordsInBucket(), IN_BUCKET).toContain(`sandboxes/${sandbox.sandboxId}.json.enc`)
}

const connectStatus = async (server: TestServer, sandboxId: string) => {
  const { apiKey, apiUrl } = optionsOf(server)
  const response = await fetch(`${apiUrl}/sandboxes/${sandboxId}/connect`, {
    method: 'POST',
    headers: { 'x-api-key': String(apiKey), 'content-type': 'application/json' },
    body: JSON.stringify({ timeout: 300 }),
    signal: AbortSignal.timeout(60_000),
  })
  return { status: response.status, text: await response.text() }
}

test('two homes of one hash have different names, which a killed server gets again', async () => {
  const [a, b] = [first, second].map((server) => namesFor(server.info().home).nftTable)
  expect(a).not.toBe(b)
  const sandboxes = await Promise.all([first, second].map((server) => Sandbox.create(optionsOf(server))))
  await first.kill()
  await first.start()
  expect(namesFor(first.info().home).nftTable).toBe(a)
  const said = await Promise.all(sandboxes.map((sandbox) => sandbox.commands.run('echo alive')))
  expect(said.map(({ stdout }) => stdout)).toEqual(['alive\n', 'alive\n'])
  await Promise.all(sandboxes.map((sandbox) => sandbox.kill()))
})

test('a paused sandbox continues on another machine while its own machine is alive, then dead, then back', async () => {
  const sandbox = await Sandbox.create({ ...optionsOf(first), timeoutMs: 600_000 })
  const { sandboxId } = sandbox
  await sandbox.files.write(FILE, 'written on the first machine')
  const { pid } = await sandbox.commands.run(HOLDER, { background: true, stdin: true, timeoutMs: 0 })
  const held = await askHolder(sandbox, pid)
  expect(held).toMatch(/^0\.\d+$/)
  const signature = await signatureFor(sandbox)
  await pausedInBucket(first, sandbox)

  await expectSealed()

  await second.stop()
  const [listed] = JSON.parse(await adopt('--list', '--json'))
  expect(listed).toMatchObject({
    sandboxId,
    owner: hostname(),
    obstacle: expect.stringMatching(/was alive \d+ s ago/),
  })
  await expect(adopt('--sandbox', sandboxId)).rejects.toThrow(
    /cannot be taken over: .* was alive .* use --force/,
  )

  await first.kill()
  expect(await adopt('--sandbox', sandboxId, '--force')).toBe(`Took over ${sandboxId}.\n`)
  expect(await adopt('--list')).toMatch(/has no sandboxes of other machines/)
  await second.start()

  const resumed = await Sandbox.connect(sandboxId, { ...optionsOf(second), timeoutMs: 600_000 })
  expect(resumed.sandboxId).toBe(sandboxId)
  expect(await askHolder(resumed, pid)).toBe(held)
  expect(await resumed.files.read(FILE)).toBe('written on the first machine')
  expect(await signatureFor(resumed)).toBe(signature)
  const { home } = second.info()
  const [place] = await readdir(join(home, 'adopted', 'checkpoints'))
  const { imagePath, guestDir } = JSON.parse(
    await readFile(join(home, 'adopted', 'checkpoints', place!), 'utf8'),
  )
  expect([imagePath, guestDir]).toEqual(
    expect.arrayContaining([expect.stringContaining(`${home}/adopted/files/`)]),
  )

  await first.start()
  const refused = await connectStatus(first, sandboxId)
  expect(refused.status).toBe(409)
  expect(refused.text).toContain(`was taken over by '${hostname()}'`)
  // what the first machine deletes is still there for the second
  await resumed.pause(optionsOf(second))
  const again = await Sandbox.connect(sandboxId, { ...optionsOf(second), timeoutMs: 600_000 })
  expect(await askHolder(again, pid)).toBe(held)
  await again.kill(optionsOf(second))
  await expect.poll(() => recordsInBucket(), IN_BUCKET).toEqual([])
}, 600_000)

test('neither of two servers whose homes have one hash was stopped by the other', () => {
  for (const server of [first, second]) expect(server.log()).not.toContain('machines are frozen')
})

test('paused sandboxes of a purged machine come back from the bucket alone', async () => {
  const sandbox = await Sandbox.create({ ...optionsOf(first), timeoutMs: 600_000 })
  const { sandboxId } = sandbox
  await sandbox.files.write(FILE, 'before the purge')
  const { pid } = await sandbox.commands.run(HOLDER, { background: true, stdin: true, timeoutMs: 0 })
  const held = await askHolder(sandbox, pid)
  await pausedInBucket(first, sandbox)
  await first.kill()
  await first.purge()
  await second.stop()
  expect(await adopt('--force')).toBe(`Took over ${sandboxId} from '${hostname()}'.\n`)
  await second.start()
  const resumed = await Sandbox.connect(sandboxId, optionsOf(second))
  expect(await askHolder(resumed, pid)).toBe(held)
  expect(await resumed.files.read(FILE)).toBe('before the purge')
  await resumed.kill(optionsOf(second))
}, 600_000)
