import { expect, test, vi } from 'vitest'
import { StartPriority } from './start-priority.ts'

const never = new AbortController().signal

test('half a second passes when nobody waits for a start', async () => {
  const started = performance.now()
  await new StartPriority().wait(never)
  expect(performance.now() - started).toBeGreaterThan(490)
})

test('starts go first, those that fail too', async () => {
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

test('a start that takes longer than ten seconds is waited for no more', async () => {
  const timeout = vi.spyOn(AbortSignal, 'timeout').mockReturnValue(AbortSignal.abort())
  const startPriority = new StartPriority()
  void startPriority.during(() => new Promise(() => {}))
  await startPriority.wait(never)
  expect(timeout).toHaveBeenCalledWith(10_000)
  timeout.mockRestore()
})

test('who shuts down does not wait', async () => {
  await expect(new StartPriority().wait(AbortSignal.abort())).rejects.toThrow(/aborted/)
})
