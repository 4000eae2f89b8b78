import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { SandlotError } from '@sandlot/protocol'
import type { BuildEnvironment, CheckpointInfo } from '@sandlot/protocol/node'
import { cpuFeatures } from '../engine/cpu-features.ts'
import type { Driver } from '../engine/driver.ts'
import type { ImageMachineHost } from '../images/image-machine.ts'
import type { ImageStore } from '../images/image-store.ts'
import { packRoot } from '../images/pack-root.ts'
import type { LiveMachine } from '../machines/machine.ts'
import type { Machines } from '../machines/machines.ts'
import { OPEN } from '../network/network-policy.ts'
import { isDamage } from '../packed/manifest.ts'
import type { CheckpointFolder, CheckpointPaths } from '../persistence/checkpoint-folder.ts'
import type { CheckpointTiers } from '../persistence/checkpoint-tiers.ts'
import { findIncompatibility } from '../persistence/compatibility.ts'
import type { BootedBuilds } from './booted-builds.ts'
import { bringUp } from './bring-up.ts'
import { type BuildRootfs, startOn, toFailure, withFiles } from './build-rootfs.ts'
import type { BuildWork } from './build-work.ts'
import { diskUsedBytes, linkFolder } from './layer-folders.ts'
import type { Layers } from './layers.ts'
import { digest } from './recipe.ts'
import type { SharedBuilds } from './shared-builds.ts'

const RENEWAL_TIMEOUT_MS = 15 * 60_000
/**
 * Up to here the writable layer is kept in the checkpoint: packing our base image anew takes 7 to 30 s and 800 MB, and
 * reading so much back with a restore less than 100 ms (docs/adr/0009).
 */
const MAX_UNFLATTENED_BYTES = 128 * 2 ** 20

export interface TemplateFinalizerOptions extends ImageMachineHost {
  machines: Machines
  layers: Layers
  booted: BootedBuilds
  images: ImageStore
  shared: SharedBuilds
  folder: CheckpointFolder
  cold: CheckpointTiers
  driver: Driver
  guestDir: string
  /** What builds leave of the disk: sandboxes do not stand still for them. */
  spareBytes: number
  /** @throws SandlotError disk_full when what is about to be saved of a machine does not leave so much */
  checkSpace: (machine: LiveMachine, hasMemory: boolean) => Promise<void>
}

/** From the file system that the steps left to the checkpoint that sandboxes start from. */
export class TemplateFinalizer {
  readonly #options: TemplateFinalizerOptions

  constructor(options: TemplateFinalizerOptions) {
    this.#options = options
  }

  /** The same template once more when it was booted before, here or, of the catalogue, by another instance. */
  async again(
    job: BuildWork,
    environment: BuildEnvironment,
    finalKey: string,
  ): Promise<CheckpointInfo | undefined> {
    const { shared } = this.#options
    const link = (imagePath: string, dir: string) =>
      this.#write(job, environment, imagePath, ({ memoryDir, filesDir }) =>
        Promise.all([linkFolder(join(dir, 'memory'), memoryDir), linkFolder(join(dir, 'files'), filesDir)]),
      )
    const found =
      (await this.#againHere(finalKey, link)) ??
      (job.recipe.isShared
        ? await shared.adopt(finalKey, ({ imagePath, dir }) => link(imagePath, dir))
        : undefined)
    if (found) await this.#options.booted.add(finalKey, job.checkpointId)
    return found
  }

  async #againHere(
    finalKey: string,
    link: (imagePath: string, dir: string) => Promise<CheckpointInfo>,
  ): Promise<CheckpointInfo | undefined> {
    const { booted, cold, folder, driver, guestDir } = this.#options
    const checkpointId = await booted.find(finalKey)
    if (checkpointId === undefined) return undefined
    try {
      return await cold.use(checkpointId, async () => {
        const manifest = await folder.read(checkpointId)
        // it may have been brought up anew since, by another engine
        if (findIncompatibility(manifest, driver.version) || manifest.guestDir !== guestDir) return undefined
        return link(manifest.imagePath, folder.dirOf(checkpointId))
      })
    } catch (error) {
      const isGone = error instanceof SandlotError && error.errorName === 'not_found'
      if (isGone || isDamage(error)) return undefined
      throw error
    }
  }

  /** Boots the template and saves it. */
  async finalize(
    job: BuildWork,
    { ground, environment }: { ground: BuildRootfs; environment: BuildEnvironment },
    finalKey: string,
  ): Promise<CheckpointInfo> {
    const { layers, machines, booted, shared, folder } = this.#options
    const { checkpointId, recipe, log, signal } = job
    const say = (message: string) => log({ level: 'info', message, step: 'finalize' })
    const settled = await this.#flattened(job, ground)
    const { imagePath } = settled
    say('[finalize] Booting the template')
    await job.beforeStep?.()
    const machine = await withFiles(layers, settled, (on) =>
      startOn(this.#options, on, recipe, `build-${checkpointId}`, OPEN),
    )
    const ending = new AbortController()
    let info: CheckpointInfo
    try {
      await bringUp({ ...job, ...recipe }, machine, environment, AbortSignal.any([signal, ending.signal]))
      say('[finalize] Saving the booted template')
      await job.beforeStep?.()
      await this.#options.checkSpace(machine, true)
      info = await this.#write(job, environment, imagePath, (paths) => saveBoth(machines, machine, paths))
    } catch (error) {
      throw toFailure('finalize', error, signal, machine)
    } finally {
      await machines.discard(machine.machineId)
      ending.abort()
    }
    await booted.add(finalKey, checkpointId)
    if (recipe.isShared) await shared.offer(finalKey, { dir: folder.dirOf(checkpointId), imagePath })
    return info
  }

  /** The image that the steps up to `key` were packed into, when they were. */
  async packed(key: string, isShared = false): Promise<BuildRootfs | undefined> {
    const { images, shared } = this.#options
    const imageKey = packedKey(key)
    if (isShared) await shared.adoptImage(imageKey)
    const found = await images.find(imageKey)
    return found && { key, imagePath: found.imagePath }
  }

  /** One image of image and layer, when the layer is too much to be restored with every sandbox. */
  async #flattened(job: BuildWork, ground: BuildRootfs): Promise<BuildRootfs> {
    const { layers } = this.#options
    if (!ground.layer && !ground.fileSystemDir && !ground.checkpointDir) return ground
    const flattened = await withFiles(layers, ground, async (on) => {
      if (on.fileSystemDir && (await diskUsedBytes(on.fileSystemDir)) <= MAX_UNFLATTENED_BYTES)
        return undefined
      return this.#flatten(job, on)
    })
    if (!flattened) return ground
    // whoever goes on from here starts from the image
    if (ground.layer) await layers.remove(ground.layer)
    return flattened
  }

  async #flatten(job: BuildWork, ground: BuildRootfs): Promise<BuildRootfs> {
    const { images, shared } = this.#options
    const { recipe, log, signal } = job
    const key = packedKey(ground.key)
    await job.beforeStep?.()
    const started = performance.now()
    const record = { source: 'template', environment: { defaultUser: 'user', envVars: {} } }
    const { imagePath } = await images.makeAnew(key, record, async (image, work) => {
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
  async #filesOf({ recipe, signal }: BuildWork, ground: BuildRootfs, dir: string): Promise<string> {
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
    const { folder, cold, machines, driver, guestDir } = this.#options
    const {
      checkpointId: _,
      sizeBytes: __,
      createdAtMs: ___,
      ...manifest
    } = await cold.use(checkpointId, () => folder.read(checkpointId))
    const { environment, startCommand, readyCommand } = manifest.template!
    const signal = AbortSignal.timeout(RENEWAL_TIMEOUT_MS)
    const ground = {
      checkpointId,
      imagePath: manifest.imagePath,
      fileSystemDir: folder.paths(checkpointId).filesDir,
    }
    const machine = await startOn(this.#options, ground, manifest.resources, `build-${checkpointId}`, OPEN)
    const ending = new AbortController()
    try {
      const running = AbortSignal.any([signal, ending.signal])
      await bringUp({ startCommand, readyCommand, log: () => {}, signal }, machine, environment, running)
      const fits = { engineVersion: driver.version, cpuFeatures: cpuFeatures(), guestDir }
      await cold.rewrite(checkpointId, () =>
        folder.write(checkpointId, { ...manifest, ...fits }, (paths) => saveBoth(machines, machine, paths)),
      )
    } finally {
      await machines.discard(machine.machineId)
      ending.abort()
    }
  }

  /** @param save writes `memory` and `files` */
  #write(
    { checkpointId, recipe, keys }: BuildWork,
    environment: BuildEnvironment,
    imagePath: string,
    save: (paths: CheckpointPaths) => Promise<unknown>,
  ): Promise<CheckpointInfo> {
    const { folder, driver, guestDir } = this.#options
    const { cpuCount, memoryMB, diskSizeMB, startCommand, readyCommand } = recipe
    return folder.write(
      checkpointId,
      {
        ...{ imagePath, guestDir, hasMemory: true, resources: { cpuCount, memoryMB, diskSizeMB } },
        engineVersion: driver.version,
        cpuFeatures: cpuFeatures(),
        template: { environment, startCommand, readyCommand, keys },
      },
      async (paths) => void (await save(paths)),
    )
  }
}

const packedKey = (groundKey: string): string => digest(['flattened', groundKey])

async function saveBoth(
  machines: Machines,
  machine: LiveMachine,
  { memoryDir, filesDir }: CheckpointPaths,
): Promise<void> {
  await machines.saveFileSystem(machine, filesDir)
  await machines.checkpoint(machine, memoryDir)
}
