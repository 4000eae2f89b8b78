import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { SandlotError } from '@sandlot/protocol'
import type { VolumeMount } from '@sandlot/protocol/node'
import type { GuestClient } from '../guest/guest-client.ts'
import { writeFileAtomically } from '../host/atomic-writes.ts'
import { type BoundMachine, isNotFound, type VolumeBindings } from './volume-bindings.ts'
import {
  isSame,
  type MountedVolume,
  type SlotVolume,
  toSlotVolumes,
  type VolumeTable,
} from './volume-table.ts'

/** Name of the file in a machine's folder that records its volumes. */
const VOLUMES_FILE = 'volumes.json'

/** A running machine, as this room needs it. */
export interface VolumeMachine extends BoundMachine {
  dir: string
  guest: Pick<GuestClient, 'ask'>
  volumes: VolumeTable
}

export interface AlignOptions {
  /** Whether volumes that do not exist any more are skipped instead of an error. Default false. */
  skipsMissing?: boolean
}

/** Mounts volumes into running machines: on a slot by this host, then at a path by envd. */
export class MachineVolumes {
  readonly #bindings: VolumeBindings
  readonly #onError: (error: unknown) => void
  /** The last change of each machine, which the next one waits for. */
  readonly #changing = new WeakMap<VolumeMachine, Promise<unknown>>()

  constructor(bindings: VolumeBindings, onError: (error: unknown) => void) {
    this.#bindings = bindings
    this.#onError = onError
  }

  /**
   * Brings a running machine from what it has mounted to `wanted`. Does nothing, without a call of envd, when both agree.
   * A failure leaves what was mounted before and is still wanted.
   * @throws SandlotError not_found, volume_unavailable, invalid_request (a path that cannot be a mount point), conflict (a
   * machine that can have no volumes)
   */
  align(machine: VolumeMachine, wanted: readonly VolumeMount[], options: AlignOptions = {}): Promise<void> {
    if (wanted.length === 0 && machine.volumes.list().length === 0) return Promise.resolve()
    return this.#inTurn(machine, () => this.#align(machine, wanted, options))
  }

  /** Mounts one more volume. @throws as `align`, and SandlotError conflict when the path has another volume */
  mount(machine: VolumeMachine, volume: VolumeMount): Promise<void> {
    return this.#inTurn(machine, async () => {
      const mounted = machine.volumes.list()
      const other = mounted.find(({ path }) => path === volume.path)
      if (other && !isSame(other, volume))
        throw new SandlotError('conflict', `path '${volume.path}' is already used by volume '${other.name}'`)
      if (!other) await this.#align(machine, [...mounted, volume], { skipsMissing: true, added: volume })
    })
  }

  /** Unmounts the volume at a path; open files stay usable. @returns false when there is none */
  unmount(machine: VolumeMachine, path: string): Promise<boolean> {
    return this.#inTurn(machine, async () => {
      const mounted = machine.volumes.list()
      const rest = mounted.filter((one) => one.path !== path)
      if (rest.length === mounted.length) return false
      await this.#align(machine, rest, { skipsMissing: true })
      return true
    })
  }

  /** Frees what this process holds; volumes stay mounted. */
  close(): Promise<void> {
    return this.#bindings.dispose()
  }

  async #align(
    machine: VolumeMachine,
    wanted: readonly VolumeMount[],
    { skipsMissing = false, added }: AlignOptions & { added?: VolumeMount },
  ): Promise<void> {
    const { volumes } = machine
    const missing: VolumeMount[] = []
    let plan = volumes.plan(wanted)
    if (plan.unmount.length + plan.mount.length === 0) return
    this.#bindings.check(machine.machineId)
    const bound: MountedVolume[] = []
    try {
      for (const volume of plan.mount) {
        const slot = freeSlot(machine, volume, bound)
        try {
          // recorded first, so that a start after a crash finds the slot
          await record(machine, [...volumes.list(), ...bound, { ...volume, slot, isBound: true }])
          await this.#bindings.bind(machine, slot, volume)
          bound.push({ ...volume, slot, isBound: true })
        } catch (error) {
          if (!skipsMissing || volume === added || !isNotFound(error)) throw error
          this.#onError(error)
          missing.push(volume)
        }
      }
      plan = volumes.plan(wanted, (one) => missing.some((other) => isSame(one, other)))
      await this.#change(machine, plan.unmount, bound)
    } catch (error) {
      for (const { slot } of bound) await this.#bindings.unbind(machine.machineId, slot)
      await record(machine, volumes.list()).catch(this.#onError)
      throw error
    }
    for (const { slot } of plan.unmount) {
      volumes.remove(slot)
      await this.#bindings.unbind(machine.machineId, slot)
    }
    for (const one of bound) volumes.add(one)
    await record(machine, volumes.list())
  }

  /** Lets envd unmount and mount. @throws SandlotError invalid_request, conflict, sandbox_create_failed */
  async #change({ guest }: VolumeMachine, unmount: MountedVolume[], mount: MountedVolume[]): Promise<void> {
    const { status, words } = await guest.ask('/volumes', {
      unmount: unmount.map(({ path }) => path),
      mount: mount.map(({ slot, path }) => ({ slot, path })),
    })
    if (status === 204) return
    if (status === 400) throw new SandlotError('invalid_request', messageIn(words))
    if (status === 409 || status === 404)
      throw new SandlotError(
        'conflict',
        'this sandbox was started from a snapshot that was made before Sandlot had volumes: it cannot mount any',
      )
    throw new SandlotError(
      'sandbox_create_failed',
      `envd answered ${status} to the mount of a volume: ${words}`,
    )
  }

  #inTurn<T>(machine: VolumeMachine, work: () => Promise<T>): Promise<T> {
    const running = (this.#changing.get(machine) ?? Promise.resolve()).then(work)
    this.#changing.set(
      machine,
      running.catch(() => {}),
    )
    return running
  }
}

function freeSlot({ volumes }: VolumeMachine, volume: VolumeMount, taken: readonly MountedVolume[]): number {
  return volumes.freeSlot(volume, new Set(taken.map(({ slot }) => slot)))
}

/** Writes the volumes of a machine to its folder, for a server that starts after a crash. */
export const record = (
  { dir }: Pick<VolumeMachine, 'dir'>,
  volumes: readonly MountedVolume[],
): Promise<void> => writeFileAtomically(join(dir, VOLUMES_FILE), JSON.stringify(volumes))

/** @returns an empty list for a machine that never had volumes @throws Error */
export async function readVolumes({ dir }: Pick<VolumeMachine, 'dir'>): Promise<SlotVolume[]> {
  const text = await readFile(join(dir, VOLUMES_FILE), 'utf8').catch(() => '[]')
  return toSlotVolumes(JSON.parse(text))
}

/** Returns the message of an error that envd has answered. */
function messageIn(words: string): string {
  try {
    const { message } = JSON.parse(words) as { message?: unknown }
    return typeof message === 'string' ? message : words
  } catch {
    return words
  }
}
