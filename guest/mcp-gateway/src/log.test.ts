import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { Log } from './log.ts'

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'mcp-gateway-log-'))
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

test('writes a line with the time and the server', async () => {
  const log = new Log(join(folder, 'deep/gateway.log'))
  log.write('one', 'ready\n')
  log.write('two', 'failed')
  await log.written()
  expect(readFileSync(join(folder, 'deep/gateway.log'), 'utf8')).toMatch(
    /^\S+Z one: ready\n\S+Z two: failed\n$/,
  )
})

test('keeps two files of about 4 MiB, however much is written', async () => {
  const file = join(folder, 'gateway.log')
  const log = new Log(file)
  for (let index = 0; index < 4000; index++) {
    log.write('one', 'x'.repeat(10_000))
    if (index % 100 === 0) await log.written()
  }
  await log.written()
  expect(statSync(file).size).toBeLessThan(6 * 1024 * 1024)
  expect(statSync(`${file}.1`).size).toBeLessThan(6 * 1024 * 1024)
})
