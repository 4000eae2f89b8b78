import { beforeEach, expect, test } from 'vitest'
import { type ServerUnderTest, serverUnderTest } from '../test-support/server-under-test.ts'

const under = serverUnderTest()
let t: ServerUnderTest
beforeEach(() => void (t = under.current))

const collect = () => t.call('POST', '/usage/storage/gc', { isDryRun: true })

test("garbage of all teams is collected for the administrator's team", async () => {
  const { status, body } = await collect()
  expect(status).toBe(200)
  expect(body).toEqual({ chunks: 2, bytes: 20, keptChunks: 1, keptBytes: 10 })
})

test('another team is refused, because the report would reveal what other teams deleted', async () => {
  await t.inStore((store) => store.updateTable('teams').set({ slug: 'others' }).execute())
  await t.crash()
  const { status, body } = await collect()
  expect(status).toBe(403)
  expect(body.message).toMatch(/every 15 minutes; only team 'default' can/)
})
