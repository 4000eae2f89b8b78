import { BuildFailure } from '@sandlot/protocol'
import type { BuildResources, NetworkPolicy } from '@sandlot/protocol/node'
import { runInGuest } from '../guest/guest-process.ts'
import type { LiveMachine, MachineSource } from '../machines/machine.ts'
import type { Machines } from '../machines/machines.ts'
import { type Layers, LostLayer } from './layers.ts'

const SETTLE_TIMEOUT_MS = 30_000

/** Root file system of a template that is being built. */
export interface BuildRootfs {
  key: string
  imagePath: string
  /** Key of the layer with the files over the image: see `withFiles`. */
  layer?: string
  fileSystemDir?: string
  /** Folder of a snapshot that saved the files only as part of the memory. */
  checkpointDir?: string
  /** Checkpoint of the files, which must stay unpacked during a start from them. */
  checkpointId?: string
}

/** Starts and ends the machines of builds. */
export interface MachineHost {
  machines: Pick<Machines, 'discard'>
  /** Starts a machine through the queue that all starts share. */
  start: (key: string, source: MachineSource) => Promise<LiveMachine>
}

/**
 * Boots a machine from a root file system, sets its clock, and lets the builder in.
 * @param recipe resources; `scope` is the team that waits for the machine
 * @param network default: no network access
 */
export async function startOn(
  { machines, start }: MachineHost,
  rootfs: Omit<BuildRootfs, 'key'>,
  recipe: BuildResources & { scope?: string },
  key: string,
  network?: NetworkPolicy,
): Promise<LiveMachine> {
  const { imagePath, fileSystemDir, checkpointDir, checkpointId } = rootfs
  const { cpuCount, memoryMB, diskSizeMB, scope: owner } = recipe
  const machine = await start(key, {
    buildId: key,
    imagePath,
    fileSystemDir,
    checkpointDir,
    checkpointId,
    cpuCount,
    memoryMB,
    diskSizeMB,
    owner,
    network,
    isForBuild: true,
  })
  try {
    // a snapshot with memory still asks for the access token of the sandbox that it was taken from
    await machine.guest.post('/init', { timestamp: new Date().toISOString(), accessToken: '' })
    return machine
  } catch (error) {
    await machines.discard(machine.machineId)
    throw error
  }
}

/** Kills all processes except envd, which is the first process. */
export async function endProcesses(machine: LiveMachine): Promise<void> {
  const signal = AbortSignal.timeout(SETTLE_TIMEOUT_MS)
  await runInGuest(machine.slot.address, { command: 'kill -KILL -1', user: 'root', cwd: '/', signal })
}

/** Lets `work` use a root file system with its files, which stay unpacked meanwhile. @throws LostLayer, what `work` throws */
export const withFiles = <T>(
  layers: Layers,
  rootfs: BuildRootfs,
  work: (rootfs: BuildRootfs) => Promise<T>,
): Promise<T> =>
  rootfs.layer === undefined
    ? work(rootfs)
    : layers.use(rootfs.layer, (fileSystemDir) => work({ ...rootfs, fileSystemDir }))

/**
 * Explains a failed build: by the reason of the signal, else by why the server ended the machine, else by the failed
 * step.
 */
export function toFailure(
  step: string,
  error: unknown,
  signal: AbortSignal,
  machine?: Pick<LiveMachine, 'endedBecause'>,
): unknown {
  if (signal.aborted) return signal.reason
  if (machine?.endedBecause !== undefined)
    return new BuildFailure(step, machine.endedBecause, { cause: error })
  if (error instanceof BuildFailure || error instanceof LostLayer) return error
  return new BuildFailure(step, (error as Error).message, { cause: error })
}
