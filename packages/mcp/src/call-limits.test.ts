import { expect, test } from 'vitest'
import { CallLimits } from './call-limits.ts'

test('limits the calls of one owner and of all, and forgets those that have ended', async () => {
  const limits = new CallLimits(3, 2)
  const gate = Promise.withResolvers<void>()
  const wait = (owner: string) => limits.run(owner, () => gate.promise)
  const running = [wait('a'), wait('a'), wait('b')]
  await expect(wait('a')).rejects.toThrow('2 calls of this team run already')
  await expect(wait('c')).rejects.toThrow('as many tool calls as it can')
  gate.resolve()
  await Promise.all(running)
  await limits.run('a', async () => {})
  await expect(limits.run('a', () => Promise.reject(new Error('its own')))).rejects.toThrow('its own')
  await expect(limits.run('a', async () => 'again')).resolves.toBe('again')
})

test('a call counts until its answer was read', async () => {
  const limits = new CallLimits(1, 1)
  const read = Promise.withResolvers<void>()
  await limits.run('a', async () => {}, read.promise)
  await expect(limits.run('a', async () => {})).rejects.toThrow('1 calls of this team run already')
  read.resolve()
  await read.promise
  await limits.run('a', async () => {})
})
