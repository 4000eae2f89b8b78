import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Answer, type RecordingApi, startRecordingApi } from './recording-api.ts'
import { expectSameWire, type Program, type Sdk } from './same-wire.ts'

let api: RecordingApi
let answer: Answer

beforeAll(async () => {
  api = await startRecordingApi(() => answer)
})
afterAll(() => api.close())

const open = ({ Sandbox }: Sdk) =>
  new Sandbox({ sandboxId: 'iabc', envdVersion: '0.6.13', apiKey: 'e2b_0', sandboxUrl: api.url })

const streams: Record<string, Program> = {
  run: (sdk) => open(sdk).commands.run('x'),
  connect: (sdk) => open(sdk).commands.connect(1),
  watchDir: (sdk) => open(sdk).files.watchDir('x', () => {}),
}
const calls: Record<string, Program> = {
  list: (sdk) => open(sdk).commands.list(),
  kill: (sdk) => open(sdk).commands.kill(1),
  sendStdin: (sdk) => open(sdk).commands.sendStdin(1, 'x'),
  'pty.kill': (sdk) => open(sdk).pty.kill(1),
  getInfo: (sdk) => open(sdk).files.getInfo('x'),
  exists: (sdk) => open(sdk).files.exists('x'),
  makeDir: (sdk) => open(sdk).files.makeDir('x'),
  rename: (sdk) => open(sdk).files.rename('x', 'y'),
}
const rest: Record<string, Program> = {
  read: (sdk) => open(sdk).files.read('x'),
  write: (sdk) => open(sdk).files.write('x', 'y', { useOctetStream: true }),
  isRunning: (sdk) => open(sdk).isRunning(),
}

/** Connect's codes with the HTTP status of each in an answered call (wire spec 4.4). */
const codes: [string, number][] = [
  ['canceled', 499],
  ['unknown', 500],
  ['invalid_argument', 400],
  ['deadline_exceeded', 504],
  ['not_found', 404],
  ['already_exists', 409],
  ['permission_denied', 403],
  ['resource_exhausted', 429],
  ['failed_precondition', 400],
  ['aborted', 409],
  ['out_of_range', 400],
  ['unimplemented', 501],
  ['internal', 500],
  ['unavailable', 503],
  ['data_loss', 500],
  ['unauthenticated', 401],
]

describe.each(codes)('%s is the same error', (code, status) => {
  test.each(Object.entries(calls))('of %s', async (_name, program) => {
    answer = { status, json: { code, message: 'because' } }
    expect(await expectSameWire(api, program)).not.toEqual([])
  })

  test.each(Object.entries(streams))('as the first event of %s', async (_name, program) => {
    answer = { status: 200, frames: [], end: { error: { code, message: 'because' } } }
    expect(await expectSameWire(api, program)).not.toEqual([])
  })

  test('after the start of a command', async () => {
    answer = {
      status: 200,
      frames: [{ event: { start: { pid: 7 } } }],
      end: { error: { code, message: 'x' } },
    }
    expect(await expectSameWire(api, streams.run!)).not.toEqual([])
  })
})

describe.each([400, 401, 403, 404, 409, 413, 429, 500, 502, 503, 504, 507])(
  'HTTP %i is the same',
  (status) => {
    test.each(Object.entries({ ...calls, ...streams, ...rest }))('of %s', async (_name, program) => {
      answer = { status, json: { code: status, message: 'because' } }
      expect(await expectSameWire(api, program)).not.toEqual([])
      answer = { status, text: 'plain words' }
      expect(await expectSameWire(api, program)).not.toEqual([])
    })
  },
)

describe('a stream that breaks the rules', () => {
  test('has no start', async () => {
    answer = { status: 200, frames: [{ event: { data: {} } }] }
    await expectSameWire(api, streams.run!)
    answer = { status: 200, frames: [{ filesystem: { name: 'f' } }] }
    await expectSameWire(api, streams.watchDir!)
  })

  test('has no end', async () => {
    answer = { status: 200, frames: [{ event: { start: { pid: 7 } } }] }
    await expectSameWire(api, streams.run!)
  })
})
