import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdir, mkdtemp, readdir, rm, truncate, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { createS3Server, type S3Server } from '../test-support/versitygw.ts'
import { storeContract } from './object-store.contract.ts'
import type { ObjectStore } from './object-store.ts'
import { S3Store } from './s3-store.ts'

let dir: string
let server: S3Server

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'sandlot-s3-'))
  server = await createS3Server(dir)
  await server.start()
}, 600_000)
afterAll(async () => {
  await server.kill()
  await rm(dir, { recursive: true, force: true })
})

describe.each(['', 'sandlot/production'])('with the prefix %j', (prefix) => {
  let store: ObjectStore

  beforeEach(() => {
    store = new S3Store({ ...server.options, prefix })
  })
  afterEach(async () => {
    store.close()
    for (const name of await readdir(server.bucketDir))
      await rm(join(server.bucketDir, name), { recursive: true, force: true })
  })

  storeContract(() => store)
})

test('one of two concurrent replacements of a version loses', async () => {
  const store = new S3Store(server.options)
  const first = await store.putTagged('sandboxes/one', Buffer.from('first'), undefined)
  expect(await store.putTagged('sandboxes/one', Buffer.from('other'), undefined)).toBeUndefined()
  expect(await store.getTagged('sandboxes/one')).toEqual({ content: Buffer.from('first'), tag: first })
  const second = await store.putTagged('sandboxes/one', Buffer.from('second'), first)
  expect(second).toBeTruthy()
  expect(await store.putTagged('sandboxes/one', Buffer.from('third'), first)).toBeUndefined()
  expect((await store.get('sandboxes/one'))?.toString()).toBe('second')
  await store.delete('sandboxes/one')
  expect(await store.putTagged('sandboxes/one', Buffer.from('fourth'), second)).toBeUndefined()
  expect(await store.getTagged('sandboxes/one')).toBeUndefined()
  store.close()
})

test('a repeated write of equal content wins', async () => {
  const store = new S3Store(server.options)
  const tag = await store.putTagged('sandboxes/two', Buffer.from('mine'), undefined)
  expect(await store.putTagged('sandboxes/two', Buffer.from('mine'), undefined)).toBe(tag)
  store.close()
})

test('lists go over many pages', async () => {
  const store = new S3Store(server.options)
  const folder = join(server.bucketDir, 'chunks/aa')
  await mkdir(folder, { recursive: true })
  const names = Array.from({ length: 2005 }, (_, i) => `chunks/aa/${i}`)
  for (const name of names) await writeFile(join(server.bucketDir, name), 'x')
  const listed = []
  for await (const { key } of store.list('chunks/')) listed.push(key)
  expect(listed.sort()).toEqual(names.sort())
  store.close()
})

describe('failures', () => {
  test('a missing bucket is an error, not a missing object', async () => {
    const store = new S3Store({ ...server.options, bucket: 'no-such-bucket' })
    await expect(store.get('chunks/aa/one')).rejects.toMatchObject({
      errorName: 'checkpoint_store_unavailable',
      message: expect.stringMatching(
        /^getting chunks\/aa\/one from bucket 'no-such-bucket' at .*NoSuchBucket/,
      ),
    })
    store.close()
  })

  test('wrong credentials are reported', async () => {
    const credentials = { accessKeyId: 'test-access', secretAccessKey: 'wrong' }
    const store = new S3Store({ ...server.options, credentials })
    await expect(store.put('chunks/aa/one', Buffer.from('x'))).rejects.toMatchObject({
      errorName: 'checkpoint_store_unavailable',
      message: expect.stringMatching(/SignatureDoesNotMatch/),
    })
    store.close()
  })

  test('an unreachable server is reported within seconds', async () => {
    const store = new S3Store({ ...server.options, endpoint: 'http://127.0.0.1:9' })
    await expect(store.head('chunks/aa/one')).rejects.toMatchObject({
      errorName: 'checkpoint_store_unavailable',
      message: expect.stringMatching(/ECONNREFUSED/),
      retryAfterSeconds: 10,
    })
    store.close()
  })

  test("an object that was truncated in the server's storage is not returned", async () => {
    const store = new S3Store(server.options)
    await store.put('chunks/aa/cut', randomBytes(100_000))
    await truncate(join(server.bucketDir, 'chunks/aa/cut'), 50_000)
    await expect(store.get('chunks/aa/cut')).rejects.toMatchObject({
      errorName: 'checkpoint_store_unavailable',
    })
    store.close()
  })

  test.each([
    ['an object that does not end', 'get', (store: ObjectStore) => store.get('chunks/aa/one')],
    [
      'a list that does not end',
      'list',
      (store: ObjectStore) => store.list('chunks/')[Symbol.asyncIterator]().next(),
    ],
    ['an error that does not end', 'error', (store: ObjectStore) => store.delete('chunks/aa/one')],
  ] as const)('%s is aborted, and not collected in memory', async (_, kind, ask) => {
    let sentBytes = 0
    const flood = createServer(async (_request, response) => {
      response.writeHead(kind === 'error' ? 403 : 200, { 'content-type': 'application/xml' })
      const part = Buffer.alloc(2 ** 20, 'x')
      while (!response.destroyed && sentBytes < 512 * 2 ** 20) {
        sentBytes += part.length
        if (!response.write(part)) await Promise.race([once(response, 'drain'), once(response, 'close')])
      }
      response.end()
    }).listen(0, '127.0.0.1')
    await once(flood, 'listening')
    const { port } = flood.address() as AddressInfo
    const store = new S3Store({ ...server.options, endpoint: `http://127.0.0.1:${port}` })
    await expect(ask(store)).rejects.toMatchObject({ errorName: 'checkpoint_store_unavailable' })
    store.close()
    flood.closeAllConnections()
    flood.close()
    expect(sentBytes).toBeLessThan(100 * 2 ** 20)
  })

  test('a closed store rejects at once', async () => {
    const store = new S3Store(server.options)
    store.close()
    await expect(store.get('chunks/aa/one')).rejects.toMatchObject({ errorName: 'server_draining' })
  })

  test.each([
    [{ bucket: 'Not A Bucket' }, /bucket "Not A Bucket" must be/],
    [{ endpoint: 's3://me:secret@minio' }, /endpoint "s3:\/\/…@minio" must be a URL/],
    [{ endpoint: 'localhost:9000' }, /endpoint "localhost:9000" must be a URL/],
    [{ prefix: '../up' }, /object key "..\/up" must be/],
  ])('the setting %j is refused', (setting, message) => {
    expect(() => new S3Store({ ...server.options, ...setting })).toThrow(message)
  })
})
