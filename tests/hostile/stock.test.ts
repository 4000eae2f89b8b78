import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Sandbox, Template } from 'e2b-official'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { server } from './guest.ts'

const machinesDir = join(server.home, 'run', 'machines')
const name = `busy-${process.pid}`
let buildId: string

/** Warm machines of the template, with the files that say in which state they are. */
const stock = (): string[][] =>
  readdirSync(machinesDir).flatMap((machineId) => {
    const dir = join(machinesDir, machineId)
    if (!existsSync(join(dir, 'warm'))) return []
    const record = JSON.parse(readFileSync(join(dir, 'machine.json'), 'utf8'))
    return record.buildId === buildId ? [readdirSync(dir)] : []
  })

beforeAll(async () => {
  const busy = Template()
    .fromTemplate('base')
    .setStartCmd('touch /tmp/up; while :; do :; done', 'test -e /tmp/up')
  buildId = (await Template.build(busy, name, { cpuCount: 1, memoryMB: 512 })).buildId
}, 120_000)
afterAll(async () => {
  const { E2B_API_URL, E2B_API_KEY } = server.env
  await fetch(`${E2B_API_URL}/templates/${name}`, {
    method: 'DELETE',
    headers: { 'x-api-key': E2B_API_KEY! },
  })
})

test('machines of a template are frozen in the warm pool, which no plan counts, and continue in the sandbox that gets them', async () => {
  await vi.waitFor(() => expect(stock().length).toBeGreaterThan(0), { timeout: 30_000, interval: 200 })
  for (const files of stock()) expect(files).toContain('frozen')
  const sandbox = await Sandbox.create(name, { timeoutMs: 60_000 })
  try {
    const ticks = () =>
      sandbox.commands.run(`for s in /proc/[0-9]*/stat; do awk '{ print $14 }' $s; done | sort -n | tail -1`)
    const before = Number((await ticks()).stdout)
    await vi.waitFor(async () => expect(Number((await ticks()).stdout)).toBeGreaterThan(before), {
      timeout: 10_000,
      interval: 500,
    })
  } finally {
    await sandbox.kill()
  }
}, 60_000)
