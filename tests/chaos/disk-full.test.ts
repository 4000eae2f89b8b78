import { appendFileSync, rmSync, statfsSync } from 'node:fs'
import { type ConnectionOpts, Sandbox } from 'e2b-official'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { connectionTo, startServer, type TestServer } from '../server.ts'
import { mountSmallDisk, type SmallDisk } from './small-disk.ts'

const SIZE_MIB = 96
let disk: SmallDisk
let server: TestServer
let options: ConnectionOpts

beforeAll(async () => {
  disk = mountSmallDisk('full-disk', SIZE_MIB)
  server = await startServer({
    name: 'full-disk/home',
    port: 13_213,
    networkRange: '10.213.0.0/16',
    flags: ['--pool-min', '1', '--pool-max', '1'],
  })
  options = connectionTo(server.info())
}, 300_000)
afterAll(async () => {
  await server?.purge().catch(() => {})
  disk?.unmount()
}, 120_000)

test('on a full disk creates get a clear 5xx, running sandboxes answer, and creates work again once space is freed', async () => {
  const before = await Sandbox.create({ ...options, timeoutMs: 600_000 })
  const { bsize, blocks } = statfsSync(disk.path)
  expect(blocks * bsize).toBe(SIZE_MIB * 2 ** 20)
  expect(() => {
    for (let i = 0; i <= SIZE_MIB * 16; i++) appendFileSync(disk.ballast, Buffer.alloc(2 ** 16))
  }).toThrow(/ENOSPC/)
  const create = () =>
    fetch(`${options.apiUrl}/v2/sandboxes`, {
      method: 'POST',
      headers: { 'x-api-key': String(options.apiKey), 'content-type': 'application/json' },
      body: JSON.stringify({ templateID: 'base' }),
      signal: AbortSignal.timeout(60_000),
    })
  // warm machines may still be handed out
  let refused: Response | undefined
  for (let i = 0; i < 5 && !refused; i++) {
    const response = await create()
    if (response.status !== 201) refused = response
  }
  expect([503, 507]).toContain(refused?.status)
  expect(await refused?.json()).toMatchObject({
    code: refused?.status,
    message: expect.stringMatching(/disk|space/i),
  })
  expect((await before.commands.run('echo still here')).stdout).toBe('still here\n')
  expect((await Sandbox.list({ ...options, limit: 10 }).nextItems()).length).toBeGreaterThan(0)
  rmSync(disk.ballast)
  await expect.poll(async () => (await create()).status, { timeout: 30_000, interval: 1_000 }).toBe(201)
  expect(await before.kill()).toBe(true)
}, 180_000)
