import { randomUUID } from 'node:crypto'
import { basename, dirname } from 'node:path'
import type { LiveMachine, MachineSource, Machines } from '../machines.ts'
import type { FileLimits, ImageFile } from './image-file.ts'
import type { FinishedImage } from './imager-answers.ts'
import { type ImageOrder, ImagerClient } from './imager-client.ts'
import { unlessAborted } from './unless-aborted.ts'

/** Its size does not depend on who asks: what a tenant sends is not weighed by what the tenant may use. */
const RESOURCES = { cpuCount: 2, memoryMB: 2048 }

/** What starts and ends machines of images. */
export interface ImageMachineHost {
  machines: Pick<Machines, 'end' | 'discard'>
  /** Starts in the same queue as everything else. */
  start: (key: string, source: MachineSource) => Promise<LiveMachine>
  /** The program `imager`, alone in its folder. */
  imagerPath: string
}

export type ImageMachineSource = Pick<
  MachineSource,
  'imagePath' | 'fileSystemDir' | 'checkpointId' | 'diskSizeMB' | 'network' | 'owner'
>

/** A machine that runs guest/imager and nothing else; it writes one image into the file that it was started with. */
export interface ImageMachine {
  client: ImagerClient
  address: string
  /** The file is complete, and the machine dead. @throws ImageRefusal, SandlotError, the signal's reason */
  write(order: Omit<ImageOrder, 'maxBytes'>, limits: FileLimits): Promise<FinishedImage>
  end(): Promise<void>
}

/** @throws the signal's reason, SandlotError */
export async function startImageMachine(
  { machines, start, imagerPath }: ImageMachineHost,
  source: ImageMachineSource,
  file: ImageFile,
  signal: AbortSignal,
): Promise<ImageMachine> {
  const key = `image-${randomUUID()}`
  const starting = start(key, {
    ...source,
    ...RESOURCES,
    buildId: key,
    guestDir: dirname(imagerPath),
    program: basename(imagerPath),
    stdout: file,
  })
  try {
    const { machineId, slot } = await unlessAborted(signal, starting)
    const client = new ImagerClient(slot.address)
    return {
      client,
      address: slot.address,
      async write(order, limits) {
        const { maxBytes } = limits
        const finished = await file.watch(limits, signal, (ending) =>
          client.write({ ...order, maxBytes }, ending),
        )
        // others boot from it: from here on it does not change
        await machines.end(machineId)
        await file.finish(finished.sizeBytes, limits)
        return finished
      },
      end: () => machines.discard(machineId),
    }
  } catch (error) {
    // it may come yet, to nobody
    starting.then(
      ({ machineId }) => machines.discard(machineId),
      () => {},
    )
    throw error
  }
}
