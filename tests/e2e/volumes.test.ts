import {
  appendFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs'
import { readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { LocalNode } from '@sandlot/node'
import { runInGuest } from '@sandlot/node/guest/guest-process'
import { namesFor } from '@sandlot/node/instance-names'
import { newCheckpointId } from '@sandlot/protocol'
import { type Machine, OPEN, type VolumeMount } from '@sandlot/protocol/node'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, inject, test } from 'vitest'
import { FolderVolumes, nodeHome, openRealNode, removeHome } from './real-node.ts'

const home = nodeHome('volumes')
const volumes = new FolderVolumes(`${home}-data`)
const { mountsDir } = namesFor(home)
const OWNER = { owner: 'team', sandboxId: 'isandbox', network: OPEN }
const KEEPS_DATA = 'KEEPS: unmounting never deletes'

let node: LocalNode
let baseId: string
const started: string[] = []
const saved: string[] = []

const known = (sessionId: string) => ({
  instanceId: 'a0000000-0000-4000-8000-000000000000',
  sessionId,
  inUse: [],
  frozen: [],
  ended: [],
  checkpoints: [],
  builds: [],
})
const data = (path: string, more: Partial<VolumeMount> = {}): VolumeMount => ({
  volumeId: 'data',
  name: 'data',
  path,
  ...more,
})
const mountsOf = (part = '') =>
  readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .map((line) => line.split(' ')[4] ?? '')
    .filter((target) => target.startsWith(`${mountsDir}/${part}`))
const onHost = (name: string) => join(volumes.pathOf('data'), name)

beforeAll(async () => {
  await removeHome(home)
  await rm(volumes.dir, { recursive: true, force: true })
  await volumes.create('data')
  await volumes.create('other')
  node = await openRealNode({ home, imageOf: inject('server').home, networkRange: '10.168.0.0/16', volumes })
  const { builds } = await node.join(known('first'))
  baseId = builds[0]!.buildId
}, 10 * 60_000)
afterAll(async () => {
  await node?.close()
  await removeHome(home)
  expect(existsSync(mountsDir)).toBe(false)
  expect(readFileSync(onHost('kept'), 'utf8')).toBe(KEEPS_DATA)
  await rm(volumes.dir, { recursive: true, force: true })
}, 120_000)
beforeEach(() => {
  for (const name of readdirSync(volumes.pathOf('data'))) rmSync(onHost(name), { recursive: true })
  writeFileSync(onHost('kept'), KEEPS_DATA)
})
afterEach(async () => {
  for (const machineId of started.splice(0)) await node.stop(machineId)
  for (const checkpointId of saved.splice(0)) await node.removeCheckpoint(checkpointId)
  expect(readFileSync(onHost('kept'), 'utf8')).toBe(KEEPS_DATA)
})

async function init<M extends Machine>(machine: M): Promise<M> {
  started.push(machine.machineId)
  const identity = { sandboxId: `i${machine.machineId}`, templateId: 'base', accessToken: '', envVars: {} }
  await node.init(machine.machineId, { ...identity, defaultUser: 'user' })
  return machine
}
const start = async (...mounts: VolumeMount[]) =>
  init(await node.acquire(baseId, { ...OWNER, volumes: mounts }))
const resume = async (checkpointId: string, ...mounts: VolumeMount[]) =>
  init(await node.resume(checkpointId, { ...OWNER, hasMemory: true, volumes: mounts }))

/** Runs a command. @returns its output, trimmed, with `exit <n>` when it failed */
async function run({ address }: Machine, command: string, user = 'root'): Promise<string> {
  let text = ''
  const onOutput = (part: string) => {
    text += part
  }
  const exitCode = await runInGuest(address, { command, user, onOutput, signal: AbortSignal.timeout(30_000) })
  return `${text.trim()}${exitCode === 0 ? '' : ` exit ${exitCode}`}`.trim()
}

const inBackground = (command: string) => `(${command}) > /dev/null 2>&1 < /dev/null &`

/** Pauses a machine and ends it, so that its memory is only in the checkpoint. */
async function putAway({ machineId }: Machine): Promise<string> {
  const checkpointId = newCheckpointId()
  saved.push(checkpointId)
  await node.pause(machineId, checkpointId, { hasMemory: true })
  await node.stop(machineId)
  return checkpointId
}

describe('a volume', () => {
  test('shows what another machine writes at once, with its owners', async () => {
    const [one, two] = [await start(data('/mnt/data')), await start(data('/srv/some where'))]
    await run(one, 'chmod 777 /mnt/data')
    await run(one, 'echo hello > /mnt/data/file && mkdir -m 700 /mnt/data/own', 'user')
    expect(await run(two, 'cat "/srv/some where/file"; stat -c "%U %a" "/srv/some where/own"')).toBe(
      'hello\nuser 700',
    )
    expect(statSync(onHost('file')).uid).toBe(101_000)
    const asNobody = 'setpriv --reuid=65534 --clear-groups ls "/srv/some where/own"'
    expect(await run(two, asNobody)).toContain('Permission denied')
  })

  test('that is read-only stays so, also for root, beside a writable mount of the same volume', async () => {
    const machine = await start(data('/ro', { isReadOnly: true }), data('/rw'))
    await run(machine, 'echo 1 > /rw/file; exec 3<> /rw/file')
    expect(await run(machine, 'echo 2 > /ro/file')).toContain('Read-only file system')
    expect(await run(machine, 'mount -o remount,rw /ro; echo 2 > /ro/file')).toContain(
      'Read-only file system',
    )
    expect(await run(machine, 'mount --bind /ro /bound; touch /ro/x; rm /ro/file')).toContain(
      'Read-only file system',
    )
    expect(readFileSync(onHost('file'), 'utf8')).toBe('1\n')
  })

  test('is used again at another path and writability in turn', async () => {
    const machine = await start()
    for (let i = 0; i < 20; i++) {
      const isReadOnly = i % 2 === 1
      await node.mountVolume(machine.machineId, data('/mnt/data', { isReadOnly }))
      const wrote = await run(machine, `echo ${i} > /mnt/data/file`)
      expect(wrote).toContain(isReadOnly ? 'Read-only file system' : '')
      expect(readFileSync(onHost('file'), 'utf8')).toBe(`${i - (i % 2)}\n`)
      expect(await node.unmountVolume(machine.machineId, '/mnt/data')).toBe(true)
    }
  })

  test('gives a guest no way to the host: links, device files and setuid programs', async () => {
    const machine = await start(data('/mnt/data'))
    writeFileSync(join(volumes.dir, 'secret'), 'of the host')
    await run(machine, `ln -s ${volumes.dir}/secret /mnt/data/link; ln -s ../secret /mnt/data/up`)
    expect(await run(machine, 'cat /mnt/data/link /mnt/data/up')).not.toContain('of the host')
    expect(await run(machine, 'mknod /mnt/data/disk b 254 0')).toContain('not permitted')
    await run(machine, 'cp /bin/id /mnt/data/id; chmod 4755 /mnt/data/id')
    expect(statSync(onHost('id')).uid).toBe(100_000)
    await run(machine, 'rm -f /mnt/data/{link,up,id}')
    unlinkSync(join(volumes.dir, 'secret'))
  })

  test('is mounted where a link of the guest leads, inside the guest, and never over the system', async () => {
    const machine = await start()
    await run(machine, 'mkdir /target; ln -s /target /link; ln -s /proc /evil')
    await node.mountVolume(machine.machineId, data('/link'))
    expect(await run(machine, 'ls /target')).toContain('kept')
    for (const path of ['/', '/proc', '/evil/sub', '/dev', '/run/sandlot/volumes/1', '/opt'])
      await expect(node.mountVolume(machine.machineId, data(path))).rejects.toMatchObject({
        errorName: 'invalid_request',
        message: expect.stringContaining(`path '${path}'`),
      })
    expect(await run(machine, 'echo alive')).toBe('alive')
  })

  test('is unmounted while it is in use, and what is written afterwards is not in it', async () => {
    const machine = await start(data('/mnt/data'))
    await run(machine, inBackground('cd /mnt/data; exec sleep 1000 3>> open'))
    expect(await node.unmountVolume(machine.machineId, '/mnt/data')).toBe(true)
    expect(await run(machine, 'ls /mnt/data')).toBe('')
    expect(volumes.users.get('data')).toBe(0)
    expect(mountsOf(`volumes/${machine.machineId}/`)).toEqual([])
    await run(machine, 'echo lost > /mnt/data/file')
    expect(existsSync(onHost('file'))).toBe(false)
  })
})

describe('a paused machine', () => {
  test('finds its volumes with open files where they were, with what was written meanwhile', async () => {
    const machine = await start(data('/mnt/data'), data('/ro', { isReadOnly: true }))
    await run(machine, inBackground('cd /mnt/data; exec 3>> log; while sleep 0.1; do echo tick >&3; done'))
    const checkpointId = await putAway(machine)
    await expect.poll(() => volumes.users.get('data')).toBe(0)
    appendFileSync(onHost('log'), 'from outside\n')
    const again = await resume(checkpointId, data('/mnt/data'), data('/ro', { isReadOnly: true }))
    expect(await run(again, 'grep outside /mnt/data/log')).toBe('from outside')
    await expect.poll(() => readFileSync(onHost('log'), 'utf8').split('outside\n')[1]).toContain('tick')
    expect(await run(again, 'touch /ro/x')).toContain('Read-only file system')
  })

  test('whose open files were deleted or replaced runs again, with the volume as it is now', async () => {
    const machine = await start(data('/mnt/data'))
    await run(machine, 'cd /mnt/data; mkdir -p folder; touch folder/a b c')
    await run(machine, inBackground('exec 3< /mnt/data/folder/a 4<> /mnt/data/b; exec sleep 1000'))
    await run(machine, inBackground('cd /mnt/data/folder; exec 3< /mnt/data/c; exec sleep 1000'))
    const checkpointId = await putAway(machine)
    await rm(onHost('folder'), { recursive: true })
    unlinkSync(onHost('b'))
    unlinkSync(onHost('c'))
    mkdirSync(onHost('c'))
    const again = await resume(checkpointId, data('/mnt/data'))
    expect(await run(again, 'pidof sleep | wc -w; ls /mnt/data')).toBe('2\nc\nkept')
    await run(again, 'echo new > /mnt/data/new; rmdir /mnt/data/c')
    expect(readFileSync(onHost('new'), 'utf8')).toBe('new\n')
    const third = await resume(await putAway(again), data('/mnt/data'))
    expect(await run(third, 'cat /mnt/data/new')).toBe('new')
  })

  test('whose volume is gone runs without it, and writes nothing to the host', async () => {
    const machine = await start(data('/mnt/data'))
    await run(machine, 'touch /mnt/data/file')
    const checkpointId = await putAway(machine)
    const gone = data('/mnt/data', { volumeId: 'gone' })
    const again = await resume(checkpointId, gone)
    expect(await run(again, 'ls /mnt/data; touch /mnt/data/file; echo alive')).toBe('alive')
    expect(readdirSync(volumes.pathOf('data'))).toContain('file')
  })

  test('gets volumes that it did not have before', async () => {
    const checkpointId = await putAway(await start())
    const again = await resume(checkpointId, data('/mnt/data'))
    await run(again, 'echo 1 > /mnt/data/file')
    expect(readFileSync(onHost('file'), 'utf8')).toBe('1\n')
  })

  test('is not paused while a process holds a file that another one has deleted, unless that may be killed', async () => {
    const machine = await start(data('/mnt/data'))
    await run(machine, inBackground('echo 1 > /mnt/data/held; exec sleep 1000 < /mnt/data/held'))
    await expect.poll(() => run(machine, 'ls -l /proc/*/fd/0 | grep -c held')).toBe('1')
    unlinkSync(onHost('held'))
    await run(machine, 'ls /mnt/data/held')
    const checkpointId = newCheckpointId()
    saved.push(checkpointId)
    const pause = (mayKill: boolean) =>
      node.pause(machine.machineId, checkpointId, { hasMemory: true, mayKill })
    await expect(pause(false)).rejects.toMatchObject({
      errorName: 'checkpoint_blocked',
      message: expect.stringMatching(/process \d+ \(sleep\) holds \/mnt\/data\/held/),
    })
    expect(await run(machine, 'pidof sleep | wc -w')).toBe('1')
    await pause(true)
    await node.stop(machine.machineId)
    expect(await run(await resume(checkpointId, data('/mnt/data')), 'pidof sleep || echo none')).toBe('none')
  })
})

describe('a snapshot of a machine with a volume', () => {
  const WORD = 'secret-content-of-the-volume'

  test('starts machines that share the volume, and contains nothing of it', async () => {
    const machine = await start(data('/mnt/data'))
    await run(machine, `echo ${WORD} > /mnt/data/file; sync`)
    const checkpointId = newCheckpointId()
    saved.push(checkpointId)
    await node.snapshot(machine.machineId, checkpointId, { hasMemory: false, isTransient: true })
    for (const file of readdirSync(join(home, 'checkpoints', checkpointId), {
      recursive: true,
      withFileTypes: true,
    }))
      if (file.isFile()) expect((await readFile(join(file.parentPath, file.name))).includes(WORD)).toBe(false)
    const memory = newCheckpointId()
    saved.push(memory)
    await node.snapshot(machine.machineId, memory, { hasMemory: true, isTransient: true })
    const forks = [await resume(memory, data('/mnt/data')), await resume(memory, data('/mnt/data'))]
    for (const [index, fork] of forks.entries()) await run(fork, `echo ${index} > /mnt/data/${index}`)
    expect(await run(machine, 'cat /mnt/data/file /mnt/data/0 /mnt/data/1')).toBe(`${WORD}\n0\n1`)
  })

  test('starts machines without the volume, where its path is an ordinary folder', async () => {
    const machine = await start(data('/mnt/data'))
    await run(machine, inBackground(`echo ${WORD} > /mnt/data/file; exec sleep 1000 < /mnt/data/file`))
    const memory = newCheckpointId()
    saved.push(memory)
    const { resources } = await node.snapshot(machine.machineId, memory, {
      hasMemory: true,
      isTransient: false,
    })
    const build = {
      buildId: 'c0000000-0000-4000-8000-000000000000',
      name: 's',
      defaultUser: 'user',
      ...resources,
    }
    await node.addBuild({ ...build, checkpointId: memory, sandboxId: 'i1' })
    const other = await init(await node.acquire(build.buildId, OWNER))
    expect(await run(other, 'ls /mnt/data; touch /mnt/data/mine; ls /mnt/data')).toBe('mine')
    expect(existsSync(onHost('mine'))).toBe(false)
    const third = await init(await node.acquire(build.buildId, { ...OWNER, volumes: [data('/mnt/data')] }))
    expect(await run(third, 'cat /mnt/data/file')).toBe(WORD)
    await node.removeBuild(build.buildId)
  })
})

test('the end of a machine leaves no mount and every file', async () => {
  const machine = await start(data('/mnt/data'))
  await run(machine, 'for i in $(seq 100); do echo $i > /mnt/data/$i; done')
  await node.stop(machine.machineId)
  await expect.poll(() => mountsOf(`volumes/${machine.machineId}`)).toEqual([])
  expect(readdirSync(volumes.pathOf('data'))).toHaveLength(101)
})

test('machines without volumes make no mount and no call of envd when they are claimed', async () => {
  const machine = await start()
  expect(mountsOf(`volumes/${machine.machineId}`)).toHaveLength(1)
  expect(existsSync(join(home, 'run/machines', machine.machineId, 'volumes.json'))).toBe(false)
})
