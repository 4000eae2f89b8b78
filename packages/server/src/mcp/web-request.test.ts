import { once } from 'node:events'
import { createServer, request } from 'node:http'
import type { AddressInfo } from 'node:net'
import { expect, onTestFinished, test } from 'vitest'
import { sendStream, webRequest } from './web-request.ts'

/** Starts a server whose answers `handle` writes. @returns its URL */
async function serve(handle: Parameters<typeof createServer>[1]): Promise<string> {
  const server = createServer(handle)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => {
    server.closeAllConnections()
    server.close()
  })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

test('an answer is given up when its client left before it began', async () => {
  const cancelled = Promise.withResolvers<boolean>()
  const url = await serve(async (incoming, response) => {
    const { signal } = webRequest(incoming, response)
    client.destroy()
    await once(signal, 'abort')
    const body = new ReadableStream({
      pull: (controller) => controller.enqueue(new Uint8Array(10)),
      cancel: () => cancelled.resolve(true),
    })
    await sendStream(new Response(body), response, {}, signal)
    cancelled.resolve(false)
  })
  const client = request(url).on('error', () => {})
  client.end()
  expect(await cancelled.promise).toBe(true)
})

test('an answer is given up at once when its client leaves while it is full', async () => {
  const ended = Promise.withResolvers<void>()
  const url = await serve(async (incoming, response) => {
    const { signal } = webRequest(incoming, response)
    const body = new ReadableStream({
      pull: (controller) => controller.enqueue(new Uint8Array(1024 * 1024)),
    })
    await sendStream(new Response(body), response, {}, signal)
    ended.resolve()
  })
  const client = request(url).on('error', () => {})
  client.end()
  const [answer] = await once(client, 'response')
  answer.on('error', () => {})
  await once(answer, 'readable')
  answer.destroy()
  await ended.promise
})
