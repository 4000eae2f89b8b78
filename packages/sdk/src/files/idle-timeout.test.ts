import { expect, test, vi } from 'vitest'
import { withIdleTimeout } from './idle-timeout.ts'

const chunk = (text: string) => new TextEncoder().encode(text)

test('chunks are forwarded', async () => {
  const body = new Blob(['hello']).stream()
  expect(await new Response(withIdleTimeout(body, 1000)).text()).toBe('hello')
})

test('a server that stops sending ends the stream and the request', async () => {
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

test('a paused reader does not time out, and nothing is read from the server meanwhile', async () => {
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

test('cancelling the stream cancels the request', async () => {
  const cancel = vi.fn()
  const stream = withIdleTimeout(new ReadableStream<Uint8Array>({ cancel }), 1000)
  await stream.cancel('enough')
  expect(cancel).toHaveBeenCalledWith('enough')
})
