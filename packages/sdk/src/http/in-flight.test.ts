import { beforeEach, expect, test } from 'vitest'
import { limitInFlight } from './in-flight.ts'

/** Requests that were sent; the test answers them when it wants. */
let pending: { url: string; answer: (value: Response) => void; fail: (error: Error) => void }[]
let send: typeof fetch

beforeEach(() => {
  pending = []
  const fetch = (url: string) =>
    new Promise<Response>((answer, fail) => void pending.push({ url, answer, fail }))
  send = limitInFlight(fetch as typeof globalThis.fetch, 2)
})
const settled = () => new Promise((resolve) => setTimeout(resolve))
const urls = () => pending.map(({ url }) => url)

test('requests beyond the limit wait and are sent in order of arrival', async () => {
  const sent = ['a', 'b', 'c', 'd'].map((url) => send(url))
  await settled()
  expect(urls()).toEqual(['a', 'b'])
  pending[1]!.answer(new Response())
  await settled()
  expect(urls()).toEqual(['a', 'b', 'c'])
  pending[0]!.answer(new Response())
  await settled()
  expect(urls()).toEqual(['a', 'b', 'c', 'd'])
  for (const { answer } of pending) answer(new Response())
  await Promise.all(sent)
})

test('a failed request frees its place', async () => {
  const failing = send('a')
  const others = [send('b'), send('c')]
  await settled()
  pending[0]!.fail(new Error('broken'))
  await expect(failing).rejects.toThrow('broken')
  await settled()
  expect(urls()).toEqual(['a', 'b', 'c'])
  for (const { answer } of pending) answer(new Response())
  await Promise.all(others)
})

test('a signal ends the wait of its request with the reason of the signal, and later requests are still sent', async () => {
  const controller = new AbortController()
  const first = [send('a'), send('b')]
  const waiting = send('c', { signal: controller.signal })
  const last = send('d')
  await settled()
  controller.abort(new Error('enough'))
  await expect(waiting).rejects.toThrow('enough')
  pending[0]!.answer(new Response())
  await settled()
  expect(urls()).toEqual(['a', 'b', 'd'])
  for (const { answer } of pending) answer(new Response())
  await Promise.all([...first, last])
})

test('a request with an aborted signal is never sent', async () => {
  await expect(send('a', { signal: AbortSignal.abort(new Error('before')) })).rejects.toThrow('before')
  expect(urls()).toEqual([])
})
