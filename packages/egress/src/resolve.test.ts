import { afterAll, beforeAll, expect, test } from 'vitest'
import { NameResolver } from './resolve.ts'
import { a, type NameServer, startNameServer } from './test-support/name-server.ts'

let names: NameServer
beforeAll(async () => {
  names = await startNameServer()
})
afterAll(() => names?.close())

test('a slow answer is waited for, also after many fast ones', async () => {
  const resolver = new NameResolver([names.address])
  for (const [key, answers] of [a('fast.test', '192.0.2.1'), a('slow.test', '192.0.2.2')])
    names.records.set(key, answers)
  for (let i = 0; i < 20; i++) await resolver.resolve('fast.test', 'sandbox-1')
  names.delayMs = 1_200
  expect(await resolver.resolve('slow.test', 'sandbox-1')).toEqual(['192.0.2.2'])
  resolver.close()
})
