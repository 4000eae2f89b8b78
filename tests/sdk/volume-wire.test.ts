import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest'
import { type Answer, type RecordingApi, startRecordingApi } from './recording-api.ts'
import { expectSameWire, type Sdk } from './same-wire.ts'

const INFO = { volumeID: 'vid', name: 'vol', token: 'tok' }
const TIMES = { atime: '2026-01-01T00:00:00Z', mtime: '2026-01-02T00:00:00Z', ctime: '2026-01-03T00:00:00Z' }
const STAT = {
  name: 'f',
  type: 'file',
  path: '/f',
  size: 3,
  mode: 420,
  uid: 1,
  gid: 2,
  target: 't',
  ...TIMES,
}

let api: RecordingApi
let answer: Answer

beforeAll(async () => {
  api = await startRecordingApi(() => answer)
  vi.stubEnv('E2B_API_URL', api.url)
  vi.stubEnv('E2B_API_KEY', 'e2b_0123')
  vi.stubEnv('E2B_VOLUME_API_URL', `${api.url}/content`)
})

beforeEach(() => {
  answer = { status: 200, json: STAT }
})

afterAll(async () => {
  vi.unstubAllEnvs()
  await api.close()
})

const volume = ({ Volume }: Sdk) => new Volume('v/id', 'vol', 'tok')

describe('volumes send the same requests', () => {
  test('create, connect, getInfo', async () => {
    for (const json of [INFO, { ...INFO, domain: 'byoc.dev' }]) {
      answer = { status: 201, json }
      await expectSameWire(api, ({ Volume }) => Volume.create('vol'))
      answer = { status: 200, json }
      await expectSameWire(api, ({ Volume }) => Volume.connect('v/id', { domain: 'own.dev' }))
      await expectSameWire(api, ({ Volume }) => Volume.getInfo('v/id'))
    }
  })

  test('list', async () => {
    answer = { status: 200, json: [INFO] }
    await expectSameWire(api, ({ Volume }) => Volume.list())
  })

  test('destroy', async () => {
    answer = { status: 204 }
    await expectSameWire(api, ({ Volume }) => Volume.destroy('v/id'))
  })
})

describe('content of volumes sends the same requests', () => {
  const programs: Record<string, (sdk: Sdk) => Promise<unknown>> = {
    makeDir: (sdk) => volume(sdk).makeDir('/a b'),
    'makeDir with options': (sdk) => volume(sdk).makeDir('/d', { uid: 0, gid: 2, mode: 0o700, force: false }),
    getInfo: (sdk) => volume(sdk).getInfo('/f?&#'),
    exists: (sdk) => volume(sdk).exists('/f'),
    updateMetadata: (sdk) => volume(sdk).updateMetadata('/f', { uid: 0, mode: 0o644 }),
    'updateMetadata without fields': (sdk) => volume(sdk).updateMetadata('/f', {}),
    'writeFile of text': (sdk) => volume(sdk).writeFile('/f', 'häl', { mode: 0o600, force: true }),
    'writeFile of nothing': (sdk) => volume(sdk).writeFile('/f', ''),
    'writeFile of bytes': (sdk) => volume(sdk).writeFile('/f', new TextEncoder().encode('abc').buffer),
    'writeFile of a blob': (sdk) => volume(sdk).writeFile('/f', new Blob(['abc'], { type: 'text/plain' })),
    'writeFile of a stream': (sdk) => volume(sdk).writeFile('/f', new Blob(['abc']).stream()),
    'another token and headers': (sdk) =>
      volume(sdk).getInfo('/f', { token: 'other', headers: { 'x-own': 'a' } }),
    'another address': (sdk) => volume(sdk).getInfo('/f', { apiUrl: `${api.url}/other` }),
  }
  test.each(Object.keys(programs))('%s', async (name) => {
    const requests = await expectSameWire(api, programs[name]!)
    expect(requests).toHaveLength(1)
  })

  test('list', async () => {
    answer = { status: 200, json: [STAT, { ...STAT, type: 'directory', target: undefined }] }
    await expectSameWire(api, (sdk) => volume(sdk).list('/'))
    await expectSameWire(api, (sdk) => volume(sdk).list('/', { depth: 3 }))
  })

  test('remove', async () => {
    answer = { status: 204 }
    await expectSameWire(api, (sdk) => volume(sdk).remove('/f'))
  })

  test.each(['hello', ''])('readFile of %j in every format', async (text) => {
    answer = { status: 200, text }
    const read = (program: (sdk: Sdk) => Promise<string>) => expectSameWire(api, program)
    await read((sdk) => volume(sdk).readFile('/f'))
    await read(async (sdk) => Buffer.from(await volume(sdk).readFile('/f', { format: 'bytes' })).toString())
    await read(async (sdk) => (await volume(sdk).readFile('/f', { format: 'blob' })).text())
    await read(async (sdk) => new Response(await volume(sdk).readFile('/f', { format: 'stream' })).text())
  })
})

describe('a refusal is the same error', () => {
  test.each([400, 401, 403, 404, 409, 429, 500, 502, 503, 507])('%i', async (status) => {
    answer = { status, json: { code: status, message: 'because' } }
    const programs: ((sdk: Sdk) => unknown)[] = [
      ({ Volume }) => Volume.create('vol'),
      ({ Volume }) => Volume.connect('vid'),
      ({ Volume }) => Volume.list(),
      ({ Volume }) => Volume.destroy('vid'),
      (sdk) => volume(sdk).list('/'),
      (sdk) => volume(sdk).makeDir('/d'),
      (sdk) => volume(sdk).exists('/d'),
      (sdk) => volume(sdk).readFile('/f'),
      (sdk) => volume(sdk).readFile('/f', { format: 'stream' }),
      (sdk) => volume(sdk).writeFile('/f', 'x'),
      (sdk) => volume(sdk).remove('/f'),
    ]
    // Creating a volume never answers 404; the SDKs word that case differently.
    for (const program of status === 404 ? programs.slice(1) : programs) await expectSameWire(api, program)
  })

  test('text instead of JSON', async () => {
    answer = { status: 500, text: 'plain' }
    await expectSameWire(api, (sdk) => volume(sdk).getInfo('/'))
  })
})
