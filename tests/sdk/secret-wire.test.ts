import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { type Answer, type RecordingApi, startRecordingApi } from './recording-api.ts'
import { expectSameWire } from './same-wire.ts'

const SECRET = {
  secretID: 'sid',
  name: 'n',
  currentVersion: 2,
  metadata: { a: 'b' },
  createdAt: '2026-01-01T00:00:00Z',
  updatedAt: '2026-01-02T00:00:00Z',
}

let api: RecordingApi
let answer: Answer

beforeAll(async () => {
  api = await startRecordingApi(() => answer)
  vi.stubEnv('E2B_API_URL', api.url)
  vi.stubEnv('E2B_API_KEY', 'e2b_0123')
})

afterAll(async () => {
  vi.unstubAllEnvs()
  await api.close()
})

describe('secrets send the same requests', () => {
  test('create', async () => {
    answer = { status: 201, json: SECRET }
    await expectSameWire(api, ({ Secret }) => Secret.create('N', 'v'))
    await expectSameWire(api, ({ Secret }) => Secret.create('', '', { metadata: {} }))
  })

  test('update, getInfo, exists', async () => {
    answer = { status: 200, json: SECRET }
    await expectSameWire(api, ({ Secret }) => Secret.update('a/b', 'v'))
    await expectSameWire(api, ({ Secret }) => Secret.update('n', 'v', { metadata: { a: 'b' } }))
    await expectSameWire(api, ({ Secret }) => Secret.getInfo('n'))
    await expectSameWire(api, ({ Secret }) => Secret.exists('n'))
  })

  test('destroy', async () => {
    answer = { status: 204 }
    await expectSameWire(api, ({ Secret }) => Secret.destroy('n'))
  })

  test('list, page by page, each with its own options', async () => {
    answer = { status: 200, json: [SECRET], headers: { 'x-next-token': 'next' } }
    const requests = await expectSameWire(api, async ({ Secret }) => {
      const paginator = Secret.list({ limit: 3, nextToken: 'first' })
      const pages = [await paginator.nextItems(), await paginator.nextItems({ apiKey: 'e2b_ff' })]
      return [pages, paginator.hasNext, paginator.nextToken]
    })
    expect(requests.map(({ target }) => target)).toEqual([
      '/secrets?limit=3&nextToken=first',
      '/secrets?limit=3&nextToken=next',
    ])
    answer = { status: 200, json: [] }
    await expectSameWire(api, async ({ Secret }) => {
      const paginator = Secret.list()
      await paginator.nextItems()
      return paginator.nextItems()
    })
  })

  test('fill and iamToken send no request', async () => {
    const requests = await expectSameWire(api, ({ Secret }) => [
      Secret.fill('openai-api-key'),
      Secret.iamToken({ audience: 'a', tokenType: 'JWT-SVID' }),
    ])
    expect(requests).toEqual([])
  })
})

describe('a refusal is the same error', () => {
  test.each([400, 401, 403, 404, 409, 429, 500, 503])('%i', async (status) => {
    answer = { status, json: { code: status, message: 'because' } }
    await expectSameWire(api, ({ Secret }) => Secret.create('n', 'v'))
    await expectSameWire(api, ({ Secret }) => Secret.update('n', 'v'))
    await expectSameWire(api, ({ Secret }) => Secret.getInfo('n'))
    await expectSameWire(api, ({ Secret }) => Secret.exists('n'))
    await expectSameWire(api, ({ Secret }) => Secret.destroy('n'))
    await expectSameWire(api, ({ Secret }) => Secret.list().nextItems())
  })
})
