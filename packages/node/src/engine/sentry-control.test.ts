import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer, type Server, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { callSentry } from './sentry-control.ts'

let dir: string
let path: string
let server: Server
const sockets = new Set<Socket>()
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'sandlot-sentry-'))
  path = join(dir, 'control.sock')
})
afterEach(() => {
  for (const socket of sockets) socket.destroy()
  server?.close()
  rmSync(dir, { recursive: true, force: true })
})

/** Listens on a control socket like a sentry, and passes each request to `answer`. */
async function listen(answer: (socket: Socket, request: string) => void): Promise<void> {
  server = createServer((socket) => {
    sockets.add(socket)
    socket.on('error', () => {})
    socket.setEncoding('utf8').on('data', (request: string) => answer(socket, request))
  }).listen(path)
  await once(server, 'listening')
}

test('a method is called by name, without an argument', async () => {
  let seen = ''
  await listen((socket, request) => {
    seen = request
    socket.write('{"success":true,"err":"","result":null}')
  })
  await callSentry(path, 'Lifecycle.Pause', 1_000)
  expect(JSON.parse(seen)).toEqual({ method: 'Lifecycle.Pause', arg: null })
})

test('an answer may come in pieces', async () => {
  await listen((socket) => {
    socket.write('{"success":')
    setTimeout(() => socket.write('true,"err":""}'), 20)
  })
  await callSentry(path, 'Lifecycle.Pause', 1_000)
})

test('the connection is closed after the answer', async () => {
  const closed = Promise.withResolvers<void>()
  await listen((socket) => {
    socket.on('close', () => closed.resolve())
    socket.write('{"success":true}')
  })
  await callSentry(path, 'Lifecycle.Pause', 1_000)
  await closed.promise
})

test.each<[string, (socket: Socket) => void, string, string]>([
  [
    'says no',
    (socket) => socket.write('{"success":false,"err":"not paused"}'),
    'internal_server_error',
    'not paused',
  ],
  ['hangs up', (socket) => socket.end(), 'internal_server_error', 'closed the connection'],
  [
    'hangs up in the middle',
    (socket) => socket.end('{"success":tr'),
    'internal_server_error',
    'closed the connection',
  ],
  [
    'sends an endless answer',
    (socket) => socket.write('x'.repeat(1_100_000)),
    'internal_server_error',
    'too long',
  ],
  ['does not answer', () => {}, 'operation_timeout', 'no answer in 200 ms'],
])('a sentry that %s is an error that names the method', async (_, answer, errorName, message) => {
  await listen(answer)
  await expect(callSentry(path, 'Lifecycle.Resume', 200)).rejects.toMatchObject({
    errorName,
    message: expect.stringMatching(new RegExp(`Lifecycle.Resume.*${message}`)),
  })
})

test('a sentry that is gone is an error', async () => {
  await expect(callSentry(path, 'Lifecycle.Pause', 200)).rejects.toMatchObject({
    errorName: 'internal_server_error',
    message: expect.stringContaining('ENOENT'),
  })
})
