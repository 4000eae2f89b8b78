import { createReadStream, existsSync } from 'node:fs'
import { BuildFailure } from '@sandlot/protocol'
import {
  type BuildEnvironment,
  type BuildRecipe,
  type BuildResult,
  type BuildStep,
  type CheckpointInfo,
  OPEN,
} from '@sandlot/protocol/node'
import { cpuFeatures } from '../engine/cpu-features.ts'
import { SPEC_VERSION } from '../engine/oci-spec.ts'
import { GuestRefusal, runInGuest, uploadToGuest } from '../guest/guest-process.ts'
import type { LiveMachine, MachineSource } from '../machines/machine.ts'
import { type BuildRootfs, endProcesses, startOn, toFailure, withFiles } from './build-rootfs.ts'
import type { BuildLog, BuildWork } from './build-work.ts'
import { ImagePreparation } from './image-preparation.ts'
import { LostLayer } from './layers.ts'
import { LineBuffer } from './line-buffer.ts'
import { describeStep, digest, environmentAfter, isDeclaration, layerKey } from './recipe.ts'
import { COPY_ARCHIVE, scriptOf } from './step-script.ts'
import { TemplateFinalizer, type TemplateFinalizerOptions } from './template-finalizer.ts'

const LAST_LINES = 20
/** Steps of catalog templates that took less time are not cached. */
const MIN_KEPT_MS = 5_000

export interface BuilderOptions extends TemplateFinalizerOptions {
  baseImage: { path: string; key: string }
  /** Content key of envd, which a checkpoint contains. */
  envdKey: string
  /** Finds the source that starts machines from a checkpoint. */
  sourceOf: (checkpointId: string) => Promise<MachineSource>
}

/** Builds templates: runs their steps in machines, caches every finished step, and saves the booted result. */
export class Builder {
  readonly #options: BuilderOptions
  readonly #finalizer: TemplateFinalizer
  readonly #preparation: ImagePreparation

  constructor(options: BuilderOptions) {
    this.#options = options
    this.#finalizer = new TemplateFinalizer(options)
    this.#preparation = new ImagePreparation(options)
  }

  /** @throws BuildFailure, the signal's reason, SandlotError */
  async build(asked: BuildWork): Promise<BuildResult> {
    const origin = await this.#origin(asked)
    asked.signal.throwIfAborted()
    const recipe = { ...asked.recipe, ...(await this.#commandsOf(asked.recipe)) }
    const { key, keys, environment } = outcomeOf(recipe.steps, origin)
    const finalKey = digest([
      key,
      environment,
      recipe.startCommand,
      recipe.readyCommand,
      recipe.cpuCount,
      recipe.memoryMB,
      recipe.diskSizeMB,
      this.#options.driver.version,
      this.#options.envdKey,
      this.#options.guestDir,
      cpuFeatures(),
      SPEC_VERSION,
    ])
    const job = { ...asked, recipe, keys: [...keys, finalKey] }
    const checkpoint =
      (await this.#reuse(job, environment, finalKey)) ??
      (await this.#make(job, origin, { key, environment, finalKey }))
    return { checkpoint, environment }
  }

  /**
   * Returns the start and ready command, which a template inherits from its parent, e.g. to add packages to a service.
   */
  async #commandsOf({
    from,
    startCommand,
    readyCommand,
  }: BuildRecipe): Promise<Pick<BuildRecipe, 'startCommand' | 'readyCommand'>> {
    if (startCommand !== undefined || 'image' in from || from.checkpointId === undefined)
      return { startCommand, readyCommand }
    const { template } = await this.#options.tiers.describe(from.checkpointId)
    return {
      startCommand: template?.startCommand,
      readyCommand: readyCommand ?? template?.readyCommand,
    }
  }

  async #reuse(
    job: BuildWork,
    environment: BuildEnvironment,
    finalKey: string,
  ): Promise<CheckpointInfo | undefined> {
    const { recipe, log } = job
    if (isForced(recipe)) return undefined
    const checkpoint = await this.#finalizer.reuse(job, environment, finalKey)
    if (!checkpoint) return undefined
    for (const index of recipe.steps.keys()) log(toTitle(recipe, index, true))
    log({ level: 'info', message: 'CACHED [finalize] booted template', step: 'finalize' })
    return checkpoint
  }

  async #make(job: BuildWork, origin: Started, outcome: Outcome): Promise<CheckpointInfo> {
    const { layers } = this.#options
    /** Keys of layers to pack after the build, except those that have become images by then. */
    const made = origin.rootfs.layer === undefined ? [] : [origin.rootfs.layer]
    try {
      while (true) {
        try {
          return await this.#makeOnce(job, origin, outcome, made)
        } catch (error) {
          // terminates, because the lost layer is not found again
          if (!(error instanceof LostLayer)) throw error
          origin = await this.#origin(job)
          job.log({ level: 'warn', message: `[builder] A cached step must be built again: ${error.message}` })
        }
      }
    } finally {
      for (const key of made) layers.pack(key, { isTransient: job.recipe.isShared === true })
    }
  }

  async #makeOnce(
    job: BuildWork,
    origin: Started,
    { key, environment, finalKey }: Outcome,
    made: string[],
  ): Promise<CheckpointInfo> {
    const { recipe, signal, log } = job
    const packed = isForced(recipe) ? undefined : await this.#finalizer.findPacked(key, recipe.isShared)
    if (packed) for (const index of recipe.steps.keys()) log(toTitle(recipe, index, true))
    const rootfs = packed ?? (await this.#runSteps(job, origin, made))
    return this.#finalizer.finalize(job, { rootfs, environment }, finalKey).catch((error) => {
      throw toFailure('finalize', error, signal)
    })
  }

  renew = (checkpointId: string): Promise<void> => this.#finalizer.renew(checkpointId)

  async #origin(asked: BuildWork): Promise<Started> {
    const { recipe, log, signal } = asked
    const { from } = recipe
    const say = (message: string) => log({ level: 'info', message, step: 'base' })
    try {
      const { rootfs, environment } = await this.#rootfs(asked, say)
      const name = 'image' in from ? from.image : from.name
      say(`[base] FROM ${name} [${rootfs.key.slice(0, 12)}]`)
      return { rootfs: { ...rootfs, key: digest([recipe.scope, rootfs.key, environment]) }, environment }
    } catch (error) {
      throw toFailure('base', error, signal)
    }
  }

  async #rootfs({ recipe, log, signal }: BuildWork, say: (message: string) => void): Promise<Started> {
    const { images, baseImage, sourceOf } = this.#options
    const { from, scope: owner, isForced, diskSizeMB } = recipe
    if ('image' in from) {
      const { key, imagePath, environment } = await images.resolve(from.image, {
        login: from.login,
        owner,
        log: say,
        signal,
      })
      if (key === baseImage.key) return { rootfs: { key, imagePath }, environment }
      const image = { name: from.image, key, imagePath, diskSizeMB, owner, isForced, log, signal }
      return { rootfs: await this.#preparation.prepare(image), environment }
    }
    if (from.checkpointId === undefined)
      return { rootfs: { key: baseImage.key, imagePath: baseImage.path }, environment: from.environment }
    const { imagePath, fileSystemDir, checkpointDir } = await sourceOf(from.checkpointId)
    const key = digest(['checkpoint', from.checkpointId])
    const { checkpointId } = from
    return {
      rootfs: { key, imagePath, fileSystemDir, checkpointDir, checkpointId },
      environment: from.environment,
    }
  }

  async #runSteps(job: BuildWork, { rootfs, environment }: Started, made: string[]): Promise<BuildRootfs> {
    const { recipe, log, signal } = job
    const { layers } = this.#options
    const cached = await this.#cached(recipe, rootfs)
    const last = recipe.steps.findLastIndex((step) => !isDeclaration(step))
    let machine: LiveMachine | undefined
    let keptAtMs = performance.now()
    try {
      for (const [index, step] of recipe.steps.entries()) {
        signal.throwIfAborted()
        const number = String(index + 1)
        const isCached = cached !== undefined && index <= cached.index
        log(toTitle(recipe, index, isCached))
        const key = layerKey(rootfs.key, step)
        const after = environmentAfter(environment, step)
        if (isCached || isDeclaration(step)) {
          rootfs = isCached && index === cached.index ? cached.rootfs : { ...rootfs, key }
        } else {
          await job.beforeStep?.()
          machine ??= await withFiles(layers, rootfs, (on) =>
            startOn(this.#options, on, recipe, `build-${job.checkpointId}`, OPEN),
          )
          try {
            await this.#runStep(job, machine, step, number, environment)
            const isWorthKeeping = !recipe.isShared || performance.now() - keptAtMs > MIN_KEPT_MS
            rootfs = { key, imagePath: rootfs.imagePath }
            if (isWorthKeeping || index === last) {
              rootfs = await this.#keep(machine, key, rootfs.imagePath)
              made.push(key)
              keptAtMs = performance.now()
            } else await endProcesses(machine)
          } catch (error) {
            throw toFailure(number, error, signal, machine)
          }
        }
        environment = after
      }
      return rootfs
    } finally {
      if (machine) await this.#options.machines.discard(machine.machineId)
    }
  }

  /** Finds the last cached step; its layer or packed image contains all earlier steps. */
  async #cached(
    { steps, isForced }: BuildRecipe,
    origin: BuildRootfs,
  ): Promise<{ index: number; rootfs: BuildRootfs } | undefined> {
    let found: { index: number; rootfs: BuildRootfs } | undefined
    let { key } = origin
    for (const [index, step] of steps.entries()) {
      if (isForced || step.force) break
      key = layerKey(key, step)
      if (isDeclaration(step)) continue
      const layer = await this.#options.layers.find(key)
      // a layer is useless without the image that it lies over
      const rootfs =
        layer && existsSync(layer.imagePath)
          ? { key, imagePath: layer.imagePath, layer: key }
          : await this.#finalizer.findPacked(key)
      if (rootfs) found = { index, rootfs }
    }
    return found
  }

  async #runStep(
    { useArchive, log, signal }: BuildWork,
    machine: LiveMachine,
    step: BuildStep,
    number: string,
    environment: BuildEnvironment,
  ): Promise<void> {
    const script = scriptOf(step, environment)
    if (!script) return
    const { address } = machine.slot
    const started = performance.now()
    if (step.type === 'COPY')
      await useArchive(step.filesHash, (path) =>
        uploadToGuest(address, COPY_ARCHIVE, createReadStream(path), signal),
      )
    const lines = new LineBuffer((message, from) =>
      log({ level: from === 'stderr' ? 'warn' : 'info', message, step: number }),
    )
    const shown = step.type === 'RUN' ? step.command : describeStep(step)
    let exitCode: number
    try {
      exitCode = await runInGuest(address, {
        ...script,
        envs: environment.envVars,
        onOutput: (text, from) => lines.add(text, from),
        signal,
      })
    } catch (error) {
      if (!(error instanceof GuestRefusal)) throw error
      throw new BuildFailure(number, `failed to run command '${shown}': command failed: ${error.message}`, {
        cause: error,
      })
    } finally {
      lines.end()
    }
    if (exitCode !== 0) {
      const last = lines.last(LAST_LINES)
      throw new BuildFailure(
        number,
        `failed to run command '${shown}': command failed: exit status ${exitCode}${last ? `\n${last}` : ''}`,
      )
    }
    const seconds = ((performance.now() - started) / 1000).toFixed(1)
    log({ level: 'debug', message: `[builder] step ${number} took ${seconds} s`, step: number })
  }

  /**
   * Caches the file system after a step. Processes are ended, because a build from the cached layer would not have them
   * either.
   */
  async #keep(machine: LiveMachine, key: string, imagePath: string): Promise<BuildRootfs> {
    const { layers, machines } = this.#options
    await endProcesses(machine)
    await this.#options.checkSpace(machine, false)
    await layers.add(key, imagePath, (filesDir) => machines.saveFileSystem(machine, filesDir))
    return { key, imagePath, layer: key }
  }
}

/** State before the first step. */
interface Started {
  rootfs: BuildRootfs
  environment: BuildEnvironment
}

/** State after the last step, and the key of the booted template. */
interface Outcome {
  key: string
  environment: BuildEnvironment
  finalKey: string
}

/** Computes key and environment after the last step, and the keys of all layers, without running the steps. */
function outcomeOf(
  steps: readonly BuildStep[],
  { rootfs, environment }: Started,
): { key: string; keys: string[]; environment: BuildEnvironment } {
  const keys: string[] = []
  let { key } = rootfs
  for (const step of steps) {
    key = layerKey(key, step)
    environment = environmentAfter(environment, step)
    if (!isDeclaration(step)) keys.push(key)
  }
  return { key, keys, environment }
}

const isForced = ({ isForced, steps }: BuildRecipe): boolean => isForced || steps.some(({ force }) => force)

function toTitle({ steps }: BuildRecipe, index: number, isCached: boolean): Parameters<BuildLog>[0] {
  const step = String(index + 1)
  const title = `[builder ${step}/${steps.length}] ${describeStep(steps[index]!)}`
  return { level: 'info', message: isCached ? `CACHED ${title}` : title, step }
}
