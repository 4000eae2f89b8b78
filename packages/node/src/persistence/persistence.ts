import { SandlotError } from '@sandlot/protocol'
import type { CheckpointInfo, Resumed, ResumeOptions, SnapshotOptions } from '@sandlot/protocol/node'
import { commandIn } from '../builder/recipe.ts'
import { cpuFeatures } from '../engine/cpu-features.ts'
import type { Driver } from '../engine/driver.ts'
import type { LoginCommand } from '../guest/login-command.ts'
import type { Cgroups } from '../machines/cgroups.ts'
import type { LiveMachine, MachineSource } from '../machines/machine.ts'
import type { Machines } from '../machines/machines.ts'
import { diskSpace } from '../pressure/disk-space.ts'
import type { CheckpointFolder, CheckpointPart } from './checkpoint-folder.ts'
import type { CheckpointManifest } from './checkpoint-manifest.ts'
import type { CheckpointTiers } from './checkpoint-tiers.ts'
import { findIncompatibility } from './compatibility.ts'
import type { FrozenMachines } from './frozen-machines.ts'

/** Kept free beside what a checkpoint is expected to take. */
const SPARE_BYTES = 64 * 2 ** 20

export interface PersistenceOptions {
  /** Folder whose file system the checkpoints lie on. */
  checkpointsDir: string
  folder: CheckpointFolder
  cold: CheckpointTiers
  machines: Machines
  driver: Driver
  cgroups: Cgroups
  hot: FrozenMachines
  /** Restores in the same queue as everything else that starts. */
  start: (key: string, source: MachineSource) => Promise<LiveMachine>
  onError: (error: unknown) => void
}

/** Puts machines away and takes them out again. */
export class Persistence {
  readonly #options: PersistenceOptions

  constructor(options: PersistenceOptions) {
    this.#options = options
  }

  async pause(machine: LiveMachine, checkpointId: string, hasMemory: boolean): Promise<CheckpointInfo> {
    const { machines, cold, onError } = this.#options
    await this.checkSpace(machine, hasMemory)
    await machines.freeze(machine)
    let manifest: CheckpointManifest
    try {
      manifest = await this.#write(machine, checkpointId, hasMemory)
    } catch (error) {
      if (machine.isFrozen) await machines.thaw(machine)
      throw error
    }
    if (hasMemory) {
      await machines.unuse(machine)
      this.holdHot(machine, checkpointId)
    } else {
      machines.end(machine.machineId).catch(onError)
      cold.seal(checkpointId)
    }
    return manifest
  }

  /** Keeps a frozen machine, and saves its file system for a start without the memory. */
  holdHot(machine: LiveMachine, checkpointId: string): void {
    const { folder, cold, machines, hot } = this.#options
    hot.hold(machine, {
      finish: async () => {
        if (!(await folder.hasFiles(checkpointId)))
          await folder.addFiles(checkpointId, (filesDir) => machines.saveFileSystem(machine, filesDir))
        cold.seal(checkpointId)
      },
      // it can still be gone back to
      settleForLess: () => cold.seal(checkpointId),
    })
  }

  async snapshot(
    machine: LiveMachine,
    checkpointId: string,
    { isTransient, hasMemory }: SnapshotOptions,
  ): Promise<CheckpointInfo & { stoppedMs: number }> {
    await this.checkSpace(machine, hasMemory)
    const started = performance.now()
    const manifest = await this.#write(machine, checkpointId, hasMemory)
    if (!isTransient) this.#options.cold.seal(checkpointId)
    return { ...manifest, stoppedMs: Math.round(performance.now() - started) }
  }

  async resume(
    checkpointId: string,
    { hasMemory, machineId, owner, network }: ResumeOptions,
  ): Promise<Resumed> {
    const { machines, hot } = this.#options
    if (machineId !== undefined && !hasMemory) await hot.finish(machineId)
    const held = machineId === undefined ? undefined : hot.take(machineId)
    if (held && hasMemory && machines.isAlive(held)) return toResumed(held, 'hot')
    if (held) await machines.end(held.machineId)
    return this.#options.cold.use(checkpointId, async () => {
      const { source, reason } = await this.sourceOf(checkpointId, checkpointId, hasMemory)
      const machine = await this.#startVerified(checkpointId, { ...source, owner, network })
      return { ...toResumed(machine, source.checkpointDir ? 'restored' : 'booted'), reason }
    })
  }

  #startVerified(checkpointId: string, source: MachineSource): Promise<LiveMachine> {
    const { folder, start } = this.#options
    return this.#handOutWhole(folder.verify(checkpointId, partOf(source)), start(checkpointId, source))
  }

  /**
   * For what many machines are started from: its files are read in full with the first of them.
   * @param source files must be unpacked
   */
  startFromWhole(source: MachineSource, start: () => Promise<LiveMachine>): Promise<LiveMachine> {
    return this.#handOutWhole(this.#options.folder.verifyOnce(source.checkpointId!, partOf(source)), start())
  }

  /** Both at once: a restore takes longer than reading its files. What is damaged never gets to anyone. */
  async #handOutWhole(verifying: Promise<unknown>, starting: Promise<LiveMachine>): Promise<LiveMachine> {
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
   * @returns what to start from, and why it is not the memory although that was asked for
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
    }
    const misfit = findIncompatibility(manifest, this.#options.driver.version)
    if (hasMemory && manifest.hasMemory && !misfit)
      return { source: { ...source, guestDir: manifest.guestDir, checkpointDir: memoryDir } }
    if (!(await folder.hasFiles(checkpointId)))
      throw new SandlotError(
        'checkpoint_damaged',
        `checkpoint '${checkpointId}' cannot be started${misfit ? `: ${misfit}, and` : ':'} it holds no file system of its own`,
      )
    return { source: { ...source, fileSystemDir: filesDir }, reason: hasMemory ? misfit : undefined }
  }

  #write(machine: LiveMachine, checkpointId: string, hasMemory: boolean): Promise<CheckpointManifest> {
    const { folder, machines, driver } = this.#options
    const { imagePath, guestDir, resources } = machine
    const described = {
      ...{ imagePath, guestDir, resources, hasMemory },
      engineVersion: driver.version,
      cpuFeatures: cpuFeatures(),
    }
    return folder.write(checkpointId, described, ({ memoryDir, filesDir }) =>
      hasMemory ? machines.checkpoint(machine, memoryDir) : machines.saveFileSystem(machine, filesDir),
    )
  }

  /**
   * Makes room when there is too little.
   * @param leftBytes what is to stay free, 64 MiB at least
   * @throws SandlotError disk_full
   */
  async checkSpace(machine: LiveMachine, hasMemory: boolean, leftBytes = 0): Promise<void> {
    const { checkpointsDir, cold, cgroups, driver } = this.#options
    const [usage, diskBytes] = await Promise.all([
      cgroups.usage(machine.cgroup),
      driver.diskUsedBytes(machine.pid),
    ])
    const neededBytes =
      diskBytes + (hasMemory ? (usage?.memoryBytes ?? 0) : 0) + Math.max(SPARE_BYTES, leftBytes)
    const freeBytes = () => diskSpace(checkpointsDir).freeBytes
    if (freeBytes() >= neededBytes) return
    if (await cold.makeRoom(async () => freeBytes() >= neededBytes)) return
    throw new SandlotError(
      'disk_full',
      `saving this sandbox may take ${toMB(neededBytes)} MB and ${checkpointsDir} has ${toMB(freeBytes())} MB left: kill sandboxes or delete snapshots`,
    )
  }
}

const partOf = ({ checkpointDir }: MachineSource): CheckpointPart => (checkpointDir ? 'memory' : 'files')

const readyCommandOf = ({ template }: CheckpointManifest): LoginCommand | undefined =>
  template?.readyCommand ? commandIn(template.environment, template.readyCommand) : undefined

const toMB = (bytes: number): number => Math.ceil(bytes / 2 ** 20)

const toResumed = (machine: LiveMachine, how: Resumed['how']): Resumed => ({
  machineId: machine.machineId,
  buildId: machine.buildId,
  address: machine.slot.address,
  how,
})
