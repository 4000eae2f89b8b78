import { expect, test } from 'vitest'
import { store } from './store-check.ts'

test('a database that cannot be reached is reported by URL, without the password', async () => {
  const verdict = await store({ home: '/srv/sandlot', store: 'postgres://me:secret@127.0.0.1:1/sandlot' })
  expect(verdict).toMatchObject({
    status: 'failed',
    detail: expect.stringMatching(
      /postgres:\/\/me@127.0.0.1:1\/sandlot cannot be used: nothing listens at 127.0.0.1:1/,
    ),
  })
})

test('SQLite needs nothing', async () => {
  expect((await store({ home: '/srv/sandlot', store: 'sqlite' })).status).toBe('ok')
})
