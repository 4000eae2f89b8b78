import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, expect, onTestFinished, test, vi } from 'vitest'
import { run } from '../host/run.ts'
import { NftRefusal, NftSession } from './nft-session.ts'

const table = `sandlot_unit_${process.pid}`
let session = new NftSession()
afterEach(async () => {
  session.close()
  vi.unstubAllEnvs()
  session = new NftSession()
  await run('nft', ['-f', '-'], { input: `table inet ${table} {}\ndelete table inet ${table}\n` })
})

test('a command is done when its promise resolves, and gets its own answer', async () => {
  await session.run(`add table inet ${table}; add set inet ${table} things { type ipv4_addr; }`)
  await session.run(`add element inet ${table} things { 192.0.2.1, 192.0.2.2 }`)
  const { stdout } = await run('nft', ['list', 'set', 'inet', table, 'things'])
  expect(stdout).toContain('elements = { 192.0.2.1, 192.0.2.2 }')
  const answers = await Promise.all([
    session.run(`list set inet ${table} things`),
    session.run(`delete element inet ${table} things { 192.0.2.1 }`),
    session.run(`list set inet ${table} things`),
  ])
  expect(answers.map((answer) => answer.match(/elements = .*/)?.[0])).toEqual([
    'elements = { 192.0.2.1, 192.0.2.2 }',
    undefined,
    'elements = { 192.0.2.2 }',
  ])
})

test("a rejected command has nft's message and no effect, and the next command works", async () => {
  await session.run(`add table inet ${table}; add set inet ${table} things { type ipv4_addr; }`)
  const one = `add element inet ${table} things { 192.0.2.1 }`
  await expect(session.run(`${one}; delete element inet ${table} none { 192.0.2.1 }`)).rejects.toThrow(
    /No such file or directory/,
  )
  await expect(session.run('no command at all')).rejects.toBeInstanceOf(NftRefusal)
  expect(await session.run(`list set inet ${table} things`)).not.toContain('elements')
  await session.run(one)
  expect(await session.run(`list set inet ${table} things`)).toContain('192.0.2.1')
})

test('adding and deleting in one transaction is idempotent', async () => {
  await session.run(`add table inet ${table}; add set inet ${table} things { type ipv4_addr; }`)
  const element = `element inet ${table} things { 192.0.2.1 }`
  await session.run(`add ${element}`)
  for (let i = 0; i < 2; i++) {
    await session.run(`add ${element}; delete ${element}`)
    expect(await session.run(`list set inet ${table} things`)).not.toContain('elements')
  }
})

test('a dead nft process is a different error, and the next command starts a new process', async () => {
  await session.run(`add table inet ${table}`)
  const before = session.pid!
  process.kill(before, 'SIGSTOP')
  const running = session.run(`list table inet ${table}`)
  process.kill(before, 'SIGKILL')
  const error = await running.catch((reason: Error) => reason)
  expect(error).toBeInstanceOf(Error)
  expect(error).not.toBeInstanceOf(NftRefusal)
  expect(await session.run(`list table inet ${table}`)).toContain(table)
  expect(session.pid).not.toBe(before)
})

test('another process takes over after some commands, and nft leaves no history of them', async () => {
  const home = mkdtempSync(join(tmpdir(), 'sandlot-nft-'))
  vi.stubEnv('HOME', home)
  onTestFinished(() => rmSync(home, { recursive: true }))
  session = new NftSession({ maxCommands: 3 })
  await session.run(`add table inet ${table}; add set inet ${table} things { type ipv4_addr; }`)
  const first = session.pid!
  const numbers = Array.from({ length: 10 }, (_, number) => number)
  const add = (number: number) => session.run(`add element inet ${table} things { 192.0.2.${number} }`)
  await Promise.all(numbers.map(add))
  const listed = await session.run(`list set inet ${table} things`)
  for (const number of numbers) expect(listed).toContain(`192.0.2.${number}`)
  expect(session.pid).not.toBe(first)
  expect(session.isOwn(session.pid!)).toBe(true)
  await expect.poll(() => existsSync(`/proc/${first}`)).toBe(false)
  expect(readdirSync(home)).toEqual([])
})
