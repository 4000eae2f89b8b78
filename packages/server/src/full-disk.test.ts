import { execFileSync } from 'node:child_process'
import { appendFileSync, mkdtempSync, rmdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { isOnPostgres } from './test-support/database.ts'
import { ServerUnderTest } from './test-support/server-under-test.ts'

// mounting a small file system needs root, like Sandlot
const isRoot = process.getuid?.() === 0 && !isOnPostgres
let directory: string
let t: ServerUnderTest

beforeEach(async () => {
  if (!isRoot) return
  directory = mkdtempSync(join(tmpdir(), 'sandlot-full-disk-test-'))
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=2m', 'tmpfs', directory], { timeout: 10_000 })
  t = new ServerUnderTest(directory)
  await t.open()
})
afterEach(async () => {
  if (!isRoot) return
  await t.close()
  execFileSync('umount', ['-l', directory], { timeout: 10_000 })
  rmdirSync(directory)
})

function fillDisk(): void {
  for (const sizeBytes of [65_536, 4096, 1])
    try {
      for (;;) appendFileSync(join(directory, 'filler'), Buffer.alloc(sizeBytes))
    } catch {}
}

test.runIf(isRoot)(
  'on a full disk creates answer 507, sandboxes still end, and their ends are recorded once there is space',
  async () => {
    const { sandboxID } = await t.create()
    fillDisk()
    const statuses = new Set<number>()
    for (let i = 0; i < 500 && !statuses.has(507); i++) {
      const { status, body } = await t.call('POST', '/v2/sandboxes', {
        templateID: 'base',
        metadata: { filler: 'x'.repeat(4000) },
      })
      statuses.add(status)
      if (status === 507) expect(body).toMatchObject({ code: 507, error_code: 'disk_full' })
    }
    expect(statuses).toContain(507)
    const running = (await t.call('GET', '/v2/sandboxes?limit=100')).headers['x-total-running']
    expect(t.node.machines.size).toBe(Number(running))

    expect((await t.call('DELETE', `/sandboxes/${sandboxID}`)).status).toBe(204)
    expect(await t.statusOf(sandboxID)).toBe(404)
    expect(t.server.directory.find(sandboxID)).toBeUndefined()

    rmSync(join(directory, 'filler'))
    await expect
      .poll(async () => (await t.eventsOf(sandboxID)).at(-1)?.event_data.kill_reason, { timeout: 10_000 })
      .toBe('request')
    expect((await t.call('POST', '/v2/sandboxes', { templateID: 'base' })).status).toBe(201)
  },
)
