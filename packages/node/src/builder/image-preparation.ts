import { BuildFailure } from '@sandlot/protocol'
import { OPEN } from '@sandlot/protocol/node'
import { type GuestCommand, GuestRefusal, runInGuest } from '../guest/guest-process.ts'
import { unlessAborted } from '../images/unless-aborted.ts'
import type { LiveMachine } from '../machines/machine.ts'
import type { Machines } from '../machines/machines.ts'
import { type BuildRootfs, endProcesses, type MachineHost, startOn, toFailure } from './build-rootfs.ts'
import type { BuildLog } from './build-work.ts'
import { checkScript, installScript, knownTools, NO_PACKAGE_MANAGER, TOOLS } from './image-tools.ts'
import type { Layers } from './layers.ts'
import { LineBuffer } from './line-buffer.ts'
import { digest } from './recipe.ts'

/** Resources of the machine that installs packages: package managers would be killed in a template with little memory. */
const RESOURCES = { cpuCount: 2, memoryMB: 2048 }
const TIMEOUT_MS = 15 * 60_000
/** Limit of the check for tools, which takes a second. */
const CHECK_TIMEOUT_MS = 2 * 60_000
const LAST_LINES = 5

/** Tools that an image lacks after the installation. */
interface Lack {
  missing: string[]
  /** Why they are missing, for the log. */
  reason: string
  /** Whether a retry may help. */
  isTransient: boolean
}

export interface PreparationOptions extends MachineHost {
  machines: Pick<Machines, 'discard' | 'saveFileSystem'>
  layers: Pick<Layers, 'find' | 'add'>
  checkSpace: (machine: LiveMachine, hasMemory: boolean) => Promise<void>
  /** Limit of the check for tools. Default: 2 minutes. */
  checkTimeoutMs?: number
}

/** A foreign image and the build that starts from it. */
export interface ForeignImage {
  name: string
  key: string
  imagePath: string
  diskSizeMB: number
  /** Team that waits for the build. */
  owner: string
  /** Whether to repeat an installation that an earlier build has made. */
  isForced: boolean
  log: BuildLog
  signal: AbortSignal
}

/**
 * Adds the tools that every sandbox has to a foreign image, before the first step. The layer is cached for all builds
 * from the image, and built again when a package source did not answer.
 */
export class ImagePreparation {
  readonly #options: PreparationOptions
  /** Running preparations by key: concurrent builds from one image share a preparation. */
  readonly #running = new Map<string, Promise<BuildRootfs>>()

  constructor(options: PreparationOptions) {
    this.#options = options
  }

  /** @throws BuildFailure when bash cannot be installed, SandlotError, and the signal's reason */
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
    const lack = found?.note === undefined ? undefined : fromNote(found.note)
    if (!lack || lack.isTransient) return this.#make(image, key)
    warnOf(lack, image)
    return { key, imagePath: image.imagePath, layer: key }
  }

  async #make(image: ForeignImage, key: string): Promise<BuildRootfs> {
    const { machines, layers, checkSpace } = this.#options
    const { imagePath, diskSizeMB, owner } = image
    const resources = { ...RESOURCES, diskSizeMB, scope: owner }
    const machine = await startOn(this.#options, { imagePath }, resources, `prepare-${key}`, OPEN)
    try {
      const lack = await this.#install(image, machine)
      if (lack.missing.includes('bash'))
        throw new BuildFailure(
          'base',
          `image '${image.name}' has no /bin/bash, which runs the commands of sandboxes; it could not be installed: ${lack.reason}. Use an image that has bash, or let builds reach its package source`,
        )
      warnOf(lack, image)
      await endProcesses(machine)
      await checkSpace(machine, false)
      const save = (filesDir: string) => machines.saveFileSystem(machine, filesDir)
      await layers.add(key, imagePath, save, toNote(lack))
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
      message: `[base] That took ${seconds} s; the result is cached for later builds`,
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
        `the shell of image '${name}' did not end within ${checkTimeoutMs / 1000} s when it was asked which tools the image has`,
      )
    })
    lines.end()
    return knownTools(lines.last(TOOLS.length).split('\n'))
  }
}

/** Reads the note of a layer. Its field `isPassing` has the name that earlier versions wrote. */
function fromNote(note: string): Lack {
  const { missing, reason, isPassing } = JSON.parse(note)
  return { missing, reason, isTransient: isPassing }
}

const toNote = ({ missing, reason, isTransient }: Lack): string =>
  JSON.stringify({ missing, reason, isPassing: isTransient })

/** @param exitCode of the installation, undefined when it did not end in time */
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

/** Runs a command with /bin/sh, which images of distributions have, else with bash. */
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
