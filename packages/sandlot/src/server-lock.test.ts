import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { identify, isAlive } from './process-identity.ts'
import { becomeServer, findServer } from './server-lock.ts'
import { stopServer, whileStopped } from './stop-server.ts'
import { writeAtomically } from './write-atomically.ts'

const about = { listen: '127.0.0.1:3000', domain: 'sandlot.localhost:3000' }
let home: string

beforeEach(() => void (home = mkdtempSync(join(tmpdir(), 'sandlot-lock-'))))
afterEach(() => rmSync(home, { recursive: true }))

/** Starts another process that locks the home until it is killed. */
async function otherServer() {
  const script = `import(${JSON.stringify(import.meta.resolve('./server-lock.ts'))}).then(({ becomeServer }) => {
    becomeServer(${JSON.stringify(home)}, ${JSON.stringify(about)})
    process.stdout.write('held')
    setInterval(() => {}, 1000)
  })`
  const child = spawn(process.execPath, ['-e', script], { stdio: ['ignore', 'pipe', 'inherit'] })
  await once(child.stdout, 'data')
  return child
}

test('a second server on a home is refused with pid and address of the first', async () => {
  const child = await otherServer()
  expect(() => becomeServer(home, about)).toThrow(`pid ${child.pid}, listening on 127.0.0.1:3000`)
  child.kill('SIGKILL')
  await once(child, 'exit')
})

test('a home that cannot be made is refused in one sentence', () => {
  expect(() => becomeServer('/dev/null/home', about)).toThrow(
    /^the home \/dev\/null\/home cannot be made: ENOTDIR.*Choose another with --home$/,
  )
})

test('the home of a server that was killed is taken over', async () => {
  const child = await otherServer()
  child.kill('SIGKILL')
  await once(child, 'exit')
  expect(findServer(home)).toBeUndefined()
  const lock = becomeServer(home, about)
  expect(findServer(home)?.pid).toBe(process.pid)
  lock.release()
  expect(findServer(home)).toBeUndefined()
})

test('a record is ignored when its pid belongs to another process now', () => {
  const record = { ...about, pid: process.pid, startedAt: 'another-boot/1' }
  writeAtomically(join(home, 'server.json'), JSON.stringify(record), 0o600)
  expect(findServer(home)).toBeUndefined()
})

test('stopServer ends the server, and succeeds when none runs', async () => {
  const child = await otherServer()
  const exit = once(child, 'exit')
  expect(await stopServer(home)).toBe(`stopped (pid ${child.pid})`)
  await exit
  expect(await stopServer(home)).toBe('not running')
})

test('machines of a home are removed while no server can start, and not when one has', async () => {
  await whileStopped(home, async () => {})
  expect(readdirSync(home)).toEqual([])
  becomeServer(home, about).release()
  await whileStopped(home, async () =>
    expect(() => becomeServer(home, about)).toThrow('a server already runs on'),
  )
  const lock = becomeServer(home, about)
  const work = vi.fn()
  await expect(whileStopped(home, work)).rejects.toMatchObject({
    errorName: 'conflict',
    message: expect.stringMatching(/has been started .*systemctl stop/),
  })
  expect(work).not.toHaveBeenCalled()
  lock.release()
})

test('a process is recognised only with its start time', () => {
  const self = identify(process.pid)!
  expect(isAlive(self)).toBe(true)
  expect(isAlive({ ...self, startedAt: `${self.startedAt}0` })).toBe(false)
  expect(identify(2 ** 22 + 1)).toBeUndefined()
})

test('files appear complete and with their mode, and no temporary file remains', () => {
  const path = join(home, 'deep', 'file')
  writeAtomically(path, 'content', 0o600)
  expect(existsSync(path)).toBe(true)
  expect(existsSync(`${path}.${process.pid}.tmp`)).toBe(false)
})
