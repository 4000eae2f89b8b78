import { expect, test } from 'vitest'
import { retryWhenBusy } from './retry.ts'

const busy = (retryAfter?: string, status = 429) =>
  new Response('{}', { status, headers: retryAfter === undefined ? {} : { 'retry-after': retryAfter } })
const settings = { requestTimeoutMs: 60_000, retries: 3 }

/** Returns a fetch that gives these answers in turn, and repeats the last one. */
function answering(...answers: (() => Response)[]) {
  const bodies: unknown[] = []
  const fetch = async (_url: unknown, init?: RequestInit) => {
    bodies.push(init?.body)
    return answers[Math.min(bodies.length, answers.length) - 1]!()
  }
  return { fetch: fetch as typeof globalThis.fetch, bodies }
}
const post = (signal?: AbortSignal) =>
  new Request('http://localhost/x', { method: 'POST', body: '{"a":1}', signal })

test.each([429, 503])(
  'a request answered with %i and Retry-After is sent again with its body',
  async (status) => {
    const { fetch, bodies } = answering(
      () => busy('0', status),
      () => busy('0', status),
      () => new Response('done'),
    )
    expect((await retryWhenBusy(fetch, settings)(post())).status).toBe(200)
    expect(bodies).toEqual(['{"a":1}', '{"a":1}', '{"a":1}'])
  },
)

test('a request is retried at most as often as the limit allows', async () => {
  const { fetch, bodies } = answering(() => busy('0'))
  expect((await retryWhenBusy(fetch, { ...settings, retries: 2 })(post())).status).toBe(429)
  expect(bodies).toHaveLength(3)
})

test.each([undefined, '', '-1', '1.5', '0x1', 'Wed, 21 Oct 2026 07:28:00 GMT'])(
  'an answer with Retry-After %j is not retried',
  async (retryAfter) => {
    const { fetch, bodies } = answering(() => busy(retryAfter))
    expect((await retryWhenBusy(fetch, settings)(post())).status).toBe(429)
    expect(bodies).toHaveLength(1)
  },
)

test('an answer is not retried when the wait exceeds the request timeout', async () => {
  const { fetch, bodies } = answering(() => busy('2'))
  const started = performance.now()
  expect((await retryWhenBusy(fetch, { ...settings, requestTimeoutMs: 1_500 })(post())).status).toBe(429)
  expect(performance.now() - started).toBeLessThan(1_000)
  expect(bodies).toHaveLength(1)
  await retryWhenBusy(fetch, { ...settings, requestTimeoutMs: 0, retries: 0 })(post())
})

test('without a request timeout, all waits together last at most a minute', async () => {
  const { fetch, bodies } = answering(() => busy('61'))
  expect((await retryWhenBusy(fetch, { ...settings, requestTimeoutMs: 0 })(post())).status).toBe(429)
  expect(bodies).toHaveLength(1)
})

test('a signal ends the wait with the reason of the signal', async () => {
  const { fetch, bodies } = answering(() => busy('30'))
  const controller = new AbortController()
  const sending = retryWhenBusy(fetch, settings)(post(controller.signal))
  setTimeout(() => controller.abort(new Error('enough')), 20)
  await expect(sending).rejects.toThrow('enough')
  expect(bodies).toHaveLength(1)
})

test('an answer with another status is not retried, even with Retry-After', async () => {
  const { fetch, bodies } = answering(() => busy('0', 500))
  expect((await retryWhenBusy(fetch, settings)(post())).status).toBe(500)
  expect(bodies).toHaveLength(1)
})
