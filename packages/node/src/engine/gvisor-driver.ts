import { mkdir, readdir, readFile, readlink, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Readable, Writable } from 'node:stream'
import { SandlotError } from '@sandlot/protocol'
import { CommandError, converse, run } from '../host/run.ts'
import type { Driver, MachinePaths } from './driver.ts'
import { ociSpec, type SpecOptions } from './oci-spec.ts'
import { GUEST_OOM_SCORE_ADJ, spareKernel } from './oom-order.ts'
import { lastError } from './runsc-log.ts'
import { callSentry } from './sentry-control.ts'

const START_TIMEOUT_MS = 60_000
const CHECKPOINT_TIMEOUT_MS = 120_000
const FREEZE_TIMEOUT_MS = 10_000
/**
 * Niceness of background starts. The machine inherits it without harm: all processes in its cgroup have the same
 * niceness, and other cgroups only see the cgroup's weight.
 */
const STOCK_NICENESS = 19
const MAX_KNOWN_FILESTORES = 10_000

export interface GvisorDriverOptions {
  runscPath: string
  /** Pinned version. Checkpoints record the version, because no other version can read their memory. */
  version: string
  /** runsc's `--root`. */
  stateDir: string
}

interface RunOptions {
  timeoutMs: number
  niceness?: number
  signal?: AbortSignal
  stdout?: { readonly fd: number }
}

/** gVisor through runsc's OCI command line. */
export class GvisorDriver implements Driver {
  readonly version: string
  readonly #runscPath: string
  readonly #stateDir: string
  /** Filestore descriptor by pid of the kernel: found once, so that later samples cost one `stat`. */
  readonly #filestores = new Map<number, string>()

  constructor({ runscPath, version, stateDir }: GvisorDriverOptions) {
    this.version = version
    this.#runscPath = runscPath
    this.#stateDir = stateDir
  }

  async create(
    machine: MachinePaths,
    spec: SpecOptions,
    { fileSystemDir, stdout }: { fileSystemDir?: string; stdout?: { readonly fd: number } } = {},
  ): Promise<number> {
    const from = fileSystemDir ? [`-fs-restore-image-path=${fileSystemDir}`] : []
    await writeSpec(machine, spec)
    return this.#start(machine, spec, ['run', ...from], { stdout })
  }

  async prepare(machine: MachinePaths, spec: SpecOptions): Promise<number> {
    await writeSpec(machine, spec)
    const flags = ['-bundle', machine.dir, '-pid-file', pidFileOf(machine)]
    await this.#runsc(machine, spec, ['create', ...flags, machine.machineId], {
      timeoutMs: START_TIMEOUT_MS,
      niceness: STOCK_NICENESS,
    })
    return pidOf(machine)
  }

  async restore(
    machine: MachinePaths,
    spec: SpecOptions,
    checkpointDir: string,
    { isUrgent, isPrepared }: { isUrgent: boolean; isPrepared?: boolean },
  ): Promise<number> {
    if (!isPrepared) await writeSpec(machine, spec)
    return this.#start(machine, spec, ['restore', '-image-path', checkpointDir], {
      niceness: isUrgent ? 0 : STOCK_NICENESS,
    })
  }

  freeze(machineId: string): Promise<void> {
    return callSentry(this.#socketOf(machineId), 'containerManager.Pause', FREEZE_TIMEOUT_MS)
  }

  thaw(machineId: string): Promise<void> {
    return callSentry(this.#socketOf(machineId), 'containerManager.Resume', FREEZE_TIMEOUT_MS)
  }

  checkpoint(machine: MachinePaths, checkpointDir: string): Promise<void> {
    return this.#save(machine, 'checkpoint', checkpointDir)
  }

  saveFileSystem(machine: MachinePaths, fileSystemDir: string): Promise<void> {
    return this.#save(machine, 'fscheckpoint', fileSystemDir)
  }

  async converse<T>(
    machine: MachinePaths,
    spec: SpecOptions,
    fileSystemDir: string,
    talk: (stdin: Writable, stdout: Readable) => Promise<T>,
    signal: AbortSignal,
  ): Promise<T> {
    await writeSpec(machine, spec)
    const bundle = ['-bundle', machine.dir, `-fs-restore-image-path=${fileSystemDir}`]
    const args = [...this.#flagsOf(machine, spec), 'run', ...bundle, machine.machineId]
    return converse(this.#runscPath, args, talk, { signal, oomScoreAdj: GUEST_OOM_SCORE_ADJ })
  }

  async extractFileSystem(
    machine: MachinePaths,
    spec: SpecOptions,
    checkpointDir: string,
    fileSystemDir: string,
    signal: AbortSignal,
  ): Promise<void> {
    await writeSpec(machine, spec)
    const args = ['restore', '-detach', '-bundle', machine.dir, '-image-path', checkpointDir]
    await this.#runsc(machine, spec, [...args, machine.machineId], { timeoutMs: START_TIMEOUT_MS, signal })
    await this.freeze(machine.machineId)
    await this.#save(machine, 'fscheckpoint', fileSystemDir, signal)
  }

  async forget(machineId: string): Promise<void> {
    const names = [stateFile(machineId), `${machineId}_sandbox:${machineId}.lock`, socketName(machineId)]
    await Promise.all(names.map((name) => rm(join(this.#stateDir, name), { force: true })))
  }

  async list(): Promise<string[]> {
    const names = await readdir(this.#stateDir).catch(() => [])
    return [...new Set(names.flatMap((name) => name.match(/^(?:runsc-)?([0-9a-f]{16})[_.]/)?.[1] ?? []))]
  }

  async diskUsedBytes(pid: number): Promise<number> {
    let path = this.#filestores.get(pid)
    if (!path) {
      path = await findFilestore(pid)
      if (!path) return 0
      if (this.#filestores.size > MAX_KNOWN_FILESTORES) this.#filestores.clear()
      this.#filestores.set(pid, path)
    }
    try {
      return (await stat(path)).blocks * 512
    } catch {
      this.#filestores.delete(pid)
      return 0
    }
  }

  async #start(
    machine: MachinePaths,
    spec: SpecOptions,
    [command, ...args]: [string, ...string[]],
    options: Pick<RunOptions, 'niceness' | 'stdout'>,
  ): Promise<number> {
    const flags = ['-detach', '-bundle', machine.dir, '-pid-file', pidFileOf(machine)]
    await this.#runsc(machine, spec, [command, ...flags, ...args, machine.machineId], {
      timeoutMs: START_TIMEOUT_MS,
      ...options,
    })
    const pid = await pidOf(machine)
    const state = await readFile(join(this.#stateDir, stateFile(machine.machineId)), 'utf8')
    const { goferPid } = JSON.parse(state) as { goferPid: number }
    // only now, because the stubs, which inherit the score of the sentry, have been started
    await spareKernel([pid, goferPid])
    return pid
  }

  async #save(machine: MachinePaths, command: string, folder: string, signal?: AbortSignal): Promise<void> {
    await mkdir(folder, { recursive: true, mode: 0o700 })
    const args = [command, '-leave-running', '-image-path', folder, machine.machineId]
    await this.#runsc(machine, undefined, args, { timeoutMs: CHECKPOINT_TIMEOUT_MS, signal })
  }

  /**
   * Runs runsc with its output discarded, except for an image's program, and reads errors from runsc's log. The started
   * kernel inherits the standard streams: a pipe would never close, and the guest could fill the host's disk through a
   * file.
   */
  async #runsc(
    machine: MachinePaths,
    spec: SpecOptions | undefined,
    args: string[],
    options: RunOptions,
  ): Promise<void> {
    try {
      await run(this.#runscPath, [...this.#flagsOf(machine, spec), ...args], {
        ...options,
        oomScoreAdj: GUEST_OOM_SCORE_ADJ,
        discardOutput: true,
      })
    } catch (cause) {
      const isTimeout = cause instanceof CommandError && cause.timedOut
      const detail = isTimeout
        ? `no answer in ${options.timeoutMs} ms`
        : lastError(await readFile(logOf(machine), 'utf8').catch(() => ''))
      const failed = spec ? 'sandbox_create_failed' : 'checkpoint_failed'
      const errorName = /no space left|ENOSPC/i.test(detail) ? 'disk_full' : failed
      const message = `runsc ${args[0]} failed for ${machine.machineId}: ${detail}`
      throw new SandlotError(errorName, message, { cause })
    }
  }

  #flagsOf(machine: MachinePaths, spec: SpecOptions | undefined): string[] {
    const flags = [
      `--root=${this.#stateDir}`,
      `--log=${logOf(machine)}`,
      `--panic-log=${join(machine.dir, 'panic.log')}`,
      `--network=${spec && !spec.netnsPath ? 'none' : 'sandbox'}`,
      '--platform=systrap',
      '--allow-suid',
      '--cpu-num-from-quota',
      // the manifest lists what a checkpoint needs; paths may differ on another machine
      '--restore-spec-validation=ignore',
    ]
    if (spec) flags.push(`--overlay2=root:dir=${spec.overlayDir},size=${spec.diskSizeMB}m`)
    return flags
  }

  #socketOf(machineId: string): string {
    return join(this.#stateDir, socketName(machineId))
  }
}

const logOf = ({ dir }: MachinePaths): string => join(dir, 'runsc.log')
const pidFileOf = ({ dir }: MachinePaths): string => join(dir, 'pid')

async function pidOf(machine: MachinePaths): Promise<number> {
  return Number(await readFile(pidFileOf(machine), 'utf8'))
}

const writeSpec = ({ dir }: MachinePaths, spec: SpecOptions): Promise<void> =>
  writeFile(join(dir, 'config.json'), JSON.stringify(ociSpec(spec)))

const stateFile = (machineId: string): string => `${machineId}_sandbox:${machineId}.state`
const socketName = (machineId: string): string => `runsc-${machineId}.sock`

/**
 * Unmounts the empty namespace that runsc keeps in its state folder for its gofers, so that the folder can be removed.
 * Concurrent starts may have mounted the namespace more than once.
 */
export async function unmountState(stateDir: string): Promise<void> {
  for (let i = 0; i < 100; i++) {
    const isMounted = await run('umount', ['-l', join(stateDir, 'null-netns')]).then(
      () => true,
      () => false,
    )
    if (!isMounted) return
  }
}

/** Finds the overlay's backing file, which is unlinked, among the kernel's descriptors. */
async function findFilestore(pid: number): Promise<string | undefined> {
  const folder = `/proc/${pid}/fd`
  for (const fd of await readdir(folder).catch(() => [])) {
    const target = await readlink(join(folder, fd)).catch(() => '')
    if (target.includes('/runsc-filestore-')) return join(folder, fd)
  }
  return undefined
}
