import { type ChildProcess, fork } from 'node:child_process'
import { randomInt } from 'node:crypto'
import { once } from 'node:events'
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { namesFor } from '@sandlot/node/instance-names'
import { afterAll, beforeAll, expect, inject, test } from 'vitest'
import { FolderVolumes, nodeHome, removeHome } from './real-node.ts'

const SERVER = fileURLToPath(new URL('./volume-server.ts', import.meta.url))
const KILLS = 6
/** A round of the server takes about this long. */
const ROUND_MS = 3_000

const home = nodeHome('volumes-killed')
const volumes = new FolderVolumes(`${home}-data`)
const { mountsDir } = namesFor(home)
let server: ChildProcess | undefined

beforeAll(async () => {
  await removeHome(home)
  const directory = await volumes.create('data')
  for (let i = 0; i < 100; i++) writeFileSync(join(directory, String(i)), `content ${i}`)
})
afterAll(async () => {
  server?.kill('SIGKILL')
  await removeHome(home)
  await rm(volumes.dir, { recursive: true, force: true })
})

async function startServer(session: string): Promise<ChildProcess> {
  const args = [home, inject('server').home, '10.169.0.0/16', volumes.dir, session]
  const child = fork(SERVER, args, { execArgv: ['--disable-warning=ExperimentalWarning'] })
  const [message] = await Promise.race([once(child, 'message'), once(child, 'exit')])
  expect(message).toBe('joined')
  return child
}

const content = () =>
  readdirSync(volumes.pathOf('data')).map(
    (name) => `${name}: ${readFileSync(join(volumes.pathOf('data'), name))}`,
  )
const mounts = () =>
  readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .map((line) => line.split(' ')[4] ?? '')
    .filter((target) => target.startsWith(`${mountsDir}/`))

/** Mounts of machines that do not exist. */
function mountsOfNobody(): string[] {
  const found = mounts()
  const machines = new Set(readdirSync(join(home, 'run/machines')))
  return found.filter((target) => {
    const [kind, machineId] = target.slice(mountsDir.length + 1).split('/')
    return kind === 'volumes' && machineId !== undefined && !machines.has(machineId)
  })
}

test('a server that is killed at any moment leaves the files of volumes alone, and the next one its mounts in order', async () => {
  const before = content()
  for (let kill = 0; kill < KILLS; kill++) {
    server = await startServer(`session-${kill}`)
    await expect.poll(mountsOfNobody).toEqual([])
    await delay(randomInt(ROUND_MS))
    server.kill('SIGKILL')
    await once(server, 'exit')
    expect(content()).toEqual(before)
  }
  await removeHome(home)
  expect(mounts()).toEqual([])
  expect(existsSync(mountsDir)).toBe(false)
  expect(content()).toEqual(before)
}, 600_000)
