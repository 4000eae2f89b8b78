import { access, mkdir, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { FolderArchives, LocalNode, unlistedIn } from '@sandlot/node'
import { nodeContract } from '@sandlot/protocol/node-contract'
import { loopbackTo } from '@sandlot/protocol/test-support/loopback-node'
import { loadConfig } from '@sandlot/sandlot/config'
import { buildCacheLimits } from '@sandlot/sandlot/machine'
import { removeMachines } from '@sandlot/sandlot/remove-machines'
import { prepareMachine } from '@sandlot/sandlot/setup/index'
import { runscVersion } from '@sandlot/sandlot/setup/runsc'
import pino from 'pino'
import { afterAll, beforeAll, inject } from 'vitest'
import { CHECKOUT, rangeOf } from '../server.ts'

const home = join(tmpdir(), `sandlot-test-node-contract-${CHECKOUT}`)
const silent = {
  async step(_name: string, work: (step: { update(): void }) => Promise<string>) {
    await work({ update() {} })
  },
}

let node: LocalNode

/** The image that the server of this suite starts from: its key depends on how the code was loaded. */
async function baseImage(): Promise<{ path: string; key: string }> {
  const builds = join(inject('server').home, 'builds')
  const [buildId] = await readdir(builds)
  const { imagePath } = JSON.parse(await readFile(join(builds, buildId!, 'manifest.json'), 'utf8'))
  return { path: imagePath, key: basename(imagePath, '.erofs').replace('base-', '') }
}

async function removeHome(): Promise<void> {
  await removeMachines(home)
  await rm(home, { recursive: true, force: true })
}

/** One real node for both suites: the second joins it while it runs. */
async function openNode(): Promise<LocalNode> {
  await removeHome()
  await mkdir(home, { recursive: true })
  const { SANDLOT_CACHE } = process.env
  const config = loadConfig({ env: { ...(SANDLOT_CACHE && { SANDLOT_CACHE }) }, flags: { home } })
  const { settings } = config
  const programs = await prepareMachine(config, silent)
  return LocalNode.open({
    home,
    runscPath: programs.runsc,
    runscVersion: await runscVersion(programs.runsc),
    guestDir: dirname(programs.envd),
    baseImage: await baseImage(),
    resources: { cpuCount: settings.cpuCount, memoryMB: settings.memoryMB, diskSizeMB: settings.diskSizeMB },
    networkRange: rangeOf('10.167.0.0/16'),
    maxConnections: settings.sandboxConnections,
    maxSlots: 32,
    poolMin: 1,
    poolMax: 2,
    memoryFloorMB: settings.poolMemoryFloorMB,
    diskFloorMB: settings.diskFloorMB,
    hotPauseMs: settings.hotPauseSeconds * 1000,
    unpackedBytes: settings.unpackedCheckpointsMB * 2 ** 20,
    imagerPath: programs.imager,
    sharedBuildsDir: join(home, 'shared-builds'),
    unlistedGraceMs: settings.unlistedGraceDays * 24 * 3600_000,
    archives: new FolderArchives(join(home, 'uploads')),
    buildCache: buildCacheLimits(settings),
    logger: pino({ level: process.env.TEST_LOG_LEVEL ?? 'silent' }),
  })
}

beforeAll(async () => {
  node = await openNode()
}, 20 * 60_000)
afterAll(async () => {
  await node?.close()
  await removeHome()
}, 120_000)

const underContract = () => ({
  node,
  async killMachine(machineId: string) {
    const pid = Number(await readFile(join(home, 'run/machines', machineId, 'pid'), 'utf8'))
    process.kill(pid, 'SIGKILL')
  },
  async unlisted() {
    const { checkpoints, machines } = await unlistedIn(home)
    return [...checkpoints, ...machines].map(({ id }) => id)
  },
  isFrozen: (machineId: string) => pathExists(join(home, 'run/machines', machineId, 'frozen')),
  close: async () => {},
})

const pathExists = (path: string): Promise<boolean> =>
  access(path).then(
    () => true,
    () => false,
  )

nodeContract('a real node', async () => underContract())

nodeContract('a real node behind a wire', async () => ({ ...underContract(), node: loopbackTo(node).node }))
