import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { SandlotError, toMB } from '@sandlot/protocol'
import { type BuildEnvironment, type CheckpointInfo, OPEN } from '@sandlot/protocol/node'
import { cpuFeatures } from '../engine/cpu-features.ts'
import type { Driver } from '../engine/driver.ts'
import { SPEC_VERSION } from '../engine/oci-spec.ts'
import type { ImageMachineHost } from '../images/image-machine.ts'
import type { ImageStore } from '../images/image-store.ts'
import { packRoot } from '../images/pack-root.ts'
import type { LiveMachine } from '../machines/machine.ts'
import type { Machines } from '../machines/machines.ts'
import { isDamage } from '../packed/manifest.ts'
import type { CheckpointFolder, CheckpointPaths } from '../persistence/checkpoint-folder.ts'
import type { CheckpointTiers } from '../persistence/checkpoint-tiers.ts'
import { findReasonToRenew } from '../persistence/compatibility.ts'
import type { BootedBuilds } from './booted-builds.ts'
import { bringUp } from './bring-up.ts'
import { type BuildRootfs, startOn, toFailure, withFiles } from './build-rootfs.ts'
import type { BuildWork } from './build-work.ts'
import { diskUsedBytes, linkFolder } from './layer-folders.ts'
import type { Layers } from './layers.ts'
import { digest, servicesOf } from './recipe.ts'
import type { SharedBuilds } from './shared-builds.ts'

const RENEWAL_TIMEOUT_MS = 15 * 60_000
/**
 * Writable layers up to this size stay in the checkpoint: packing the base image again takes 7 to 30 s and 800 MB, while
 * a restore reads such a layer in less than 100 ms (docs/adr/0009).
 */
const MAX_UNFLATTENED_BYTES = 128 * 2 ** 20

export interface TemplateFinalizerOptions extends ImageMachineHost {
  machines: Machines
  layers: Layers
  booted: BootedBuilds
  images: ImageStore
  shared: SharedBuilds
  folder: CheckpointFolder
  tiers: CheckpointTiers
  driver: Driver
  guestDir: string
  /** Disk space that builds must leave free, so that sandboxes are not frozen. */
  spareBytes: number
  /** @throws SandlotError disk_full when saving a machine would leave less than `spareBytes` */
  checkSpace: (machine: LiveMachine, hasMemory: boolean) => Promise<void>
}

/** Turns the file system after the last step into the checkpoint that sandboxes start from. */
export class TemplateFinalizer {
  readonly #options: TemplateFinalizerOptions

  constructor(options: TemplateFinalizerOptions) {
    this.#options = options
  }

  /** Reuses an identical template that was booted before, by this instance or, for the catalog, by another one. */
  async reuse(
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
      (await this.#reuseOwn(finalKey, link)) ??
      (job.recipe.isShared
        ? await shared.claim(finalKey, ({ imagePath, dir }) => link(imagePath, dir))
        : undefined)
    if (found) await this.#options.booted.add(finalKey, job.checkpointId)
    return found
  }

  async #reuseOwn(
    finalKey: string,
    link: (imagePath: string, dir: string) => Promise<CheckpointInfo>,
  ): Promise<CheckpointInfo | undefined> {
    const { booted, tiers, folder, driver, guestDir } = this.#options
    const checkpointId = await booted.find(finalKey)
    if (checkpointId === undefined) return undefined
    try {
      return await tiers.use(checkpointId, async () => {
        const manifest = await folder.read(checkpointId)
        // the checkpoint may have been renewed since, with another engine
        if (findReasonToRenew(manifest, driver.version) || manifest.guestDir !== guestDir) return undefined
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
    { rootfs, environment }: { rootfs: BuildRootfs; environment: BuildEnvironment },
    finalKey: string,
  ): Promise<CheckpointInfo> {
    const { layers, machines, booted, shared, folder } = this.#options
    const { checkpointId, recipe, log, signal } = job
    const say = (message: string) => log({ level: 'info', message, step: 'finalize' })
    const flattened = await this.#flattenIfLarge(job, rootfs)
    const { imagePath } = flattened
    say('[finalize] Booting the template')
    await job.beforeStep?.()
    const machine = await withFiles(layers, flattened, (on) =>
      startOn(this.#options, on, recipe, `build-${checkpointId}`, OPEN),
    )
    const ending = new AbortController()
    let info: CheckpointInfo
    try {
      const services = servicesOf(recipe.steps)
      await bringUp(
        { ...job, ...recipe, services },
        machine,
        environment,
        AbortSignal.any([signal, ending.signal]),
      )
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
    if (recipe.isShared) await shared.publish(finalKey, { dir: folder.dirOf(checkpointId), imagePath })
    return info
  }

  /** Finds the image with the steps up to `key`, if they were packed into one. */
  async findPacked(key: string, isShared = false): Promise<BuildRootfs | undefined> {
    const { images, shared } = this.#options
    const imageKey = packedKey(key)
    if (isShared) await shared.claimImage(imageKey)
    const found = await images.find(imageKey)
    return found && { key, imagePath: found.imagePath }
  }

  /** Packs image and layer into one image when the layer is too large to restore it with every sandbox. */
  async #flattenIfLarge(job: BuildWork, rootfs: BuildRootfs): Promise<BuildRootfs> {
    const { layers } = this.#options
    if (!rootfs.layer && !rootfs.fileSystemDir && !rootfs.checkpointDir) return rootfs
    const flattened = await withFiles(layers, rootfs, async (on) => {
      if (on.fileSystemDir && (await diskUsedBytes(on.fileSystemDir)) <= MAX_UNFLATTENED_BYTES)
        return undefined
      return this.#flatten(job, on)
    })
    if (!flattened) return rootfs
    // later builds start from the image
    if (rootfs.layer) await layers.remove(rootfs.layer)
    return flattened
  }

  async #flatten(job: BuildWork, rootfs: BuildRootfs): Promise<BuildRootfs> {
    const { images, shared } = this.#options
    const { recipe, log, signal } = job
    const key = packedKey(rootfs.key)
    await job.beforeStep?.()
    const started = performance.now()
    const record = { source: 'template', environment: { defaultUser: 'user', envVars: {} } }
    const { imagePath } = await images.makeVersion(key, record, async (image, work) => {
      const fileSystemDir = await this.#filesOf(job, rootfs, join(work, 'files'))
      const { diskSizeMB, scope: owner } = recipe
      const root = { ...rootfs, fileSystemDir, diskSizeMB, owner, spareBytes: this.#options.spareBytes }
      await packRoot(this.#options, root, image, signal)
    })
    const { size } = await stat(imagePath)
    const seconds = ((performance.now() - started) / 1000).toFixed(1)
    log({
      level: 'info',
      message: `[finalize] Packed an image of ${toMB(size)} MB in ${seconds} s`,
      step: 'finalize',
    })
    if (recipe.isShared) await shared.publishImage(key)
    return { key: rootfs.key, imagePath }
  }

  /**
   * Returns the folder of the files over the image. The files of a snapshot that has them only in memory are saved to
   * `dir` first.
   */
  async #filesOf({ recipe, signal }: BuildWork, rootfs: BuildRootfs, dir: string): Promise<string> {
    const { imagePath, fileSystemDir, checkpointDir, checkpointId } = rootfs
    if (fileSystemDir) return fileSystemDir
    const { machines, driver } = this.#options
    const { cpuCount, memoryMB, diskSizeMB } = recipe
    const source = { imagePath, checkpointDir, checkpointId, cpuCount, memoryMB, diskSizeMB }
    await machines.aside(source, (machine, spec) =>
      driver.extractFileSystem(machine, spec, checkpointDir!, dir, signal),
    )
    return dir
  }

  /** Boots a template again when the current runsc, CPU or envd cannot use the saved memory, or its machines lack something. */
  async renew(checkpointId: string): Promise<void> {
    const { folder, tiers, machines, driver, guestDir } = this.#options
    const {
      checkpointId: _,
      sizeBytes: __,
      createdAtMs: ___,
      ...manifest
    } = await tiers.use(checkpointId, () => folder.read(checkpointId))
    const { environment, startCommand, readyCommand } = manifest.template!
    const signal = AbortSignal.timeout(RENEWAL_TIMEOUT_MS)
    const rootfs = {
      checkpointId,
      imagePath: manifest.imagePath,
      fileSystemDir: folder.paths(checkpointId).filesDir,
    }
    const machine = await startOn(this.#options, rootfs, manifest.resources, `build-${checkpointId}`, OPEN)
    const ending = new AbortController()
    try {
      const running = AbortSignal.any([signal, ending.signal])
      await bringUp({ startCommand, readyCommand, log: () => {}, signal }, machine, environment, running)
      const fits = {
        engineVersion: driver.version,
        cpuFeatures: cpuFeatures(),
        guestDir,
        specVersion: SPEC_VERSION,
      }
      await tiers.rewrite(checkpointId, () =>
        folder.write(checkpointId, { ...manifest, ...fits }, (paths) => saveBoth(machines, machine, paths)),
      )
    } finally {
      await machines.discard(machine.machineId)
      ending.abort()
    }
  }

  /** @param save writes the folders `memory` and `files` */
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
        imagePath,
        guestDir,
        hasMemory: true,
        resources: { cpuCount, memoryMB, diskSizeMB },
        engineVersion: driver.version,
        cpuFeatures: cpuFeatures(),
        specVersion: SPEC_VERSION,
        template: { environment, startCommand, readyCommand, keys },
      },
      async (paths) => void (await save(paths)),
    )
  }
}

const packedKey = (rootfsKey: string): string => digest(['flattened', rootfsKey])

async function saveBoth(
  machines: Machines,
  machine: LiveMachine,
  { memoryDir, filesDir }: CheckpointPaths,
): Promise<void> {
  await machines.saveFileSystem(machine, filesDir)
  await machines.checkpoint(machine, memoryDir)
}
