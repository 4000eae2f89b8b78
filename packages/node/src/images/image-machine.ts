import { randomUUID } from 'node:crypto'
import { basename, dirname } from 'node:path'
import type { LiveMachine, MachineSource, Machines } from '../machines.ts'
import { ImagerClient } from './imager-client.ts'
import { unlessAborted } from './unless-aborted.ts'

/** Its size does not depend on who asks: what a tenant sends is not weighed by what the tenant may use. */
const RESOURCES = { cpuCount: 2, memoryMB: 2048 }

/** What starts and ends machines of images. */
export interface ImageMachineHost {
  machines: Pick<Machines, 'discard'>
  /** Starts in the same queue as everything else. */
  start: (key: string, source: MachineSource) => Promise<LiveMachine>
  /** The program `imager`, alone in its folder. */
  imagerPath: string
}

export type ImageMachineSource = Pick<
  MachineSource,
  'imagePath' | 'fileSystemDir' | 'checkpointId' | 'diskSizeMB' | 'network' | 'owner'
>

/** A machine that runs guest/imager and nothing else; it is good for one image. */
export interface ImageMachine {
  client: ImagerClient
  address: string
  end(): Promise<void>
}

/** @throws the signal's reason, SandlotError */
export async function startImageMachine(
  { machines, start, imagerPath }: ImageMachineHost,
  source: ImageMachineSource,
  signal: AbortSignal,
): Promise<ImageMachine> {
  const key = `image-${randomUUID()}`
  const starting = start(key, {
    ...source,
    ...RESOURCES,
    buildId: key,
    guestDir: dirname(imagerPath),
    program: basename(imagerPath),
  })
  try {
    const { machineId, slot } = await unlessAborted(signal, starting)
    return {
      client: new ImagerClient(slot.address),
      address: slot.address,
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
