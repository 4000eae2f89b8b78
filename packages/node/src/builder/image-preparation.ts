import { BuildFailure } from '@sandlot/protocol'
import { type GuestCommand, GuestRefusal, runInGuest } from '../guest/guest-process.ts'
import { unlessAborted } from '../images/unless-aborted.ts'
import type { LiveMachine } from '../machines/machine.ts'
import type { Machines } from '../machines/machines.ts'
import { OPEN } from '../network/network-policy.ts'
import { type BuildRootfs, endProcesses, type MachineHost, startOn, toFailure } from './build-rootfs.ts'
import type { BuildLog } from './build-work.ts'
import { checkScript, installScript, knownTools, NO_PACKAGE_MANAGER, TOOLS } from './image-tools.ts'
import type { Layers } from './layers.ts'
import { LineBuffer } from './line-buffer.ts'
import { digest } from './recipe.ts'

/** Package managers of a template with little memory would be killed: what they install does not depend on it. */
const RESOURCES = { cpuCount: 2, memoryMB: 2048 }
const TIMEOUT_MS = 15 * 60_000
/** For a look at what there is, which takes a second. */
const CHECK_TIMEOUT_MS = 2 * 60_000
const LAST_LINES = 5
/** What an image is still without, noted with its layer. */
interface Lack {
  missing: string[]
  /** Why, for the log. */
  reason: string
  /** Another try may go better. */
  isTransient: boolean
}

export interface PreparationOptions extends MachineHost {
  machines: Pick<Machines, 'discard' | 'saveFileSystem'>
  layers: Pick<Layers, 'find' | 'add'>
  checkSpace: (machine: LiveMachine, hasMemory: boolean) => Promise<void>
  /** For a look at what the image has. Default: 2 minutes. */
  checkTimeoutMs?: number
}

/** An image that is not ours, and the build that starts from it. */
export interface ForeignImage {
  name: string
  key: string
  imagePath: string
  diskSizeMB: number
  /** Team that waits for it. */
  owner: string
  /** Installs again what an earlier build installed. */
  isForced: boolean
  log: BuildLog
  signal: AbortSignal
}

/**
 * Gives images of others the tools that every sandbox has, before the first step. The layer is kept for all builds from the
 * image, and made anew when a package source did not answer.
 */
export class ImagePreparation {
  readonly #options: PreparationOptions
  /** By key: two builds from one image prepare it once. */
  readonly #running = new Map<string, Promise<BuildRootfs>>()

  constructor(options: PreparationOptions) {
    this.#options = options
  }

  /** @throws BuildFailure when it cannot have bash, SandlotError, and the signal's reason */
  async prepare(image: ForeignImage): Promise<BuildRootfs> {
    const everything = installScript(TOOLS.map(({ name }) => name))
    const key = digest(['prepared', image.key, checkScript(), everything])
    for (let other = this.#running.get(key); other; other = this.#running.get(key))
      await unlessAborted(
        image.signal,
        other.catch(() => {}),
      )
    const preparing = this.#findOrMake(image, key).finally(() => this.#running.delete(key))
    this.#running.set(key, preparing)
    return preparing
  }

  async #findOrMake(image: ForeignImage, key: string): Promise<BuildRootfs> {
    const found = image.isForced ? undefined : await this.#options.layers.find(key)
    const lack = found?.note === undefined ? undefined : (JSON.parse(found.note) as Lack)
    if (!lack || lack.isTransient) return this.#make(image, key)
    warnOf(lack, image)
    return { key, imagePath: image.imagePath, layer: key }
  }

  async #make(image: ForeignImage, key: string): Promise<BuildRootfs> {
    const { machines, layers, checkSpace } = this.#options
    const { imagePath, diskSizeMB, owner } = image
    const machine = await startOn(
      ...([this.#options, { imagePath }, { ...RESOURCES, diskSizeMB, scope: owner }] as const),
      ...([`prepare-${key}`, OPEN] as const),
    )
    try {
      const lack = await this.#install(image, machine)
      if (lack.missing.includes('bash'))
        throw new BuildFailure(
          'base',
          `image '${image.name}' has no /bin/bash, and commands of sandboxes are run by it; it could not be installed: ${lack.reason}. Use an image that has bash, or let builds reach its package source`,
        )
      warnOf(lack, image)
      await endProcesses(machine)
      await checkSpace(machine, false)
      const save = (filesDir: string) => machines.saveFileSystem(machine, filesDir)
      await layers.add(key, imagePath, save, JSON.stringify(lack))
      return { key, imagePath, layer: key }
    } catch (error) {
      throw toFailure('base', error, image.signal, machine)
    } finally {
      await machines.discard(machine.machineId)
    }
  }

  async #install(image: ForeignImage, machine: LiveMachine): Promise<Lack> {
    const { log, signal } = image
    const before = await this.#missingIn(image, machine)
    if (before.length === 0) return { missing: [], reason: '', isTransient: false }
    log({ level: 'info', message: `[base] Adding what sandboxes need: ${before.join(', ')}`, step: 'base' })
    const started = performance.now()
    const lines = new LineBuffer((message) => log({ level: 'debug', message, step: 'base' }))
    const timeout = AbortSignal.timeout(TIMEOUT_MS)
    const exitCode = await runAsRoot(machine, {
      command: installScript(before),
      onOutput: (text, from) => lines.add(text, from),
      signal: AbortSignal.any([signal, timeout]),
    }).catch((error) => {
      if (signal.aborted || !timeout.aborted) throw error
      return undefined
    })
    lines.end()
    const missing = await this.#missingIn(image, machine)
    const seconds = ((performance.now() - started) / 1000).toFixed(1)
    log({
      level: 'info',
      message: `[base] That took ${seconds} s; it is kept for later builds`,
      step: 'base',
    })
    return { missing, ...explain(exitCode, lines.last(LAST_LINES)) }
  }

  /** @throws BuildFailure when the shell of the image does not end */
  async #missingIn({ name, signal }: ForeignImage, machine: LiveMachine): Promise<string[]> {
    const { checkTimeoutMs = CHECK_TIMEOUT_MS } = this.#options
    const timeout = AbortSignal.timeout(checkTimeoutMs)
    const lines = new LineBuffer(() => {})
    await runAsRoot(machine, {
      command: checkScript(),
      onOutput: (text, from) => from === 'stdout' && lines.add(text, from),
      signal: AbortSignal.any([signal, timeout]),
    }).catch((error) => {
      if (signal.aborted || !timeout.aborted) throw error
      throw new BuildFailure(
        'base',
        `the shell of image '${name}' did not end within ${checkTimeoutMs / 1000} s when it was asked what the image has`,
      )
    })
    lines.end()
    return knownTools(lines.last(TOOLS.length).split('\n'))
  }
}

/** @param exitCode of the installation; undefined: it did not end in time */
function explain(exitCode: number | undefined, lastLines: string): Omit<Lack, 'missing'> {
  if (exitCode === NO_PACKAGE_MANAGER)
    return { reason: 'the image has no apt-get, apk, dnf, microdnf or yum', isTransient: false }
  if (exitCode === 0) return { reason: 'its package sources do not have them', isTransient: false }
  const reason =
    exitCode === undefined ? `its packages were not installed within ${TIMEOUT_MS / 60_000} minutes` : ''
  return { reason: reason || `its packages could not be installed: ${lastLines}`, isTransient: true }
}

function warnOf({ missing, reason, isTransient }: Lack, { name, log }: ForeignImage): void {
  if (missing.length === 0) return
  const remedy = isTransient
    ? 'Let builds reach the package source of the image (the next build tries again), or install them in the image'
    : 'Install them in the image, or in a step'
  log({
    level: 'warn',
    message: `[base] image '${name}' has no ${missing.join(', ')}: ${reason}. What needs them fails in its sandboxes: sandbox.git needs git; waitForPort needs ss, waitForURL curl, waitForProcess pgrep. ${remedy}`,
    step: 'base',
  })
}

/** By the shell that every image of a distribution has, else by bash: one of them is there. */
async function runAsRoot(
  { slot: { address } }: LiveMachine,
  command: Pick<GuestCommand, 'command' | 'onOutput' | 'signal'>,
): Promise<number> {
  const asRoot = { ...command, user: 'root', cwd: '/' }
  try {
    return await runInGuest(address, { ...asRoot, shell: '/bin/sh' })
  } catch (error) {
    if (!(error instanceof GuestRefusal)) throw error
    return runInGuest(address, asRoot)
  }
}
