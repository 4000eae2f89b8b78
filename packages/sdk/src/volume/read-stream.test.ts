import { expect, test, vi } from 'vitest'
import { streamWithIdleTimeout } from './read-stream.ts'

const chunk = (text: string) => new TextEncoder().encode(text)

test('the chunks pass, and the end releases once', async () => {
  const release = vi.fn()
  const body = new Blob(['hello']).stream()
  expect(await new Response(streamWithIdleTimeout(body, 1000, release)).text()).toBe('hello')
  expect(release).toHaveBeenCalledOnce()
})

test('a server that falls silent ends the stream and the request', async () => {
  const cancel = vi.fn()
  const release = vi.fn()
  const body = new ReadableStream<Uint8Array>({
    start: (controller) => controller.enqueue(chunk('a')),
    cancel,
  })
  const reader = streamWithIdleTimeout(body, 20, release).getReader()
  expect((await reader.read()).value).toEqual(chunk('a'))
  await expect(reader.read()).rejects.toMatchObject({ name: 'TimeoutError' })
  expect(cancel).toHaveBeenCalledOnce()
  expect(release).toHaveBeenCalledOnce()
})

test('a reader that pauses neither times out nor lets the server go on', async () => {
  vi.useFakeTimers()
  const pull = vi.fn((controller: ReadableStreamDefaultController<Uint8Array>) =>
    controller.enqueue(chunk('a')),
  )
  const body = new ReadableStream<Uint8Array>({ pull }, { highWaterMark: 0 })
  const reader = streamWithIdleTimeout(body, 20, () => undefined).getReader()
  await reader.read()
  await vi.advanceTimersByTimeAsync(10_000)
  expect(pull).toHaveBeenCalledOnce()
  expect((await reader.read()).value).toEqual(chunk('a'))
  vi.useRealTimers()
})

test('cancelling reaches the request', async () => {
  const cancel = vi.fn()
  const release = vi.fn()
  const stream = streamWithIdleTimeout(new ReadableStream<Uint8Array>({ cancel }), 0, release)
  await stream.cancel('enough')
  expect(cancel).toHaveBeenCalledWith('enough')
  expect(release).toHaveBeenCalledOnce()
})
