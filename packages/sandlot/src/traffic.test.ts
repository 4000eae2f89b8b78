import { EventEmitter } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { isForSandboxes, Traffic } from './traffic.ts'

const never = new AbortController().signal

/** Watches whether a promise has resolved. */
function watched(promise: Promise<void>) {
  const seen = { isDone: false }
  promise.then(
    () => (seen.isDone = true),
    () => {},
  )
  return seen
}

test('background work does not begin during a create or a command, or immediately afterwards', async () => {
  const traffic = new Traffic()
  await traffic.quiet(never)
  const [create, command] = [new EventEmitter(), new EventEmitter()]
  traffic.add(create)
  traffic.add(command)
  const waiting = traffic.quiet(never)
  const seen = watched(waiting)
  create.emit('close')
  await sleep(600)
  expect(seen.isDone).toBe(false)
  const endedAt = performance.now()
  command.emit('close')
  await waiting
  expect(performance.now() - endedAt).toBeGreaterThan(450)
})

test('background work begins after some time on a server that is never idle', async () => {
  const traffic = new Traffic()
  traffic.add(new EventEmitter())
  await traffic.quiet(never, 50)
})

test('an aborted wait rejects', async () => {
  const traffic = new Traffic()
  traffic.add(new EventEmitter())
  const abort = new AbortController()
  const waiting = traffic.quiet(abort.signal)
  abort.abort(new Error('deleted'))
  await expect(waiting).rejects.toThrow('deleted')
})

test('lists and requests of the builds themselves do not count as traffic', () => {
  const ask = (method: string, url: string) => isForSandboxes({ method, url })
  expect([
    ask('POST', '/sandboxes'),
    ask('POST', '/v2/sandboxes?x=1'),
    ask('POST', '/v3/sandboxes/i1/connect'),
  ]).toEqual([...[true, true, true]])
  expect([ask('GET', '/v2/sandboxes'), ask('POST', '/v3/templates'), ask('POST', '/sandboxesx')]).toEqual([
    ...[false, false, false],
  ])
})
