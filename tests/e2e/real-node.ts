import { chown, mkdir, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { FolderArchives, LocalNode } from '@sandlot/node'
import { SandlotError } from '@sandlot/protocol'
import { FIRST_VOLUME_ID, type VolumeDirectories } from '@sandlot/protocol/node'
import { loadConfig } from '@sandlot/sandlot/config'
import { buildCacheLimits } from '@sandlot/sandlot/machine'
import { removeMachines } from '@sandlot/sandlot/remove-machines'
import { prepareMachine } from '@sandlot/sandlot/setup/index'
import { runscVersion } from '@sandlot/sandlot/setup/runsc'
import { unmountBelow } from '@sandlot/sandlot/unmount-below'
import pino from 'pino'
import { CHECKOUT, rangeOf } from '../server.ts'

const silent = {
  async step(_name: string, work: (step: { update(): void }) => Promise<string>) {
    await work({ update() {} })
  },
}

export interface RealNodeOptions {
  home: string
  /** Home of a server on this machine, whose base image is used: the key depends on how the code was loaded. */
  imageOf: string
  networkRange: string
  volumes: VolumeDirectories
}

/** Home of a node that a test opens itself. */
export const nodeHome = (name: string): string => join(tmpdir(), `sandlot-test-${name}-${CHECKOUT}`)

/** Opens a node in this process, without a server. */
export async function openRealNode(options: RealNodeOptions): Promise<LocalNode> {
  const { home, volumes } = options
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
    baseImage: await baseImageOf(options.imageOf),
    resources: { cpuCount: settings.cpuCount, memoryMB: settings.memoryMB, diskSizeMB: settings.diskSizeMB },
    networkRange: rangeOf(options.networkRange),
    volumes,
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

async function baseImageOf(home: string): Promise<{ path: string; key: string }> {
  const builds = join(home, 'builds')
  const [buildId] = await readdir(builds)
  const { imagePath } = JSON.parse(await readFile(join(builds, buildId!, 'manifest.json'), 'utf8'))
  return { path: imagePath, key: basename(imagePath, '.erofs').replace('base-', '') }
}

/** Removes the machines of a home, then the home. */
export async function removeHome(home: string): Promise<void> {
  await removeMachines(home)
  await unmountBelow(home)
  await rm(home, { recursive: true, force: true })
}

/** Volumes that are plain folders. They are outside of every home, as a home is removed recursively. */
export class FolderVolumes implements VolumeDirectories {
  readonly dir: string
  /** How often each volume is attached. */
  readonly users = new Map<string, number>()

  constructor(dir: string) {
    this.dir = dir
  }

  async create(volumeId: string): Promise<string> {
    const directory = this.pathOf(volumeId)
    await mkdir(directory, { recursive: true })
    await chown(directory, FIRST_VOLUME_ID, FIRST_VOLUME_ID)
    return directory
  }

  pathOf(volumeId: string): string {
    return join(this.dir, volumeId)
  }

  async attach(volumeId: string): Promise<{ directory: string }> {
    const names = await readdir(this.dir)
    if (!names.includes(volumeId)) throw new SandlotError('not_found', `volume '${volumeId}' does not exist`)
    this.users.set(volumeId, (this.users.get(volumeId) ?? 0) + 1)
    return { directory: this.pathOf(volumeId) }
  }

  async release(volumeId: string): Promise<void> {
    this.users.set(volumeId, this.users.get(volumeId)! - 1)
  }
}
