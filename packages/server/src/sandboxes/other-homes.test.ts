import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { ServerUnderTest } from '../test-support/server-under-test.ts'

let directory: string
let first: ServerUnderTest
let second: ServerUnderTest
beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'sandlot-homes-test-'))
  first = new ServerUnderTest(directory, { nodeId: 'first' })
  second = new ServerUnderTest(directory, { nodeId: 'second' })
  await first.open()
})
afterEach(async () => {
  await second.close()
  rmSync(directory, { recursive: true, force: true })
})

test('a server leaves sandboxes of another home alone, and names that home', async () => {
  const [running, paused] = [(await first.create()).sandboxID, (await first.create()).sandboxID]
  await first.act(paused, 'pause')
  await first.server.close(0)

  second.database = first.database
  second.key = first.key
  await second.open()
  const own = (await second.create()).sandboxID
  for (const id of [running, paused]) {
    const { status, body } = await second.call('GET', `/sandboxes/${id}`)
    expect([status, body.message]).toEqual([409, expect.stringContaining(`Sandbox "${id}" is on 'first'`)])
    expect((await second.call('DELETE', `/sandboxes/${id}`)).status).toBe(409)
  }
  // checkpoints of the other home may be in a bucket that both homes share
  expect([...second.node.known!.checkpoints]).toEqual([...first.node.saved])
  await second.act(own, 'pause')
  await second.server.close(0)

  await first.open()
  expect(await first.statusOf(running)).toBe(200)
  expect((await first.act(paused, 'connect', { timeout: 50 })).status).toBe(201)
  expect(await first.statusOf(own)).toBe(409)
  await first.server.close(0)
  await second.open()
  expect((await second.act(own, 'connect', { timeout: 50 })).status).toBe(201)
})
