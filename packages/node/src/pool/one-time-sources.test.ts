import { expect, test } from 'vitest'
import { OneTimeSources } from './one-time-sources.ts'

test('a source is kept until the last caller that waits for it has ended', async () => {
  const sources = new OneTimeSources<string>()
  const first = Promise.withResolvers<void>()
  const second = Promise.withResolvers<void>()
  const works = [first, second].map(({ promise }) => sources.during('fork', 'from', () => promise))
  first.resolve()
  await works[0]
  expect(sources.get('fork')).toBe('from')
  second.resolve()
  await works[1]
  expect(sources.get('fork')).toBeUndefined()
})

test('failing work releases the source too', async () => {
  const sources = new OneTimeSources<string>()
  await expect(sources.during('fork', 'from', () => Promise.reject(new Error('no slot')))).rejects.toThrow(
    'no slot',
  )
  expect(sources.get('fork')).toBeUndefined()
})
