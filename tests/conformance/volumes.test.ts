import { createHash, randomBytes } from 'node:crypto'
import { afterAll, describe, expect, test } from 'vitest'
import {
  apiUrl,
  callApi,
  describeClients,
  eachNewClient,
  ownSandboxes,
  rejection,
  runId,
} from './official.ts'

const MiB = 2 ** 20

let count = 0
const newName = (): string => `${runId}-${++count}`

afterAll(async () => {
  const listed = await (await callApi('/volumes')).json()
  for (const { volumeID, name } of listed as Array<{ volumeID: string; name: string }>)
    if (name.startsWith(runId)) await callApi(`/volumes/${volumeID}`, { method: 'DELETE' })
})

describeClients(
  'volumes',
  (client) => {
    const { Volume, VolumeError, VolumeNotFoundError, VolumePathNotFoundError } = client.e2b

    test('are created, described, listed, connected to and destroyed', async () => {
      const name = newName()
      const volume = await Volume.create(name)
      expect(volume.name).toBe(name)
      expect(await Volume.getInfo(volume.volumeId)).toMatchObject({ volumeId: volume.volumeId, name })
      expect((await Volume.list()).map(({ volumeId }) => volumeId)).toContain(volume.volumeId)
      expect((await Volume.connect(volume.volumeId)).name).toBe(name)
      expect(await rejection(Volume.create(name))).toBeInstanceOf(VolumeError)
      expect((await rejection(Volume.create(name))).message).toContain(
        `Volume with name '${name}' already exists`,
      )
      expect((await rejection(Volume.create('a/b'))).message).toContain('Invalid volume name')
      expect(await Volume.destroy(volume.volumeId)).toBe(true)
      expect(await Volume.destroy(volume.volumeId)).toBe(false)
      expect(await rejection(Volume.connect(volume.volumeId))).toBeInstanceOf(VolumeNotFoundError)
    })

    test('have files, directories and metadata', async () => {
      const volume = await Volume.create(newName())
      const written = await volume.writeFile('/notes.txt', 'häl\n')
      expect(written).toMatchObject({
        name: 'notes.txt',
        type: 'file',
        path: '/notes.txt',
        size: 5,
        mode: 0o644,
      })
      expect(written.mtime).toBeInstanceOf(Date)
      expect(await volume.readFile('/notes.txt')).toBe('häl\n')
      expect(await volume.readFile('/notes.txt', { format: 'bytes' })).toEqual(
        new TextEncoder().encode('häl\n'),
      )
      expect(await rejection(volume.writeFile('/notes.txt', 'x'))).toBeInstanceOf(VolumeError)
      await volume.writeFile('/notes.txt', '', { force: true })
      expect(await volume.readFile('/notes.txt')).toBe('')
      expect(await rejection(volume.writeFile('/none/x', 'x'))).toBeInstanceOf(VolumePathNotFoundError)
      await volume.makeDir('/a/b c/d', { force: true, mode: 0o700 })
      await volume.writeFile('/a/b c/+&#?.txt', 'odd')
      expect((await volume.list('/a/b c')).map(({ name }) => name).sort()).toEqual(['+&#?.txt', 'd'])
      expect((await volume.list('/', { depth: 3 })).length).toBe(5)
      expect(await volume.updateMetadata('/a', { uid: 1000, gid: 1000, mode: 0o750 })).toMatchObject({
        uid: 1000,
        gid: 1000,
        mode: 0o750,
      })
      expect(await volume.exists('/a')).toBe(true)
      await volume.remove('/a')
      expect(await volume.exists('/a')).toBe(false)
      expect(await rejection(volume.remove('/a'))).toBeInstanceOf(VolumePathNotFoundError)
      expect(await rejection(volume.list('/a'))).toBeInstanceOf(VolumePathNotFoundError)
    })

    test('take and give streams', async () => {
      const volume = await Volume.create(newName())
      const sent = createHash('sha256')
      let left = 40
      const source = new ReadableStream<Uint8Array>({
        pull(controller) {
          if (left-- === 0) return controller.close()
          const chunk = randomBytes(MiB)
          sent.update(chunk)
          controller.enqueue(chunk)
        },
      })
      expect((await volume.writeFile('/large', source)).size).toBe(40 * MiB)
      const received = createHash('sha256')
      const stream = await volume.readFile('/large', { format: 'stream' })
      for await (const chunk of stream as unknown as AsyncIterable<Uint8Array>) received.update(chunk)
      expect(received.digest('hex')).toBe(sent.digest('hex'))
    })

    const newSandbox = ownSandboxes(client)

    test('are shared between sandboxes and the API at once', async () => {
      const volume = await Volume.create(newName())
      await volume.writeFile('/from-api', 'api')
      const [one, two] = await Promise.all([
        newSandbox({ volumeMounts: { '/mnt/data': volume } }),
        newSandbox({ volumeMounts: { '/mnt/data': volume.name } }),
      ])
      expect(await one!.files.read('/mnt/data/from-api')).toBe('api')
      await one!.files.write('/mnt/data/from-one', 'one')
      expect(await two!.files.read('/mnt/data/from-one')).toBe('one')
      expect(await volume.readFile('/from-one')).toBe('one')
      expect(await volume.getInfo('/from-one')).toMatchObject({ uid: 1000, gid: 1000 })
      expect((await one!.getInfo()).volumeMounts).toEqual([{ name: volume.name, path: '/mnt/data' }])
      expect(await rejection(Volume.destroy(volume.volumeId))).toMatchObject({
        message: expect.stringContaining(one!.sandboxId),
      })
    })

    test('that do not exist are named by the create', async () => {
      const error = await rejection(newSandbox({ volumeMounts: { '/mnt/data': 'none', relative: 'none' } }))
      expect(error.message).toContain("invalid mounts:\n\t- volume mount #0: volume 'none' not found")
    })
  },
  eachNewClient,
)

describe('the content API', () => {
  interface Made {
    volumeID: string
    token: string
  }
  const make = async (): Promise<Made> => {
    const headers = { 'content-type': 'application/json' }
    const init = { method: 'POST', body: JSON.stringify({ name: newName() }), headers }
    return (await (await callApi('/volumes', init)).json()) as Made
  }
  const request = ({ volumeID, token }: Made, route: string, init: RequestInit = {}) =>
    fetch(`${apiUrl}/volumecontent/${volumeID}/${route}`, {
      ...init,
      headers: { authorization: `Bearer ${token}`, ...init.headers },
    })
  const put = (volume: Made, path: string, body: BodyInit) =>
    request(volume, `file?path=${path}&force=true`, {
      method: 'PUT',
      body,
      headers: { 'content-type': 'application/octet-stream' },
    })

  test('sends ranges of files', async () => {
    const volume = await make()
    expect((await put(volume, '/f', '0123456789')).status).toBe(201)
    const whole = await request(volume, 'file?path=/f')
    expect([whole.status, whole.headers.get('content-length'), await whole.text()]).toEqual([
      200,
      '10',
      '0123456789',
    ])
    const part = await request(volume, 'file?path=/f', {
      headers: { range: 'bytes=2-4', 'if-range': whole.headers.get('etag')! },
    })
    expect([part.status, part.headers.get('content-range'), await part.text()]).toEqual([
      206,
      'bytes 2-4/10',
      '234',
    ])
    await put(volume, '/f', 'abcdefghij')
    const changed = await request(volume, 'file?path=/f', {
      headers: { range: 'bytes=2-4', 'if-range': whole.headers.get('etag')! },
    })
    expect([changed.status, await changed.text()]).toEqual([200, 'abcdefghij'])
    expect((await request(volume, 'file?path=/f', { headers: { range: 'bytes=10-' } })).status).toBe(416)
  })

  test('answers errors with a word as their code', async () => {
    const volume = await make()
    const other = await make()
    const of = async (response: Response) => [
      response.status,
      ((await response.json()) as { code: string }).code,
    ]
    expect(await of(await request(volume, 'path?path=/none'))).toEqual([404, 'not_found'])
    expect(await of(await request(volume, 'path?path=/../x'))).toEqual([400, 'invalid_request'])
    expect(await of(await request(volume, 'path'))).toEqual([400, 'invalid_request'])
    expect(await of(await request({ ...volume, token: other.token }, 'path?path=/'))).toEqual([
      403,
      'forbidden',
    ])
    expect(await of(await request({ ...volume, token: 'x' }, 'path?path=/'))).toEqual([401, 'unauthorized'])
    await request(volume, 'dir?path=/d', { method: 'POST' })
    expect(await of(await request(volume, 'dir?path=/d', { method: 'POST' }))).toEqual([409, 'conflict'])
    expect(await of(await put(volume, '/d', 'x'))).toEqual([409, 'conflict'])
    expect(await of(await request(volume, 'file?path=/d'))).toEqual([400, 'invalid_request'])
  })

  test('keeps names that are not UTF-8', async () => {
    const volume = await make()
    expect((await put(volume, '/raw%FF%0A', 'x')).status).toBe(201)
    const [entry] = (await (await request(volume, 'dir?path=/')).json()) as Array<{ pathBytes: string }>
    expect(Buffer.from(entry!.pathBytes, 'base64')).toEqual(Buffer.from([0x2f, 0x72, 0x61, 0x77, 0xff, 0x0a]))
    expect(await (await request(volume, 'file?path=/raw%FF%0A')).text()).toBe('x')
    expect((await request(volume, 'path?path=/raw%FF%0A', { method: 'DELETE' })).status).toBe(204)
  })

  test('an upload that breaks off leaves nothing', async () => {
    const volume = await make()
    const end = new AbortController()
    let left = 4
    // four chunks, and then nothing more, without an end
    const endless = new ReadableStream<Uint8Array>({
      pull(controller) {
        if (left-- > 0) controller.enqueue(randomBytes(MiB))
        else setTimeout(() => end.abort(), 200)
      },
    })
    const sending = request(volume, 'file?path=/half', {
      method: 'PUT',
      body: endless,
      signal: end.signal,
      duplex: 'half',
      headers: { 'content-type': 'application/octet-stream' },
    } as RequestInit)
    await rejection(sending)
    const half = await request(volume, 'path?path=/half')
    expect([half.status, await half.text()]).toEqual([404, expect.any(String)])
    expect(await (await request(volume, 'dir?path=/')).json()).toEqual([])
  })
})
