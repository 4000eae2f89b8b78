import { beforeEach, expect, test } from 'vitest'
import { type ServerUnderTest, serverUnderTest } from '../test-support/server-under-test.ts'

const under = serverUnderTest()
let t: ServerUnderTest
beforeEach(() => void (t = under.current))

test('API keys are made, shown masked, renamed, and refused once deleted', async () => {
  const made = (await t.call('POST', '/api-keys', { name: 'ci' })).body
  expect(made.key).toMatch(/^e2b_[0-9a-f]{40}$/)
  expect((await t.call('GET', '/v2/sandboxes', undefined, { 'x-api-key': made.key })).status).toBe(200)
  expect((await t.call('PATCH', `/api-keys/${made.id}`, { name: 'new' })).status).toBe(200)
  const listed = (await t.call('GET', '/api-keys')).body.find((entry: { id: string }) => entry.id === made.id)
  expect(listed).toMatchObject({
    name: 'new',
    mask: { prefix: 'e2b_', valueLength: 40, maskedValuePrefix: made.key.slice(4, 8) },
  })
  expect(JSON.stringify(listed)).not.toContain(made.key)
  expect((await t.call('DELETE', `/api-keys/${made.id}`)).status).toBe(204)
  expect((await t.call('GET', '/v2/sandboxes', undefined, { 'x-api-key': made.key })).status).toBe(401)
  expect((await t.call('DELETE', `/api-keys/${made.id}`)).status).toBe(404)
})
