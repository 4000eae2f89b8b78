import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Sandbox } from 'e2b-official'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { BUILD_TIMEOUT_MS, waitForTemplate } from './ready.ts'

const APP = '/home/user/app'
// the proxy of a published port accepts before the server behind it listens, and then resets
const curl = 'curl -sS --retry 100 --retry-delay 0 --retry-all-errors localhost'
const created: Sandbox[] = []
let sandbox: Sandbox

const run = async (command: string, user = 'user', of = sandbox) =>
  (await of.commands.run(command, { user, cwd: '/home/user', timeoutMs: 120_000 })).stdout.trim()
const fileOf = (name: string) => readFileSync(join(import.meta.dirname, 'in-docker', name), 'utf8')
/** Starts a program that stays. @param sign what it prints or makes when it is ready */
const startProgram = (command: string, sign: string, of = sandbox) =>
  run(`(setsid ${command} &) && until ${sign}; do sleep 0.1; done`, 'root', of)

beforeAll(async () => {
  await waitForTemplate('docker')
  sandbox = await Sandbox.create('docker', { timeoutMs: 900_000, lifecycle: { onTimeout: 'pause' } })
  created.push(sandbox)
  const names = ['Dockerfile', 'package.json', 'server.js', 'compose.yaml'].map((name) => `app/${name}`)
  await sandbox.files.write(
    [...names, 'make-image.sh', 'fuse-hello.py', 'hold-tun.py'].map((name) => ({
      path: `/home/user/${name}`,
      data: fileOf(name),
    })),
  )
}, BUILD_TIMEOUT_MS)

afterAll(() => Promise.allSettled(created.map((one) => one.kill())))

test('docker builds and runs a small Node application, without sudo and flags', async () => {
  await run('sh make-image.sh > image.tar && docker import image.tar node:24-slim')
  await run(`docker build -t app ${APP}`)
  await run('docker run -d --name web -e NAME=docker -p 3000:3000 app')
  expect(await run(`${curl}:3000`)).toMatch(/^docker v24\./)
  expect(await run('docker exec web node -p "6 * 7"')).toBe('42')
})

test('docker compose starts services on the network of the sandbox', async () => {
  await run(`cd ${APP} && docker compose up --build -d`)
  for (const [name, port] of [
    ['first', 3001],
    ['second', 3002],
  ])
    expect(await run(`${curl}:${port}`)).toMatch(`${name} v24.`)
  await run(`cd ${APP} && docker compose down -t 0`)
  expect(await run('docker ps --format {{.Names}}')).toBe('web')
})

test('podman runs containers as root, without flags', async () => {
  await run(
    'podman import image.tar node:24-slim && podman run -d --name pod node:24-slim sleep 100000',
    'root',
  )
  expect(await run('podman exec pod node -p "6 * 7"', 'root')).toBe('42')
})

test('containers and FUSE mounts survive pause, snapshot and restore', async () => {
  await startProgram('python3 fuse-hello.py', 'grep -q served /mnt/hello/world')
  const works = async (of: Sandbox) => {
    expect(await run('curl -sS localhost:3000', 'user', of)).toMatch(/^docker v24\./)
    expect(await run('docker exec web node -p "6 * 7"', 'user', of)).toBe('42')
    expect(await run('docker run --rm app node -p "1 + 1"', 'user', of)).toBe('2')
    expect(await run('podman exec pod cat /etc/passwd', 'root', of)).toContain('root')
    expect(await run('cat /mnt/hello/world', 'user', of)).toBe('served')
  }
  const { snapshotId } = await sandbox.createSnapshot()
  const copy = await Sandbox.create(snapshotId, { timeoutMs: 600_000 })
  created.push(copy)
  await works(copy)
  await copy.kill()
  await Sandbox.deleteSnapshot(snapshotId)
  expect(await sandbox.pause()).toBe(true)
  sandbox = await Sandbox.connect(sandbox.sandboxId, { timeoutMs: 900_000 })
  await works(sandbox)
})

test('what cannot be saved is named by the error of a pause, and the sandbox goes on', async () => {
  await startProgram('python3 hold-tun.py > tun.log', 'grep -q open tun.log')
  const device = /422.*process \d+ \(python3\) holds \/dev\/net\/tun, and tun devices cannot be saved/
  await expect(sandbox.pause()).rejects.toThrow(device)
  await expect(sandbox.createSnapshot()).rejects.toThrow(device)
  await run('pkill -f [h]old-tun', 'root').catch(() => {})
  await run('docker network create apart && docker run -d --name apart --network apart -p 3003:3000 app')
  expect(await run(`${curl}:3003`)).toMatch(/^image v24\./)
  await expect(sandbox.pause()).rejects.toThrow(/422.*there is the bridge br-\w+, and bridges/)
  expect(await run('docker exec web node -p "6 * 7"')).toBe('42')
})

test('at its deadline the sandbox is paused nevertheless, without what cannot be saved', async () => {
  await startProgram('python3 hold-tun.py > tun.log', 'grep -q open tun.log')
  await sandbox.setTimeout(1)
  const state = async () => (await Sandbox.getInfo(sandbox.sandboxId)).state
  await vi.waitFor(async () => expect(await state()).toBe('paused'), { timeout: 120_000, interval: 200 })
  sandbox = await Sandbox.connect(sandbox.sandboxId, { timeoutMs: 600_000 })
  expect(await run('pgrep -fc [h]old-tun || true', 'root')).toBe('0')
  expect(await run('docker exec web node -p "6 * 7"')).toBe('42')
})
