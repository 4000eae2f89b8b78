import { once } from 'node:events'
import { createServer, request, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { expect, onTestFinished, test } from 'vitest'
import { jsonOf, OutputStream } from './output-stream.ts'

/** Opens a real connection with a client that does not read until the test lets it. */
async function connection() {
  const server = createServer().listen(0, '127.0.0.1')
  onTestFinished(() => void server.close())
  await once(server, 'listening')
  const client = request({ port: (server.address() as AddressInfo).port, host: '127.0.0.1' }).end()
  client.on('error', () => {})
  const [, response] = (await once(server, 'request')) as [unknown, ServerResponse]
  return { client, response, output: new OutputStream(response) }
}

const line = { type: 'stdout' as const, text: 'x'.repeat(256 * 1024), timestamp: 0 }

test('the source is stopped while the reader is slow, and continues once all output is sent', async () => {
  const { client, output } = await connection()
  const log: string[] = []
  const thawed = Promise.withResolvers<void>()
  const source = {
    freeze: () => void log.push('freeze'),
    thaw: () => {
      log.push('thaw')
      thawed.resolve()
    },
  }
  await output.pacing(source, async () => {
    for (let sent = 0; sent < 100; sent += 1) output.write(line)
    expect(log).toEqual(['freeze'])
    const [answer] = await once(client, 'response')
    answer.resume()
    await thawed.promise
  })
  expect(log).toEqual(['freeze', 'thaw'])
})

test('a stopped source is thawed when its work ends', async () => {
  const { output, client } = await connection()
  const log: string[] = []
  const source = { freeze: () => void log.push('freeze'), thaw: () => void log.push('thaw') }
  await output.pacing(source, async () => {
    for (let sent = 0; sent < 100; sent += 1) output.write(line)
  })
  expect(log).toEqual(['freeze', 'thaw'])
  client.destroy()
})

test('the signal is aborted when the reader disconnects, and not when all was sent', async () => {
  const gone = await connection()
  gone.output.write(line)
  gone.client.destroy()
  await once(gone.output.readerGone, 'abort')
  gone.output.write(line)

  const whole = await connection()
  whole.output.write(line)
  whole.output.end()
  const [answer] = await once(whole.client, 'response')
  await once(answer.resume(), 'end')
  expect(whole.output.readerGone.aborted).toBe(false)
})

test('a line stays one line for readers that split at Unicode line separators', () => {
  const text = 'a\u0085b\u2028c\u2029d\ne'
  const json = jsonOf({ ...line, text })
  expect(json).not.toMatch(/[\n\u0085\u2028\u2029]/)
  expect(JSON.parse(json).text).toBe(text)
})

test('a lone surrogate is replaced anywhere, and text that only looks like one is not', () => {
  const result = { type: 'result' as const, is_main_result: true, text: 'x\ud800', json: { a: ['\udfff😀'] } }
  expect(JSON.parse(jsonOf(result))).toEqual({ ...result, text: 'x\ufffd', json: { a: ['\ufffd😀'] } })
  expect(JSON.parse(jsonOf({ ...line, text: '\\ud800 😀' })).text).toBe('\\ud800 😀')
})
