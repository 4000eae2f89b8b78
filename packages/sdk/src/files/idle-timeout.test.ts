import { expect, test, vi } from 'vitest'
import { withIdleTimeout } from './idle-timeout.ts'

const chunk = (text: string) => new TextEncoder().encode(text)

test('the chunks pass', async () => {
  const body = new Blob(['hello']).stream()
  expect(await new Response(withIdleTimeout(body, 1000)).text()).toBe('hello')
})

test('a server that falls silent ends the stream and the request', async () => {
  const cancel = vi.fn()
  const body = new ReadableStream<Uint8Array>({
    start: (controller) => controller.enqueue(chunk('a')),
    cancel,
  })
  const reader = withIdleTimeout(body, 20).getReader()
  expect((await reader.read()).value).toEqual(chunk('a'))
  await expect(reader.read()).rejects.toMatchObject({ name: 'TimeoutError' })
  expect(cancel).toHaveBeenCalledOnce()
})

test('a reader that pauses neither times out nor lets the server go on', async () => {
  vi.useFakeTimers()
  const pull = vi.fn((controller: ReadableStreamDefaultController<Uint8Array>) =>
    controller.enqueue(chunk('a')),
  )
  const body = new ReadableStream<Uint8Array>({ pull }, { highWaterMark: 0 })
  const reader = withIdleTimeout(body, 20).getReader()
  await reader.read()
  await vi.advanceTimersByTimeAsync(10_000)
  expect(pull).toHaveBeenCalledOnce()
  expect((await reader.read()).value).toEqual(chunk('a'))
  vi.useRealTimers()
})

test('cancelling reaches the request', async () => {
  const cancel = vi.fn()
  const stream = withIdleTimeout(new ReadableStream<Uint8Array>({ cancel }), 1000)
  await stream.cancel('enough')
  expect(cancel).toHaveBeenCalledWith('enough')
})
