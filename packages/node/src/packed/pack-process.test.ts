import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import pino from 'pino'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { FolderStore } from '../objects/folder-store.ts'
import type { PackProcessArgument } from './pack-process.ts'
import { PackedCheckpoints } from './packed-checkpoints.ts'
import { age, filesBelow, folderHashes, imageLike, writeRawFolder } from './raw-folders.fixture.ts'

const ENTRY = fileURLToPath(new URL('./pack-process.ts', import.meta.url))
const ROUNDS = 8
const MB = 1024 * 1024
const logger = pino({ level: 'silent' })

let dir: string
let storeDir: string

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'sandlot-pack-'))
  storeDir = join(dir, 'store')
  await FolderStore.open(storeDir)
})
afterEach(() => rm(dir, { recursive: true, force: true }))

function start(argument: Omit<PackProcessArgument, 'storeDir' | 'parentPid'>, parentPid = process.pid) {
  const full: PackProcessArgument = { storeDir, parentPid, ...argument }
  return spawn(process.execPath, [ENTRY, JSON.stringify(full)], { stdio: ['ignore', 'ignore', 'pipe'] })
}

test('when the process is killed at any moment, the checkpoint is complete or does not exist, and no temporary file remains', async () => {
  const rawDir = await writeRawFolder(join(dir, 'raw'), {
    'pages.img': imageLike(12 * MB),
    'checkpoint.img': imageLike(MB),
  })
  const expected = await folderHashes(rawDir)
  const startMs = performance.now()
  await once(start({ id: 'whole', rawDir }), 'exit')
  const durationMs = performance.now() - startMs

  for (let round = 0; round < ROUNDS; round++) {
    await rm(storeDir, { recursive: true, force: true })
    await FolderStore.open(storeDir)
    const child = start({ id: 'killed', rawDir })
    await sleep((durationMs * (round + Math.random())) / ROUNDS)
    child.kill('SIGKILL')
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit')

    const checkpoints = await PackedCheckpoints.open({ dir: storeDir, logger, graceMs: 0 })
    await age(await filesBelow(storeDir))
    const target = join(dir, `target-${round}`)
    if (await checkpoints.has('killed')) {
      await checkpoints.expand('killed', target)
      expect(await folderHashes(target)).toEqual(expected)
      expect(await checkpoints.collectGarbage({ isDryRun: false })).toMatchObject({ chunks: 0 })
    } else {
      await checkpoints.collectGarbage({ isDryRun: false })
      expect(await filesBelow(storeDir)).toEqual([])
      if (round % 4 === 0) {
        await checkpoints.pack('killed', rawDir)
        await checkpoints.expand('killed', target)
        expect(await folderHashes(target)).toEqual(expected)
      }
    }
    await checkpoints.close()
  }
}, 60_000)

test('the packing process ends without a manifest when its server is gone', async () => {
  const rawDir = await writeRawFolder(join(dir, 'raw'), { 'pages.img': imageLike(MB) })
  const child = start({ id: 'orphan', rawDir }, process.pid + 1)
  let stderr = ''
  child.stderr.on('data', (data) => {
    stderr += data
  })
  const [exitCode] = await once(child, 'close')
  expect(exitCode).toBe(1)
  expect(JSON.parse(stderr)).toEqual({
    errorName: 'server_draining',
    message: "packing of 'orphan' ends: the server is gone",
  })
  expect(await readdir(storeDir)).not.toContain('checkpoints')
})
