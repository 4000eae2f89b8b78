import { randomUUID } from 'node:crypto'
import { mkdirSync, mkdtempSync, readdirSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { SnapshotBuild } from '@sandlot/protocol/node'
import pino from 'pino'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { SPEC_VERSION } from '../engine/oci-spec.ts'
import type { LiveMachine, MachineSource } from '../machines/machine.ts'
import { PackedCheckpoints } from '../packed/packed-checkpoints.ts'
import { CheckpointFolder } from './checkpoint-folder.ts'
import { CheckpointTiers } from './checkpoint-tiers.ts'
import { Persistence, type PersistenceOptions } from './persistence.ts'
import { StartableCheckpoints } from './startable-checkpoints.ts'

const PACKED_WITHIN_MS = 60_000
vi.setConfig({ testTimeout: 2 * PACKED_WITHIN_MS })
const ENGINE = 'release-2'
const resources = { cpuCount: 2, memoryMB: 512, diskSizeMB: 1024 }

let dir: string
let folder: CheckpointFolder
let tiers: CheckpointTiers
let startable: StartableCheckpoints
let renewals: string[]
let failRenewal = 0
const errors: unknown[] = []
const onError = (error: unknown) => void errors.push(error)

beforeEach(async () => {
  dir = mkdtempSync(join(tmpdir(), 'sandlot-sources-'))
  folder = new CheckpointFolder(join(dir, 'checkpoints'))
  await folder.prepare()
  const packed = await PackedCheckpoints.open({ dir: join(dir, 'packed'), logger: pino({ level: 'silent' }) })
  tiers = new CheckpointTiers({
    folder,
    packed,
    startPriority: { wait: async () => {} },
    unpackedBytes: 0,
    onError,
  })
  renewals = []
  errors.length = 0
  const persistence = new Persistence({
    folder,
    tiers,
    onError,
    driver: { version: ENGINE },
    machines: { end: async () => {} },
  } as unknown as PersistenceOptions)
  startable = new StartableCheckpoints({
    tiers,
    persistence,
    engineVersion: ENGINE,
    renew: async (checkpointId) => {
      renewals.push(checkpointId)
      if (failRenewal-- > 0) throw new Error('it does not boot')
    },
  })
})
afterEach(async () => {
  await tiers.close()
  rmSync(dir, { recursive: true, force: true })
})

const unpacked = () => readdirSync(join(dir, 'checkpoints'))
const machine = { machineId: 'm' } as LiveMachine

/** Saves a checkpoint that is only packed, as most are. */
async function saved(
  letter: string,
  { isTemplate = false, engineVersion = ENGINE, specVersion = SPEC_VERSION } = {},
) {
  const checkpointId = `c${letter.repeat(20)}`
  const described = {
    hasMemory: true,
    engineVersion,
    specVersion,
    resources,
    imagePath: '/image',
    guestDir: dir,
    cpuFeatures: [],
    ...(isTemplate && { template: { environment: { defaultUser: 'user', envVars: {} } } }),
  }
  await folder.write(checkpointId, described, async ({ memoryDir, filesDir }) => {
    for (const part of [memoryDir, filesDir]) {
      mkdirSync(part)
      writeFileSync(join(part, 'pages.img'), letter.repeat(50_000))
    }
  })
  await folder.seal(checkpointId)
  tiers.pack(checkpointId)
  await expect.poll(unpacked, { timeout: PACKED_WITHIN_MS }).toEqual([])
  const sandboxId = isTemplate ? undefined : 'isource'
  const build: SnapshotBuild = {
    buildId: randomUUID(),
    name: letter,
    defaultUser: 'user',
    checkpointId,
    sandboxId,
    ...resources,
  }
  startable.add(build)
  return build
}

test('a checkpoint is unpacked only when a machine is started from it', async () => {
  const builds = [await saved('a'), await saved('b'), await saved('c', { isTemplate: true })]
  await startable.prepareTemplates(onError)
  for (const { buildId } of builds) await startable.prepare(buildId)
  expect([unpacked(), renewals, errors]).toEqual([[], [], []])
  let source: MachineSource | undefined
  const started = await startable.start(builds[1]!.buildId, async (from) => {
    expect(unpacked()).toEqual([builds[1]!.checkpointId])
    source = from
    return machine
  })
  expect(started).toBe(machine)
  expect(source).toMatchObject({ buildId: builds[1]!.buildId, imagePath: '/image', hasUserProcesses: true })
})

test('a template of another engine is renewed once for concurrent callers, a snapshot never', async () => {
  const template = await saved('a', { isTemplate: true, engineVersion: 'release-1' })
  const snapshot = await saved('b', { engineVersion: 'release-1' })
  await Promise.all([
    startable.prepareTemplates(onError),
    ...[template, template, snapshot].map(({ buildId }) => startable.prepare(buildId)),
  ])
  expect([renewals, unpacked()]).toEqual([[template.checkpointId], []])
})

test('a template whose renewal failed is renewed by the next caller', async () => {
  const { buildId, checkpointId } = await saved('a', { isTemplate: true, engineVersion: 'release-1' })
  failRenewal = 1
  await startable.prepareTemplates(onError)
  expect(errors).toMatchObject([{ message: 'it does not boot' }])
  await startable.prepare(buildId)
  expect(renewals).toEqual([checkpointId, checkpointId])
})

test('a damaged checkpoint is not handed out; files are verified once', async () => {
  const { buildId, checkpointId } = await saved('a')
  const pages = join(folder.paths(checkpointId).memoryDir, 'pages.img')
  // in use meanwhile, so that the unpacked copy stays
  await tiers.use(checkpointId, async () => {
    truncateSync(pages, 1)
    expect(await startable.start(buildId, async () => machine)).toBe(machine)
    expect(errors.splice(0)).toMatchObject([{ message: expect.stringContaining('unpacked again') }])
    truncateSync(pages, 1)
    expect(await startable.start(buildId, async () => machine)).toBe(machine)
    expect(errors).toEqual([])
  })
})

test('a removed build is not found', async () => {
  const { buildId } = await saved('a')
  startable.remove(buildId)
  expect(startable.has(buildId)).toBe(false)
  await expect(startable.start(buildId, async () => machine)).rejects.toMatchObject({
    errorName: 'not_found',
  })
})
