import { SandlotError, toMB } from '@sandlot/protocol'
import type { CheckpointInfo, Resumed, ResumeOptions, SnapshotOptions } from '@sandlot/protocol/node'
import { commandIn } from '../builder/recipe.ts'
import { cpuFeatures } from '../engine/cpu-features.ts'
import type { Driver } from '../engine/driver.ts'
import type { LoginCommand } from '../guest/login-command.ts'
import type { Cgroups } from '../machines/cgroups.ts'
import type { LiveMachine, MachineSource } from '../machines/machine.ts'
import type { Machines } from '../machines/machines.ts'
import { diskSpace } from '../pressure/disk-space.ts'
import { toSlotVolumes } from '../volumes/volume-table.ts'
import type { CheckpointFolder, CheckpointPart } from './checkpoint-folder.ts'
import type { CheckpointManifest } from './checkpoint-manifest.ts'
import type { CheckpointTiers } from './checkpoint-tiers.ts'
import { findIncompatibility } from './compatibility.ts'
import type { FrozenMachines } from './frozen-machines.ts'
import { findHolders, findObstacle, obstacleError } from './save-obstacles.ts'

/** Disk space to keep free besides the expected size of a checkpoint. */
const SPARE_BYTES = 64 * 2 ** 20
/** Processes that are in the way of a save may start others that are too. */
const MAX_KILLS = 3

export interface PersistenceOptions {
  /** Folder on the file system of the checkpoints. */
  checkpointsDir: string
  folder: CheckpointFolder
  tiers: CheckpointTiers
  machines: Machines
  driver: Driver
  cgroups: Cgroups
  frozenMachines: FrozenMachines
  /** Starts a machine through the queue that all starts share. */
  start: (key: string, source: MachineSource) => Promise<LiveMachine>
  onError: (error: unknown) => void
}

/** Pauses, snapshots and resumes machines. */
export class Persistence {
  readonly #options: PersistenceOptions

  constructor(options: PersistenceOptions) {
    this.#options = options
  }

  /** @param options.mayKill whether processes that cannot be saved are killed instead of an error */
  async pause(
    machine: LiveMachine,
    checkpointId: string,
    { hasMemory, mayKill = false }: { hasMemory: boolean; mayKill?: boolean },
  ): Promise<CheckpointInfo> {
    const { machines, tiers, onError } = this.#options
    await this.checkSpace(machine, hasMemory)
    const manifest = await this.#writeFrozen(machine, checkpointId, hasMemory, mayKill ? MAX_KILLS : 0)
    if (hasMemory) {
      await machines.unuse(machine)
      this.holdFrozen(machine, checkpointId)
    } else {
      machines.end(machine.machineId).catch(onError)
      tiers.seal(checkpointId)
    }
    return manifest
  }

  /** Freezes and saves a machine. @param kills how often processes may be killed that cannot be saved */
  async #writeFrozen(
    machine: LiveMachine,
    checkpointId: string,
    hasMemory: boolean,
    kills: number,
  ): Promise<CheckpointManifest> {
    const { machines } = this.#options
    await machines.freeze(machine)
    try {
      return await this.#write(machine, checkpointId, hasMemory)
    } catch (error) {
      if (machine.isFrozen) await machines.thaw(machine)
      const obstacle = findObstacle(error)
      if (!obstacle) throw error
      const holders = await findHolders(obstacle, machine, { kill: kills > 0 })
      if (kills === 0 || holders === '') throw obstacleError(obstacle, holders, error)
      return this.#writeFrozen(machine, checkpointId, hasMemory, kills - 1)
    }
  }

  /** Keeps a frozen machine, and saves its file system later for a start without the memory. */
  holdFrozen(machine: LiveMachine, checkpointId: string): void {
    const { folder, tiers, machines, frozenMachines } = this.#options
    frozenMachines.hold(machine, {
      save: async () => {
        if (!(await folder.hasFiles(checkpointId)))
          await folder.addFiles(checkpointId, (filesDir) => machines.saveFileSystem(machine, filesDir))
        tiers.seal(checkpointId)
      },
      // the checkpoint can still be restored from its memory
      onDropped: () => tiers.seal(checkpointId),
    })
  }

  async snapshot(
    machine: LiveMachine,
    checkpointId: string,
    { isTransient, hasMemory }: SnapshotOptions,
  ): Promise<CheckpointInfo & { stoppedMs: number }> {
    await this.checkSpace(machine, hasMemory)
    const started = performance.now()
    const manifest = await this.#write(machine, checkpointId, hasMemory).catch(async (error) => {
      const obstacle = findObstacle(error)
      throw obstacle
        ? obstacleError(obstacle, await findHolders(obstacle, machine, { kill: false }), error)
        : error
    })
    if (!isTransient) this.#options.tiers.seal(checkpointId)
    return { ...manifest, stoppedMs: Math.round(performance.now() - started) }
  }

  async resume(
    checkpointId: string,
    { hasMemory, machineId, owner, sandboxId, network, volumes = [] }: ResumeOptions,
  ): Promise<Resumed> {
    const { machines, frozenMachines } = this.#options
    if (machineId !== undefined && !hasMemory) await frozenMachines.saveFiles(machineId)
    const held = machineId === undefined ? undefined : frozenMachines.claim(machineId)
    if (held && hasMemory && machines.isAlive(held)) {
      held.wantedVolumes = volumes
      return toResumed(held, 'hot')
    }
    if (held) await machines.end(held.machineId)
    return this.#options.tiers.use(checkpointId, async () => {
      const { source, reason } = await this.sourceOf(checkpointId, checkpointId, hasMemory)
      const sandbox = { sandboxId, teamId: owner }
      const machine = await this.#startVerified(checkpointId, {
        ...source,
        owner,
        sandbox,
        network,
        volumes,
      })
      return { ...toResumed(machine, source.checkpointDir ? 'restored' : 'booted'), reason }
    })
  }

  #startVerified(checkpointId: string, source: MachineSource): Promise<LiveMachine> {
    const { folder, start } = this.#options
    return this.#startAndVerify(folder.verify(checkpointId, partOf(source)), start(checkpointId, source))
  }

  /**
   * Starts a machine from a checkpoint that many machines start from; verifies the checkpoint's files with the first
   * start.
   * @param source source with unpacked files
   */
  startVerifiedOnce(source: MachineSource, start: () => Promise<LiveMachine>): Promise<LiveMachine> {
    return this.#startAndVerify(
      this.#options.folder.verifyOnce(source.checkpointId!, partOf(source)),
      start(),
    )
  }

  /**
   * Verifies files during the start, because a restore takes longer than reading the files; a machine from damaged files
   * is ended.
   */
  async #startAndVerify(verifying: Promise<unknown>, starting: Promise<LiveMachine>): Promise<LiveMachine> {
    const { machines, onError } = this.#options
    const [verified, started] = await Promise.allSettled([verifying, starting])
    if (verified.status === 'rejected') {
      if (started.status === 'fulfilled') machines.end(started.value.machineId).catch(onError)
      throw verified.reason
    }
    if (started.status === 'rejected') throw started.reason
    return started.value
  }

  /**
   * @param key stock that the machines belong to
   * @returns the source to start from, and why that is not the requested memory, if so
   */
  async sourceOf(
    checkpointId: string,
    key: string,
    hasMemory: boolean,
  ): Promise<{ source: MachineSource; reason?: string }> {
    const { folder } = this.#options
    const manifest = await folder.read(checkpointId)
    const { memoryDir, filesDir } = folder.paths(checkpointId)
    const source: MachineSource = {
      buildId: key,
      checkpointId,
      imagePath: manifest.imagePath,
      ...manifest.resources,
      hasUserProcesses: manifest.template === undefined,
      readyCommand: readyCommandOf(manifest),
      mountedVolumes: manifest.volumes,
    }
    const incompatibility = findIncompatibility(manifest, this.#options.driver.version)
    if (hasMemory && manifest.hasMemory && !incompatibility)
      return { source: { ...source, guestDir: manifest.guestDir, checkpointDir: memoryDir } }
    if (!(await folder.hasFiles(checkpointId)))
      throw new SandlotError(
        'checkpoint_damaged',
        `checkpoint '${checkpointId}' cannot be started${incompatibility ? `: ${incompatibility}, and` : ':'} it holds no file system of its own`,
      )
    const reason = hasMemory ? incompatibility : undefined
    return { source: { ...source, fileSystemDir: filesDir }, reason }
  }

  #write(machine: LiveMachine, checkpointId: string, hasMemory: boolean): Promise<CheckpointManifest> {
    const { folder, machines, driver } = this.#options
    const { imagePath, guestDir, resources } = machine
    const described = {
      imagePath,
      guestDir,
      resources,
      hasMemory,
      engineVersion: driver.version,
      cpuFeatures: cpuFeatures(),
      volumes: toSlotVolumes(machine.volumes.list()),
    }
    return folder.write(checkpointId, described, ({ memoryDir, filesDir }) =>
      hasMemory ? machines.checkpoint(machine, memoryDir) : machines.saveFileSystem(machine, filesDir),
    )
  }

  /**
   * Frees disk space when there is not enough for a checkpoint.
   * @param leftBytes space that must stay free, at least 64 MiB
   * @throws SandlotError disk_full
   */
  async checkSpace(machine: LiveMachine, hasMemory: boolean, leftBytes = 0): Promise<void> {
    const { checkpointsDir, tiers, cgroups, driver } = this.#options
    const [usage, diskBytes] = await Promise.all([
      cgroups.usage(machine.cgroup),
      driver.diskUsedBytes(machine.pid),
    ])
    const neededBytes =
      diskBytes + (hasMemory ? (usage?.memoryBytes ?? 0) : 0) + Math.max(SPARE_BYTES, leftBytes)
    const freeBytes = () => diskSpace(checkpointsDir).freeBytes
    if (freeBytes() >= neededBytes) return
    if (await tiers.makeRoom(async () => freeBytes() >= neededBytes)) return
    throw new SandlotError(
      'disk_full',
      `saving this sandbox may take ${toMB(neededBytes)} MB and ${checkpointsDir} has ${toMB(freeBytes())} MB left: kill sandboxes or delete snapshots`,
    )
  }
}

const partOf = ({ checkpointDir }: MachineSource): CheckpointPart => (checkpointDir ? 'memory' : 'files')

const readyCommandOf = ({ template }: CheckpointManifest): LoginCommand | undefined =>
  template?.readyCommand ? commandIn(template.environment, template.readyCommand) : undefined

const toResumed = (machine: LiveMachine, how: Resumed['how']): Resumed => ({
  machineId: machine.machineId,
  buildId: machine.buildId,
  address: machine.slot.address,
  how,
})
