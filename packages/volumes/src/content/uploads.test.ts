import { once } from 'node:events'
import { Agent, createServer, type IncomingMessage, request } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Readable } from 'node:stream'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Volumes } from '../storage/volumes.ts'
import { VolumesOfTest } from '../test-support/volumes-of-test.ts'

const MiB = 2 ** 20
let own: VolumesOfTest
let volumes: Volumes
let roomBytes = Number.POSITIVE_INFINITY
beforeAll(async () => {
  own = await VolumesOfTest.make()
  volumes = await own.open({ roomBytes: () => roomBytes })
  await volumes.create('v1', { sizeBytes: 64 * MiB })
})
afterAll(() => own.end())

const write = (uploadId: string, offset: number, sizeBytes: number, content: Readable, path = '/file') =>
  volumes.files.write('v1', Buffer.from(path), content, {}, true, { uploadId, offset, sizeBytes })
const bytesOf = (uploadId: string) => volumes.files.uploadedBytes('v1', uploadId)
const id = (name: string) => name.padEnd(16, '-')
const isThere = (path: string) =>
  volumes.files.stat('v1', Buffer.from(path)).then(
    () => true,
    () => false,
  )
async function read(path: string): Promise<string> {
  const parts: Buffer[] = []
  for await (const part of (await volumes.files.open('v1', Buffer.from(path))).read())
    parts.push(part as Buffer)
  return Buffer.concat(parts).toString()
}
/** Sends some bytes, and then breaks off. */
const broken = (text: string) =>
  Readable.from(
    (async function* () {
      yield Buffer.from(text)
      throw new Error('the connection broke')
    })(),
  )

test('an upload that broke off continues where it stopped, and the file appears at the end', async () => {
  expect(await bytesOf(id('a'))).toBe(0)
  await expect(write(id('a'), 0, 10, broken('01234'))).rejects.toThrow('broke')
  expect([await bytesOf(id('a')), await isThere('/file')]).toEqual([5, false])
  await expect(write(id('a'), 5, 10, Readable.from([Buffer.from('56')]))).rejects.toMatchObject({
    errorName: 'conflict',
    message: '7 of 10 bytes are there: continue at 7',
  })
  expect(await write(id('a'), 7, 10, Readable.from([Buffer.from('789')]))).toMatchObject({ sizeBytes: 10 })
  expect([await read('/file'), await bytesOf(id('a'))]).toEqual(['0123456789', 0])
})

test('an upload begins anew at 0, and nowhere else than where it stopped', async () => {
  await expect(write(id('b'), 0, 4, broken('xx'), '/b')).rejects.toThrow('broke')
  await expect(write(id('b'), 3, 4, Readable.from([]), '/b')).rejects.toMatchObject({
    errorName: 'conflict',
    message: 'offset is 3, but 2 bytes of this upload are there: continue at 2',
  })
  await write(id('b'), 0, 4, Readable.from([Buffer.from('0123')]), '/b')
  expect(await read('/b')).toBe('0123')
})

test('an upload with more bytes than it said leaves nothing', async () => {
  await expect(write(id('c'), 0, 2, Readable.from([Buffer.from('0123')]), '/c')).rejects.toMatchObject({
    errorName: 'invalid_request',
  })
  expect([await bytesOf(id('c')), await isThere('/c')]).toEqual([0, false])
})

test('the newest request of an upload ends the one before', async () => {
  const waiting = new Readable({ read() {} })
  waiting.push('01')
  const first = write(id('d'), 0, 4, waiting, '/d').catch((error: unknown) => error)
  await expect.poll(() => waiting.readableDidRead).toBe(true)
  const bytes = await bytesOf(id('d'))
  expect(await first).toMatchObject({ errorName: 'conflict', message: expect.stringContaining('another') })
  await write(id('d'), bytes, 4, Readable.from([Buffer.from('0123'.slice(bytes))]), '/d')
  expect(await read('/d')).toBe('0123')
})

test('ids that are no ids, and more uploads than a volume keeps, are refused', async () => {
  for (const bad of ['', 'short', '../../../../etc/passwd', 'x'.repeat(65)])
    await expect(bytesOf(bad)).rejects.toMatchObject({ errorName: 'invalid_request' })
  for (let index = 0; index < 64; index += 1)
    await write(id(`many${index}`), 0, 9, broken('0'), '/many').catch(() => {})
  await expect(write(id('last'), 0, 9, broken('0'), '/many')).rejects.toMatchObject({
    errorName: 'rate_limited',
  })
  await write(id('many0'), 1, 9, Readable.from([Buffer.from('12345678')]), '/many')
  expect(await read('/many')).toBe('012345678')
})

test('a request whose body finds no room gets its answer, and its connection takes the next request', async () => {
  const server = createServer((incoming, response) => {
    volumes.files.write('v1', Buffer.from('/full'), incoming, {}, true).then(
      () => response.writeHead(201).end(),
      (error: { status?: number }) => response.writeHead(error.status ?? 500).end(),
    )
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  const { port } = server.address() as AddressInfo
  const connections = new Set<unknown>()
  server.on('connection', (socket) => connections.add(socket))
  try {
    const statuses: number[] = []
    for (const room of [0, 0, Number.POSITIVE_INFINITY]) {
      roomBytes = room
      const sending = request({ port, agent, method: 'PUT' }).end(Buffer.alloc(4 * MiB))
      const [answer] = (await once(sending, 'response')) as [IncomingMessage]
      statuses.push(answer.statusCode!)
      // the client reads the answer after it has sent everything, as many do
      if (!sending.writableFinished) await once(sending, 'finish')
      await once(answer.resume(), 'close')
    }
    expect(statuses).toEqual([507, 507, 201])
    expect(connections.size).toBe(1)
  } finally {
    roomBytes = Number.POSITIVE_INFINITY
    agent.destroy()
    server.close()
  }
})
