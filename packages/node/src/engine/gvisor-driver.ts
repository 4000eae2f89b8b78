import { mkdir, readdir, readFile, readlink, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { SandlotError } from '@sandlot/protocol'
import { CommandError, converse, run } from '../host/run.ts'
import type { Driver, MachinePaths } from './driver.ts'
import { ociSpec, type SpecOptions } from './oci-spec.ts'
import { GUEST_OOM_SCORE_ADJ, spareKernel } from './oom-order.ts'
import { callSentry } from './sentry-control.ts'

const START_TIMEOUT_MS = 60_000
const CHECKPOINT_TIMEOUT_MS = 120_000
const FREEZE_TIMEOUT_MS = 10_000
/** The machine inherits it, which does no harm: inside its cgroup all are alike, outside the cgroup's weight counts. */
const STOCK_NICENESS = 19
export interface GvisorDriverOptions {
  runscPath: string
  /** Pinned version, kept with checkpoints: they only fit the one that wrote them. */
  version: string
  /** runsc's `--root`. */
  stateDir: string
}

/** gVisor through runsc's OCI command line. */
export function createGvisorDriver(options: GvisorDriverOptions): Driver {
  const { runscPath, stateDir, version } = options
  /** Filestore descriptor of each kernel's pid: found once, then one stat a sample. */
  const filestores = new Map<number, string>()

  const logOf = ({ dir }: MachinePaths) => join(dir, 'runsc.log')

  function flagsOf(machine: MachinePaths, spec: SpecOptions | undefined): string[] {
    const flags = [
      `--root=${stateDir}`,
      `--log=${logOf(machine)}`,
      `--panic-log=${join(machine.dir, 'panic.log')}`,
      `--network=${spec && !spec.netnsPath ? 'none' : 'sandbox'}`,
      '--platform=systrap',
      '--allow-suid',
      '--cpu-num-from-quota',
      // what a checkpoint needs is in its manifest; paths may differ on another machine
      '--restore-spec-validation=ignore',
    ]
    if (spec) flags.push(`--overlay2=root:dir=${spec.overlayDir},size=${spec.diskSizeMB}m`)
    return flags
  }

  /**
   * The started kernel inherits runsc's standard streams, so they go to /dev/null, but for an image's (a pipe would
   * never close, a file that nobody watches would let the guest fill the host's disk), and errors are read from runsc's log.
   */
  async function runsc(
    machine: MachinePaths,
    spec: SpecOptions | undefined,
    args: string[],
    options: { timeoutMs: number; niceness?: number; signal?: AbortSignal; stdout?: { readonly fd: number } },
  ) {
    const { timeoutMs } = options
    const log = logOf(machine)
    const flags = flagsOf(machine, spec)
    try {
      await run(runscPath, [...flags, ...args], {
        ...options,
        oomScoreAdj: GUEST_OOM_SCORE_ADJ,
        discardOutput: true,
      })
    } catch (cause) {
      const detail =
        cause instanceof CommandError && cause.timedOut
          ? `no answer in ${timeoutMs} ms`
          : await lastError(log)
      const failed = spec ? 'sandbox_create_failed' : 'checkpoint_failed'
      const errorName = /no space left|ENOSPC/i.test(detail) ? 'disk_full' : failed
      throw new SandlotError(errorName, `runsc ${args[0]} failed for ${machine.machineId}: ${detail}`, {
        cause,
      })
    }
  }

  const pidFileOf = ({ dir }: MachinePaths) => join(dir, 'pid')
  const pidOf = async (machine: MachinePaths) => Number(await readFile(pidFileOf(machine), 'utf8'))
  const writeSpec = ({ dir }: MachinePaths, spec: SpecOptions) =>
    writeFile(join(dir, 'config.json'), JSON.stringify(ociSpec(spec)))

  async function start(
    machine: MachinePaths,
    spec: SpecOptions,
    args: string[],
    options: { niceness?: number; stdout?: { readonly fd: number } },
  ): Promise<number> {
    const flags = ['-detach', '-bundle', machine.dir, '-pid-file', pidFileOf(machine)]
    await runsc(machine, spec, [args[0]!, ...flags, ...args.slice(1), machine.machineId], {
      timeoutMs: START_TIMEOUT_MS,
      ...options,
    })
    const pid = await pidOf(machine)
    const state = JSON.parse(await readFile(join(stateDir, stateFile(machine.machineId)), 'utf8')) as {
      goferPid: number
    }
    // not before: the stubs, which inherit from the sentry, are there now
    await spareKernel([pid, state.goferPid])
    return pid
  }

  const socketOf = (machineId: string) => join(stateDir, `runsc-${machineId}.sock`)

  async function save(
    machine: MachinePaths,
    command: string,
    folder: string,
    signal?: AbortSignal,
  ): Promise<void> {
    await mkdir(folder, { recursive: true, mode: 0o700 })
    await runsc(machine, undefined, [command, '-leave-running', '-image-path', folder, machine.machineId], {
      timeoutMs: CHECKPOINT_TIMEOUT_MS,
      signal,
    })
  }

  return {
    version,
    async create(machine, spec, { fileSystemDir, stdout } = {}) {
      const from = fileSystemDir ? [`-fs-restore-image-path=${fileSystemDir}`] : []
      await writeSpec(machine, spec)
      return start(machine, spec, ['run', ...from], { stdout })
    },
    async prepare(machine, spec) {
      await writeSpec(machine, spec)
      const flags = ['-bundle', machine.dir, '-pid-file', pidFileOf(machine)]
      await runsc(machine, spec, ['create', ...flags, machine.machineId], {
        timeoutMs: START_TIMEOUT_MS,
        niceness: STOCK_NICENESS,
      })
      return pidOf(machine)
    },
    async restore(machine, spec, checkpointDir, { isUrgent, isPrepared }) {
      if (!isPrepared) await writeSpec(machine, spec)
      return start(machine, spec, ['restore', '-image-path', checkpointDir], {
        niceness: isUrgent ? 0 : STOCK_NICENESS,
      })
    },

    freeze: (machineId) => callSentry(socketOf(machineId), 'containerManager.Pause', FREEZE_TIMEOUT_MS),
    thaw: (machineId) => callSentry(socketOf(machineId), 'containerManager.Resume', FREEZE_TIMEOUT_MS),

    async checkpoint(machine, checkpointDir) {
      await save(machine, 'checkpoint', checkpointDir)
    },
    async saveFileSystem(machine, fileSystemDir) {
      await save(machine, 'fscheckpoint', fileSystemDir)
    },

    async converse(machine, spec, fileSystemDir, talk, signal) {
      await writeSpec(machine, spec)
      const args = [
        'run',
        '-bundle',
        machine.dir,
        `-fs-restore-image-path=${fileSystemDir}`,
        machine.machineId,
      ]
      return converse(runscPath, [...flagsOf(machine, spec), ...args], talk, {
        signal,
        oomScoreAdj: GUEST_OOM_SCORE_ADJ,
      })
    },

    async extractFileSystem(machine, spec, checkpointDir, fileSystemDir, signal) {
      await writeSpec(machine, spec)
      const args = ['restore', '-detach', '-bundle', machine.dir, '-image-path', checkpointDir]
      await runsc(machine, spec, [...args, machine.machineId], { timeoutMs: START_TIMEOUT_MS, signal })
      await callSentry(socketOf(machine.machineId), 'containerManager.Pause', FREEZE_TIMEOUT_MS)
      await save(machine, 'fscheckpoint', fileSystemDir, signal)
    },

    async forget(machineId) {
      const names = [
        stateFile(machineId),
        `${machineId}_sandbox:${machineId}.lock`,
        `runsc-${machineId}.sock`,
      ]
      await Promise.all(names.map((name) => rm(join(stateDir, name), { force: true })))
    },

    async list() {
      const names = await readdir(stateDir).catch(() => [])
      return [...new Set(names.flatMap((name) => name.match(/^(?:runsc-)?([0-9a-f]{16})[_.]/)?.[1] ?? []))]
    },

    async diskUsedBytes(pid) {
      let path = filestores.get(pid)
      if (!path) {
        path = await findFilestore(pid)
        if (!path) return 0
        if (filestores.size > 10_000) filestores.clear()
        filestores.set(pid, path)
      }
      try {
        return (await stat(path)).blocks * 512
      } catch {
        filestores.delete(pid)
        return 0
      }
    },
  }
}

/**
 * runsc keeps an empty namespace mounted in its state folder for its gofers; two that start at once mount it twice.
 * Without this the folder cannot be removed.
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

const stateFile = (machineId: string): string => `${machineId}_sandbox:${machineId}.state`

/** The overlay's backing file has no name any more: it is only reachable through the kernel's descriptors. */
async function findFilestore(pid: number): Promise<string | undefined> {
  const folder = `/proc/${pid}/fd`
  for (const fd of await readdir(folder).catch(() => [])) {
    const target = await readlink(join(folder, fd)).catch(() => '')
    if (target.includes('/runsc-filestore-')) return join(folder, fd)
  }
  return undefined
}

async function lastError(log: string): Promise<string> {
  const text = await readFile(log, 'utf8').catch(() => '')
  const lines = text
    .trim()
    .split('\n')
    .filter((line) => !line.startsWith('I') && !line.startsWith('D'))
  return lines.slice(-3).join(' | ').slice(-1500) || 'it left no message'
}
