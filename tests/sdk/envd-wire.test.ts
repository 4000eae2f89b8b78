import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { type RecordingApi, startRecordingApi } from './recording-api.ts'
import { expectSameWire, runBoth, type Sdk } from './same-wire.ts'
import { sandboxApi } from './sandbox-api.ts'

let api: RecordingApi

beforeAll(async () => {
  api = await startRecordingApi(sandboxApi)
})

afterEach(() => {
  api.respond = sandboxApi
})

afterAll(() => api.close())

type Sandbox = InstanceType<Sdk['Sandbox']>

const opened = ({ Sandbox }: Sdk, envdVersion = '0.6.13') =>
  new Sandbox({
    sandboxId: 'isandbox',
    envdVersion,
    envdAccessToken: 'envd-token',
    sandboxUrl: api.url,
    apiUrl: api.url,
    apiKey: 'e2b_0123',
  })

const programs: Record<string, (sandbox: Sandbox) => Promise<unknown>> = {
  'files.read': (s) => s.files.read('a b'),
  'files.read(bytes)': async (s) =>
    Buffer.from(await s.files.read('f', { format: 'bytes', user: 'root' })).toString(),
  'files.read(blob)': async (s) => (await s.files.read('f', { format: 'blob', gzip: true })).text(),
  'files.read(stream)': async (s) => new Response(await s.files.read('f', { format: 'stream' })).text(),
  'files.write(text)': (s) => s.files.write('f', 'häl'),
  'files.write(empty)': (s) => s.files.write('f', ''),
  'files.write(bytes)': (s) => s.files.write('f', new TextEncoder().encode('abc').buffer),
  'files.write(blob)': (s) => s.files.write('f', new Blob(['abc'])),
  'files.write(stream)': (s) => s.files.write('f', new Blob(['abc']).stream()),
  'files.write(options)': (s) => s.files.write('f', 'x', { user: 'root', gzip: true, metadata: { K: 'v' } }),
  'files.write(form)': (s) => s.files.write('d/f', 'x', { useOctetStream: false }),
  'files.write(several)': (s) =>
    s.files.write([
      { path: 'a', data: 'x' },
      { path: 'd/b', data: 'y' },
    ]),
  'files.writeFiles(octet stream)': (s) =>
    s.files.writeFiles(
      [
        { path: 'a', data: 'x' },
        { path: 'b', data: 'y' },
      ],
      { useOctetStream: true },
    ),
  'files.write(none)': (s) => s.files.write([]),
  'files.list': (s) => s.files.list('/d'),
  'files.list(depth)': (s) => s.files.list('/d', { depth: 3, user: 'root' }),
  'files.list(no depth)': (s) => s.files.list('/d', { depth: 0 }),
  'files.makeDir': (s) => s.files.makeDir('/d'),
  'files.rename': (s) => s.files.rename('/a', '/b'),
  'files.remove': (s) => s.files.remove('/a'),
  'files.exists': (s) => s.files.exists('/a'),
  'files.getInfo': (s) => s.files.getInfo('/a'),
  'files.watchDir': async (s) => void (await s.files.watchDir('/d', () => {})),
  'files.watchDir(options)': async (s) =>
    void (await s.files.watchDir('/d', () => {}, {
      recursive: true,
      includeEntry: true,
      allowNetworkMounts: true,
      timeoutMs: 0,
      user: 'root',
    })),
  'commands.run': (s) => s.commands.run('echo x'),
  'commands.run(options)': async (s) => {
    const pieces: string[] = []
    const onStdout = (data: string) => void pieces.push(data)
    const options = {
      cwd: '/c',
      user: 'root',
      envs: { A: 'b' },
      timeoutMs: 0,
      stdin: true,
      onStdout,
      onStderr: onStdout,
    }
    return [await s.commands.run('x', options), pieces]
  },
  'commands.run(in background)': async (s) => {
    const handle = await s.commands.run('x', { background: true, timeoutMs: 5_000 })
    return [handle.pid, await handle.wait(), handle.exitCode, handle.stdout, handle.stderr]
  },
  'commands.connect': async (s) => (await s.commands.connect(12, { timeoutMs: 1_000 })).wait(),
  'commands.list': (s) => s.commands.list(),
  'commands.kill': (s) => s.commands.kill(12),
  'commands.sendStdin': (s) => s.commands.sendStdin(12, 'ä'),
  'commands.closeStdin': (s) => s.commands.closeStdin(12),
  'pty.create': async (s) => {
    const handle = await s.pty.create({
      cols: 80,
      rows: 24,
      onData: () => {},
      cwd: '/c',
      envs: { A: 'b' },
      user: 'root',
    })
    return handle.pid
  },
  'pty.connect': async (s) => (await s.pty.connect(12, { onData: () => {} })).pid,
  'pty.sendInput': (s) => s.pty.sendInput(12, new TextEncoder().encode('x')),
  'pty.resize': (s) => s.pty.resize(12, { cols: 1, rows: 2 }),
  'pty.kill': (s) => s.pty.kill(12),
}

/** Calls that send a single file as the body of the request, where the official SDK wraps the file in a form. */
const asBody = ['files.write(text)', 'files.write(empty)', 'files.write(bytes)', 'files.write(blob)']

describe.each(['0.6.13', '0.5.0', '0.3.0'])('envd %s gets the same requests', (envdVersion) => {
  const takesBodies = envdVersion === '0.6.13'
  const names = Object.keys(programs).filter((name) => !takesBodies || !asBody.includes(name))
  test.each(names)('%s', async (name) => {
    await expectSameWire(api, (sdk) => programs[name]!(opened(sdk, envdVersion)))
  })
})

test.each(asBody)('%s needs no form', async (name) => {
  const { official, ours } = await runBoth(api, (sdk) => programs[name]!(opened(sdk)))
  expect(ours.outcome).toEqual(official.outcome)
  expect(official.requests[0]!.headers['content-type']).toMatch('multipart/form-data')
  expect(ours.requests[0]!.headers['content-type']).toBe('application/octet-stream')
  expect(official.requests[0]!.body).toContain(ours.requests[0]!.body ?? '')
})

describe('a refusal is the same error', () => {
  test.each([400, 401, 404, 409, 429, 500, 502, 507])('of files: %i', async (status) => {
    api.respond = () => ({ status, json: { code: status, message: 'because' } })
    for (const name of ['files.read', 'files.read(stream)', 'files.write(stream)', 'files.write(form)'])
      await expectSameWire(api, (sdk) => programs[name]!(opened(sdk)))
  })

  test.each([
    ['invalid_argument', 400],
    ['unauthenticated', 401],
    ['not_found', 404],
    ['already_exists', 409],
    ['resource_exhausted', 429],
    ['unavailable', 503],
    ['canceled', 499],
    ['deadline_exceeded', 504],
    ['internal', 500],
    ['unknown', 500],
  ])('of calls: %s', async (code, status) => {
    api.respond = ({ target }) =>
      target === '/health' ? { status: 204 } : { status, json: { code, message: 'because' } }
    const unary = Object.keys(programs).filter((name) => !/run|watch|connect|create|read|write/.test(name))
    for (const name of unary) await expectSameWire(api, (sdk) => programs[name]!(opened(sdk)))
    expect(unary.length).toBeGreaterThan(10)
  })
})
