import { expect, test } from 'vitest'
import { serverUnderTest } from '../test-support/server-under-test.ts'

const settings = { requireSecure: false }
const under = serverUnderTest(settings)

test('a server with requireSecure creates no sandbox without an access token, by create or fork', async () => {
  const t = under.current
  const older = (await t.call('POST', '/sandboxes', { templateID: 'base', timeout: 100 })).body.sandboxID
  const newer = (await t.create()).sandboxID
  settings.requireSecure = true
  await t.crash()
  const refused = 'this server makes no sandboxes without an access token (its setting requireSecure): '
  for (const extra of [{}, { secure: false }]) {
    const { status, body } = await t.call('POST', '/sandboxes', { templateID: 'base', ...extra })
    expect([status, body.message]).toEqual([
      400,
      `${refused}set secure to true, which clients from 2.0 on do by themselves`,
    ])
  }
  expect((await t.call('POST', `/sandboxes/${older}/fork`, {})).body.message).toBe(
    `${refused}fork one that was created with secure: true`,
  )
  expect((await t.call('POST', `/sandboxes/${newer}/fork`, {})).status).toBe(201)
  expect((await t.call('POST', '/sandboxes', { templateID: 'base', secure: true })).status).toBe(201)
  expect((await t.call('POST', '/v2/sandboxes', { templateID: 'base' })).status).toBe(201)
  // existing sandboxes can still be used
  expect((await t.call('POST', `/sandboxes/${older}/timeout`, { timeout: 50 })).status).toBe(204)
})
