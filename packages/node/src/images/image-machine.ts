import { randomUUID } from 'node:crypto'
import { basename, dirname } from 'node:path'
import { run } from '../host/run.ts'
import type { LiveMachine, MachineSource } from '../machines/machine.ts'
import type { Machines } from '../machines/machines.ts'
import type { FileLimits, ImageFile } from './image-file.ts'
import type { FinishedImage } from './imager-answers.ts'
import { type ImageOrder, ImagerClient } from './imager-client.ts'
import { unlessAborted } from './unless-aborted.ts'

/** Resources of the machine, equal for all teams, because the size of an image does not depend on a team's plan. */
const RESOURCES = { cpuCount: 2, memoryMB: 2048 }
/** Lower bound of the file size limit, as the kernel needs files of its own for memory and writable layer. */
const MIN_FILE_BYTES = 4 * 2 ** 30

/** Starts and ends machines of images. */
export interface ImageMachineHost {
  machines: Pick<Machines, 'end' | 'discard'>
  /** Starts a machine through the queue that all starts share. */
  start: (key: string, source: MachineSource) => Promise<LiveMachine>
  /** Path of the program `imager`, which is alone in its folder. */
  imagerPath: string
}

export type ImageMachineSource = Pick<
  MachineSource,
  'imagePath' | 'fileSystemDir' | 'checkpointId' | 'diskSizeMB' | 'network' | 'owner'
>

/** A machine that runs only guest/imager, which writes one image into the file that the machine was started with. */
export interface ImageMachine {
  client: ImagerClient
  address: string
  /**
   * Resolves when the file is complete and the machine is dead. @throws ImageRefusal, SandlotError, the signal's reason
   */
  write(order: Omit<ImageOrder, 'maxBytes'>): Promise<FinishedImage>
  end(): Promise<void>
}

/** @throws the signal's reason, SandlotError */
export async function startImageMachine(
  { machines, start, imagerPath }: ImageMachineHost,
  source: ImageMachineSource,
  file: ImageFile,
  limits: FileLimits,
  signal: AbortSignal,
): Promise<ImageMachine> {
  const key = `image-${randomUUID()}`
  const starting = start(key, {
    ...source,
    ...RESOURCES,
    isForBuild: true,
    buildId: key,
    guestDir: dirname(imagerPath),
    program: basename(imagerPath),
    stdout: file,
  })
  try {
    const { machineId, slot, pid } = await unlessAborted(signal, starting)
    await limitFiles(pid, limits.maxBytes)
    let isDead = false
    const client = new ImagerClient(slot.address)
    return {
      client,
      address: slot.address,
      async write(order) {
        const { maxBytes } = limits
        const finished = await file.watch(limits, signal, (ending) =>
          client.write({ ...order, maxBytes }, ending),
        )
        // ends the machine, so that it cannot change the image any more
        await machines.end(machineId)
        isDead = true
        await file.finish(finished.sizeBytes, limits)
        return finished
      },
      async end() {
        if (!isDead) await machines.discard(machineId)
      },
    }
  } catch (error) {
    // the start may still succeed, and then the machine must be ended
    starting.then(
      ({ machineId }) => machines.discard(machineId),
      () => {},
    )
    throw error
  }
}

/** Limits file sizes in the kernel, because one call may allocate the whole disk between two checks. */
const limitFiles = (pid: number, maxBytes: number) =>
  run('prlimit', ['--pid', String(pid), `--fsize=${Math.max(maxBytes, MIN_FILE_BYTES)}`])
