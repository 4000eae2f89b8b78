import { expect, test, vi } from 'vitest'
import { StartPriority } from './start-priority.ts'

const never = new AbortController().signal

test('a wait takes half a second when no start is waiting', async () => {
  const started = performance.now()
  await new StartPriority().wait(never)
  expect(performance.now() - started).toBeGreaterThan(490)
})

test('starts go first, including failing ones', async () => {
  const startPriority = new StartPriority()
  const [one, two] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
  const starts = [
    startPriority.during(() => one.promise),
    startPriority.during(() => two.promise).catch(() => {}),
  ]
  let isOver = false
  const waiting = startPriority.wait(never).then(() => {
    isOver = true
  })
  await new StartPriority().wait(never)
  one.resolve()
  await starts[0]
  expect(isOver).toBe(false)
  two.reject(new Error('failed'))
  await waiting
})

test('a wait for starts ends after ten seconds', async () => {
  const timeout = vi.spyOn(AbortSignal, 'timeout').mockReturnValue(AbortSignal.abort())
  const startPriority = new StartPriority()
  void startPriority.during(() => new Promise(() => {}))
  await startPriority.wait(never)
  expect(timeout).toHaveBeenCalledWith(10_000)
  timeout.mockRestore()
})

test('an aborted wait ends at once', async () => {
  await expect(new StartPriority().wait(AbortSignal.abort())).rejects.toThrow(/aborted/)
})
