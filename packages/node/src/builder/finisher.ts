import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { CheckpointFolder, CheckpointPaths } from '../checkpoint-folder.ts'
import type { ColdCheckpoints } from '../cold-checkpoints.ts'
import { cpuFeatures } from '../cpu-features.ts'
import type { Driver } from '../driver.ts'
import type { ImageMachineHost } from '../images/image-machine.ts'
import type { ImageStore } from '../images/image-store.ts'
import { packRoot } from '../images/pack-root.ts'
import type { LiveMachine, Machines } from '../machines.ts'
import { OPEN } from '../network-policy.ts'
import type { CheckpointInfo } from '../node.ts'
import { bringUp } from './bring-up.ts'
import type { BuildJob } from './builder.ts'
import { type Ground, startOn } from './ground.ts'
import { diskUsedBytes, type LayerCache, linkFolder } from './layers.ts'
import { type BuildEnvironment, digest } from './recipe.ts'
import type { SharedBuilds } from './shared-builds.ts'

const RENEWAL_TIMEOUT_MS = 15 * 60_000
/**
 * Up to here the writable layer is kept in the checkpoint: packing our base image anew takes 7 to 30 s and 800 MB, and
 * reading so much back with a restore less than 100 ms (docs/adr/0009).
 */
const MAX_UNFLATTENED_BYTES = 128 * 2 ** 20

export interface FinisherOptions extends ImageMachineHost {
  machines: Machines
  layers: LayerCache
  images: ImageStore
  shared: SharedBuilds
  folder: CheckpointFolder
  cold: ColdCheckpoints
  driver: Driver
  guestDir: string
  /** What builds leave of the disk: sandboxes do not stand still for them. */
  spareBytes: number
  /** @throws SandlotError disk_full when what is about to be saved of a machine does not leave so much */
  checkSpace: (machine: LiveMachine, hasMemory: boolean) => Promise<void>
}

/** From the file system that the steps left to the checkpoint that sandboxes start from. */
export class Finisher {
  readonly #options: FinisherOptions

  constructor(options: FinisherOptions) {
    this.#options = options
  }

  /** @returns folder with `memory` and `files` of the booted template */
  async finalize(
    job: BuildJob,
    { ground, environment }: { ground: Ground; environment: BuildEnvironment },
    finalKey: string,
  ): Promise<string> {
    const { layers, machines } = this.#options
    const { recipe, log, signal } = job
    const say = (message: string) => log({ level: 'info', message, step: 'finalize' })
    const settled = await this.#flattened(job, ground)
    say('[finalize] Booting the template')
    await job.beforeStep?.()
    const machine = await startOn(this.#options, settled, recipe, `build-${job.checkpointId}`, OPEN)
    const ending = new AbortController()
    try {
      await bringUp({ ...job, ...recipe }, machine, environment, AbortSignal.any([signal, ending.signal]))
      say('[finalize] Saving the booted template')
      await job.beforeStep?.()
      await this.#options.checkSpace(machine, true)
      return await layers.add(finalKey, settled.imagePath, (writing) => saveBoth(machines, machine, writing))
    } finally {
      await machines.discard(machine.machineId)
      ending.abort()
    }
  }

  /** The image that the steps up to `key` were packed into, when they were. */
  async packed(key: string, isShared = false): Promise<Ground | undefined> {
    const { images, shared } = this.#options
    const imageKey = packedKey(key)
    if (isShared) await shared.adoptImage(imageKey)
    const found = await images.find(imageKey)
    return found && { key, imagePath: found.imagePath }
  }

  /** One image of image and layer, when the layer is too much to be restored with every sandbox. */
  async #flattened(job: BuildJob, ground: Ground): Promise<Ground> {
    const { images, shared } = this.#options
    const { recipe, log, signal } = job
    if (ground.fileSystemDir && (await diskUsedBytes(ground.fileSystemDir)) <= MAX_UNFLATTENED_BYTES)
      return ground
    if (!ground.fileSystemDir && !ground.checkpointDir) return ground
    const key = packedKey(ground.key)
    await job.beforeStep?.()
    const started = performance.now()
    const record = { source: 'template', environment: { defaultUser: 'user', envVars: {} } }
    const { imagePath } = await images.make(key, record, async (image, work) => {
      const fileSystemDir = await this.#filesOf(job, ground, join(work, 'files'))
      const { diskSizeMB, scope: owner } = recipe
      const root = { ...ground, fileSystemDir, diskSizeMB, owner, spareBytes: this.#options.spareBytes }
      await packRoot(this.#options, root, image, signal)
    })
    const { size } = await stat(imagePath)
    const seconds = ((performance.now() - started) / 1000).toFixed(1)
    log({
      level: 'info',
      message: `[finalize] Packed an image of ${Math.ceil(size / 2 ** 20)} MB in ${seconds} s`,
      step: 'finalize',
    })
    if (recipe.isShared) await shared.offerImage(key)
    return { key: ground.key, imagePath }
  }

  /** What lies over the image; of a snapshot that has its files only in its memory it is saved to `dir` first. */
  async #filesOf({ recipe, signal }: BuildJob, ground: Ground, dir: string): Promise<string> {
    const { imagePath, fileSystemDir, checkpointDir, checkpointId } = ground
    if (fileSystemDir) return fileSystemDir
    const { machines, driver } = this.#options
    const { cpuCount, memoryMB, diskSizeMB } = recipe
    const source = { imagePath, checkpointDir, checkpointId, cpuCount, memoryMB, diskSizeMB }
    await machines.aside(source, (machine, spec) =>
      driver.extractFileSystem(machine, spec, checkpointDir!, dir, signal),
    )
    return dir
  }

  /** Brings a template up anew whose memory another runsc, CPU or envd cannot use. */
  async renew(checkpointId: string): Promise<void> {
    const { folder, cold, layers, machines, driver, guestDir } = this.#options
    const {
      checkpointId: _,
      sizeBytes: __,
      createdAtMs: ___,
      ...manifest
    } = await cold.use(checkpointId, () => folder.read(checkpointId))
    const { environment, startCommand, readyCommand } = manifest.template!
    const signal = AbortSignal.timeout(RENEWAL_TIMEOUT_MS)
    const ground = {
      key: '',
      checkpointId,
      imagePath: manifest.imagePath,
      fileSystemDir: folder.paths(checkpointId).filesDir,
    }
    const machine = await startOn(this.#options, ground, manifest.resources, `build-${checkpointId}`, OPEN)
    const ending = new AbortController()
    const key = digest(['renewed', checkpointId])
    try {
      const running = AbortSignal.any([signal, ending.signal])
      await bringUp({ startCommand, readyCommand, log: () => {}, signal }, machine, environment, running)
      await layers.add(key, manifest.imagePath, (dir) => saveBoth(machines, machine, dir))
    } finally {
      await machines.discard(machine.machineId)
      ending.abort()
    }
    const { dir } = (await layers.find(key))!
    const fits = { engineVersion: driver.version, cpuFeatures: cpuFeatures(), guestDir }
    await cold.rewrite(checkpointId, () =>
      folder.write(checkpointId, { ...manifest, ...fits }, (paths) => linkBoth(dir, paths)),
    )
    await layers.remove(key)
  }

  async save(
    { checkpointId, recipe, keys }: BuildJob,
    dir: string,
    environment: BuildEnvironment,
  ): Promise<CheckpointInfo> {
    const { folder, driver, guestDir, layers } = this.#options
    const { cpuCount, memoryMB, diskSizeMB, startCommand, readyCommand } = recipe
    const imagePath = (await layers.find(dir.split('/').at(-1)!))!.layer.imagePath
    return folder.write(
      checkpointId,
      {
        ...{ imagePath, guestDir, hasMemory: true, resources: { cpuCount, memoryMB, diskSizeMB } },
        engineVersion: driver.version,
        cpuFeatures: cpuFeatures(),
        template: { environment, startCommand, readyCommand, keys },
      },
      (paths) => linkBoth(dir, paths),
    )
  }
}

const packedKey = (groundKey: string): string => digest(['flattened', groundKey])

async function saveBoth(machines: Machines, machine: LiveMachine, dir: string): Promise<void> {
  await machines.saveFileSystem(machine, join(dir, 'files'))
  await machines.checkpoint(machine, join(dir, 'memory'))
}

async function linkBoth(dir: string, { memoryDir, filesDir }: CheckpointPaths): Promise<void> {
  await linkFolder(join(dir, 'memory'), memoryDir)
  await linkFolder(join(dir, 'files'), filesDir)
}
