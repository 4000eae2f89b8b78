import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Answer, type RecordingApi, startRecordingApi } from './recording-api.ts'
import { expectSameWire, type Sdk } from './same-wire.ts'

let api: RecordingApi
let answer: Answer

beforeAll(async () => {
  api = await startRecordingApi(() => answer)
})
afterAll(() => api.close())

const open = ({ Sandbox }: Sdk, envdVersion = '0.6.13') =>
  new Sandbox({
    sandboxId: 'iabc',
    envdVersion,
    envdAccessToken: 'token',
    apiKey: 'e2b_0123',
    apiUrl: api.url,
    sandboxUrl: api.url,
  })

const base64 = (bytes: string | number[]) => Buffer.from(bytes as string).toString('base64')
const started = { event: { start: { pid: 7 } } }
const ended = (exitCode = 0) => ({
  event: {
    end: {
      exitCode,
      exited: true,
      status: `exit status ${exitCode}`,
      ...(exitCode !== 0 && { error: `exit status ${exitCode}` }),
    },
  },
})
const stream = (...messages: unknown[]): Answer => ({ status: 200, frames: messages })

describe('commands read answers alike', () => {
  test('run, with every option and without options', async () => {
    answer = stream(started, { event: { data: { stdout: base64('out') } } }, ended())
    await expectSameWire(api, (sdk) => open(sdk).commands.run('echo'))
    await expectSameWire(api, (sdk) =>
      open(sdk).commands.run('echo', {
        user: 'root',
        envs: { A: 'b' },
        cwd: '/tmp',
        stdin: true,
        timeoutMs: 1_500,
      }),
    )
    await expectSameWire(api, (sdk) => open(sdk).commands.run('echo', { timeoutMs: 0 }))
    await expectSameWire(api, (sdk) => open(sdk, '0.3.9').commands.run('echo'))
  })

  test('output in pieces that end within a character, and an exit code', async () => {
    answer = stream(
      started,
      { event: { keepalive: {} } },
      { event: { data: { stdout: base64([0xc3]) } } },
      { event: { data: { stdout: base64([0xbc]) } } },
      { event: { data: { stderr: base64([0xc3]) } } },
      ended(3),
    )
    await expectSameWire(api, async (sdk) => {
      const pieces: string[] = []
      const error = await open(sdk)
        .commands.run('x', {
          onStdout: (text) => void pieces.push(`out ${text}`),
          onStderr: (text) => void pieces.push(`err ${text}`),
        })
        .catch((thrown) => thrown)
      const { name, message, exitCode, stdout, stderr } = error
      return { pieces, name, message, exitCode, stdout, stderr, error: error.error }
    })
  })

  test('a handle', async () => {
    answer = stream(started, { event: { data: { stdout: base64('x') } } }, ended(1))
    await expectSameWire(api, async (sdk) => {
      const handle = await open(sdk).commands.run('x', { background: true })
      const failure = await handle.wait().catch(({ name }) => name)
      return [handle.pid, failure, handle.exitCode, handle.error, handle.stdout, handle.stderr]
    })
    await expectSameWire(api, async (sdk) => {
      const handle = await open(sdk).commands.connect(9, { timeoutMs: 500 })
      return [handle.pid, await handle.wait().catch(({ name }) => name)]
    })
  })

  test('list, stdin, kill', async () => {
    const config = { cmd: 'c', args: ['a'], envs: { A: 'b' }, cwd: '/' }
    answer = {
      status: 200,
      json: {
        processes: [
          { pid: 3, tag: 't', config },
          { pid: 4, config: { cmd: 'd' } },
        ],
      },
    }
    await expectSameWire(api, (sdk) => open(sdk).commands.list())
    answer = { status: 200, json: {} }
    await expectSameWire(api, (sdk) => open(sdk).commands.sendStdin(3, 'grün'))
    await expectSameWire(api, (sdk) => open(sdk).commands.sendStdin(3, new Uint8Array([0, 255])))
    await expectSameWire(api, (sdk) => open(sdk).commands.closeStdin(3))
    await expectSameWire(api, (sdk) => open(sdk, '0.5.1').commands.closeStdin(3))
    await expectSameWire(api, (sdk) => open(sdk).commands.kill(3))
  })

  test('a terminal', async () => {
    answer = stream(started, { event: { data: { pty: base64('p') } } }, ended())
    await expectSameWire(api, async (sdk) => {
      const shown: number[] = []
      const handle = await open(sdk).pty.create({
        cols: 3,
        rows: 4,
        onData: (bytes) => void shown.push(...bytes),
        user: 'u',
        cwd: '/c',
        envs: { TERM: 'dumb', A: 'b' },
        timeoutMs: 0,
      })
      return [handle.pid, await handle.wait(), shown]
    })
    await expectSameWire(api, async (sdk) => (await open(sdk).pty.connect(9, { onData: () => {} })).wait())
    answer = { status: 200, json: {} }
    await expectSameWire(api, (sdk) => open(sdk).pty.sendInput(7, new Uint8Array([1])))
    await expectSameWire(api, (sdk) => open(sdk).pty.resize(7, { cols: 1, rows: 2 }))
    await expectSameWire(api, (sdk) => open(sdk).pty.kill(7))
  })
})

const entry = {
  name: 'a',
  type: 'FILE_TYPE_FILE',
  path: '/a',
  size: '5',
  mode: 420,
  permissions: '-rw-r--r--',
  owner: 'user',
  group: 'user',
  modifiedTime: '2026-01-01T00:00:00.5Z',
}

describe('files read answers alike', () => {
  test('getInfo, exists, list, rename, makeDir, remove', async () => {
    const link = { ...entry, type: 'FILE_TYPE_DIRECTORY', symlinkTarget: '/x', metadata: { k: 'v' } }
    for (const known of [entry, link, { name: 'z', path: '/z' }]) {
      answer = { status: 200, json: { entry: known, entries: [known] } }
      await expectSameWire(api, (sdk) => open(sdk).files.getInfo('a', { user: 'root' }))
      await expectSameWire(api, (sdk) => open(sdk).files.rename('a', 'b'))
      await expectSameWire(api, (sdk) => open(sdk).files.list('a', { depth: 3 }))
    }
    answer = { status: 200, json: {} }
    await expectSameWire(api, (sdk) => open(sdk).files.exists('a'))
    await expectSameWire(api, (sdk) => open(sdk).files.makeDir('a'))
    await expectSameWire(api, (sdk) => open(sdk).files.remove('a'))
    await expectSameWire(api, (sdk) => open(sdk).files.getInfo('a'))
    await expectSameWire(api, (sdk) => open(sdk).files.list('a', { depth: 0 }))
  })

  test.each(['text', 'bytes', 'blob', 'stream'] as const)('read as %s', async (format) => {
    for (const text of ['hällo', '']) {
      answer = { status: 200, text }
      await expectSameWire(api, async (sdk) => {
        const read = await open(sdk).files.read('a b/ü', { format: format as 'text', user: 'root' })
        return [read.constructor.name, await new Response(read).text()]
      })
    }
  })

  test('write as plain bodies', async () => {
    answer = { status: 200, json: [{ path: '/a', name: 'a', type: 'file' }] }
    const settings = { useOctetStream: true, user: 'root', metadata: { A: '1' } }
    await expectSameWire(api, (sdk) => open(sdk).files.write('a b', 'hällo', settings))
    await expectSameWire(api, (sdk) => open(sdk).files.write('a', new Blob(['x']).stream()))
    await expectSameWire(api, (sdk) =>
      open(sdk).files.write(
        [
          { path: 'a', data: new Uint8Array([1, 2]).buffer },
          { path: 'b', data: new Blob(['2']) },
        ],
        settings,
      ),
    )
    await expectSameWire(api, (sdk) => open(sdk).files.write([]))
  })

  test.each([
    ['a b', '1'],
    ['a', 'ü'],
    ['', '1'],
    ['ü', '1'],
  ])('metadata %j: %j is refused', async (key, value) => {
    const requests = await expectSameWire(api, (sdk) =>
      open(sdk).files.write('a', 'x', { metadata: { [key]: value } }),
    )
    expect(requests).toEqual([])
  })

  test('calls that an old envd does not support', async () => {
    await expectSameWire(api, (sdk) => open(sdk, '0.6.1').files.write('a', 'x', { metadata: { a: '1' } }))
    await expectSameWire(api, (sdk) => open(sdk, '0.1.3').files.watchDir('a', () => {}, { recursive: true }))
    await expectSameWire(api, (sdk) =>
      open(sdk, '0.6.2').files.watchDir('a', () => {}, { includeEntry: true }),
    )
    await expectSameWire(api, (sdk) =>
      open(sdk, '0.6.3').files.watchDir('a', () => {}, { allowNetworkMounts: true }),
    )
  })

  test('watchDir', async () => {
    answer = stream(
      { start: {} },
      { filesystem: { name: 'f', type: 'EVENT_TYPE_WRITE', entry } },
      { keepalive: {} },
      { filesystem: { name: 'g', type: 'EVENT_TYPE_REMOVE' } },
      { filesystem: { name: 'unknown' } },
    )
    await expectSameWire(api, async (sdk) => {
      const seen: unknown[] = []
      const { promise, resolve } = Promise.withResolvers<unknown>()
      await open(sdk).files.watchDir('d', (event) => void seen.push(event), {
        recursive: true,
        includeEntry: true,
        allowNetworkMounts: true,
        onExit: (error) => resolve(error?.message ?? 'clean'),
      })
      return [await promise, seen]
    })
  })
})

describe('URLs are the same', () => {
  const known = ({ Sandbox }: Sdk, domain: string) =>
    new Sandbox({
      sandboxId: 'iabc',
      sandboxDomain: domain,
      envdVersion: '0.6.13',
      envdAccessToken: '0tQG31xiMp0IOQfaz9dcwi72L1CPo8e0',
      apiKey: 'e2b_0123',
      domain: 'other.example',
    })

  test.each(['e2b.app', 'sandlot.localhost:3000'])('of files and ports on %s', async (domain) => {
    await expectSameWire(api, async (sdk) => {
      const sandbox = known(sdk, domain)
      return [
        await sandbox.downloadUrl('hello.txt', { user: 'user' }),
        await sandbox.downloadUrl('grün &x.txt'),
        await sandbox.uploadUrl(),
        sandbox.getHost(80),
        sandbox.getMcpUrl(),
        sandbox.sandboxDomain,
      ]
    })
  })

  test('a signed URL is that of the test vector', async () => {
    const requests = await expectSameWire(api, ({ getSignature }) =>
      getSignature({
        path: 'hello.txt',
        operation: 'read',
        user: 'user',
        envdAccessToken: '0tQG31xiMp0IOQfaz9dcwi72L1CPo8e0',
      }).then(({ signature }) => signature === 'v1_gUtH/s9YCJWgCizjfUxuWfhFE4QSydOWEIIvfLwDr6E'),
    )
    expect(requests).toEqual([])
  })
})
