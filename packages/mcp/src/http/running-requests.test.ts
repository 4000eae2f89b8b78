import { expect, test } from 'vitest'
import { RunningRequests } from './running-requests.ts'

const asked = (id: unknown) => ({ jsonrpc: '2.0', id, method: 'tools/call' })
const cancelled = (requestId: unknown) => ({ method: 'notifications/cancelled', params: { requestId } })
const never = new AbortController().signal

test('a request is cancelled by its team, in its session, with its id', () => {
  const running = new RunningRequests()
  const { signal } = running.add('team', 's', asked(7), never)
  for (const [team, session, id] of [
    ['other', 's', 7],
    ['team', 't', 7],
    ['team', 's', '7'],
    ['team', 's', 8],
  ] as const) {
    expect(running.cancel(team, session, cancelled(id))).toBe(true)
    expect(signal.aborted).toBe(false)
  }
  running.cancel('team', 's', cancelled(7))
  expect(signal.aborted).toBe(true)
})

test('other messages, and those without a session, are not about a running request', () => {
  const running = new RunningRequests()
  const { signal } = running.add('team', null, asked(7), never)
  expect(running.cancel('team', null, cancelled(7))).toBe(false)
  expect(running.cancel('team', 's', { method: 'notifications/initialized' })).toBe(false)
  for (const body of [undefined, null, 'text', [], 7]) expect(running.cancel('team', 's', body)).toBe(false)
  expect(signal.aborted).toBe(false)
})

test('a request is aborted with its client, and nothing is kept after its end', () => {
  const running = new RunningRequests()
  const client = new AbortController()
  const { signal, end } = running.add('team', 's', [asked(1), asked(2)], client.signal)
  client.abort()
  expect(signal.aborted).toBe(true)
  end()
  expect(running.size).toBe(0)
  running.abortAll()
})

test('a request whose client has left before is aborted at once', () => {
  expect(new RunningRequests().add('team', 's', asked(1), AbortSignal.abort()).signal.aborted).toBe(true)
})

test('what is no id of a request is not kept, however deep or long', () => {
  const deep = JSON.parse(`${'['.repeat(100_000)}${']'.repeat(100_000)}`)
  const running = new RunningRequests()
  for (const id of [deep, 'x'.repeat(1_000_000), {}, null]) {
    const { signal } = running.add('team', 's', asked(id), never)
    expect(running.cancel('team', 's', cancelled(id))).toBe(true)
    expect(signal.aborted).toBe(false)
  }
})
