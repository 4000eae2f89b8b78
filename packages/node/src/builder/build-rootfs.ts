import { BuildFailure } from '@sandlot/protocol'
import type { BuildResources, NetworkPolicy } from '@sandlot/protocol/node'
import { runInGuest } from '../guest/guest-process.ts'
import type { LiveMachine, MachineSource } from '../machines/machine.ts'
import type { Machines } from '../machines/machines.ts'
import { type Layers, LostLayer } from './layers.ts'

const SETTLE_TIMEOUT_MS = 30_000

/** A file system on the way to becoming a template. */
export interface BuildRootfs {
  key: string
  imagePath: string
  /** Key of the layer whose files lie over the image: see `withFiles`. */
  layer?: string
  fileSystemDir?: string
  /** Of a snapshot that has its files only in its memory. */
  checkpointDir?: string
  /** Whose files these are: they stay unpacked while a machine starts from them. */
  checkpointId?: string
}

/** What starts and ends the machines of builds. */
export interface MachineHost {
  machines: Pick<Machines, 'discard'>
  /** Starts in the same queue as everything else. */
  start: (key: string, source: MachineSource) => Promise<LiveMachine>
}

/**
 * Boots a machine over `ground` and tells it the time.
 * @param recipe scope: the team that waits for it
 * @param network absent: it is only read and reaches nothing
 */
export async function startOn(
  { machines, start }: MachineHost,
  ground: Omit<BuildRootfs, 'key'>,
  recipe: BuildResources & { scope?: string },
  key: string,
  network?: NetworkPolicy,
): Promise<LiveMachine> {
  const { imagePath, fileSystemDir, checkpointDir, checkpointId } = ground
  const { cpuCount, memoryMB, diskSizeMB, scope: owner } = recipe
  const machine = await start(key, {
    buildId: key,
    ...{ imagePath, fileSystemDir, checkpointDir, checkpointId, cpuCount, memoryMB, diskSizeMB },
    ...{ owner, network, isForBuild: true },
  })
  try {
    await machine.guest.post('/init', { timestamp: new Date().toISOString() })
    return machine
  } catch (error) {
    await machines.discard(machine.machineId)
    throw error
  }
}

/** All but envd, which is the first process. */
export async function endProcesses(machine: LiveMachine): Promise<void> {
  const signal = AbortSignal.timeout(SETTLE_TIMEOUT_MS)
  await runInGuest(machine.slot.address, { command: 'kill -KILL -1', user: 'root', cwd: '/', signal })
}

/** Lets `work` use a ground with its files, which stay unpacked meanwhile. @throws LostLayer, and what `work` throws */
export const withFiles = <T>(
  layers: Layers,
  ground: BuildRootfs,
  work: (ground: BuildRootfs) => Promise<T>,
): Promise<T> =>
  ground.layer === undefined
    ? work(ground)
    : layers.use(ground.layer, (fileSystemDir) => work({ ...ground, fileSystemDir }))

/** What a build fails with: the reason of the signal or of the server that ended it, else where it broke. */
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
