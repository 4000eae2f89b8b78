import { SandlotError } from '@sandlot/protocol'
import type { AttachedDirectories, VolumeDirectories, VolumeMount } from '@sandlot/protocol/node'
import type { SlotMounts } from './slot-mounts.ts'
import type { VolumeIds } from './volume-ids.ts'

export interface VolumeBindingsOptions {
  mounts: SlotMounts
  ids: VolumeIds
  /** Absent: this node has no volumes. */
  directories?: VolumeDirectories
  onError: (error: unknown) => void
}

/** What identifies a machine, and the users that it runs as. */
export interface BoundMachine {
  machineId: string
  /** Its network slot. */
  slot: { index: number }
}

/** Binds volumes to slots of machines, and knows which volumes each machine uses. */
export class VolumeBindings {
  readonly #options: VolumeBindingsOptions
  /** Volume in each slot, by machine. */
  readonly #used = new Map<string, Map<number, string>>()

  constructor(options: VolumeBindingsOptions) {
    this.#options = options
  }

  prepare(): void {
    this.#options.mounts.prepare()
  }

  /** Folder for what takes the place of volumes. */
  get standInsDir(): string {
    return this.#options.mounts.standInsDir
  }

  dirOf(machineId: string): string {
    return this.#options.mounts.dirOf(machineId)
  }

  /** Creates the slots of a machine; must be called before the machine's kernel is started. */
  open(machineId: string): void {
    this.#options.mounts.open(machineId)
  }

  /** Unmounts the volumes of a machine whose processes are dead, removes its slots and releases the volumes. Idempotent. */
  async close(machineId: string): Promise<void> {
    const used = this.#take(machineId)
    await this.#options.mounts.close(machineId)
    // those too that were bound while the mounts ended
    for (const volumeId of [...used, ...this.#take(machineId)]) await this.#release(volumeId)
  }

  /** Lists the ids of machines with slots. */
  list(): string[] {
    return this.#options.mounts.list()
  }

  /** @throws SandlotError conflict when no volume can be mounted into the machine */
  check(machineId: string): void {
    if (this.#options.mounts.has(machineId)) return
    throw new SandlotError(
      'conflict',
      'this sandbox was started before the server could mount volumes into it: pause and resume it, or create it anew',
    )
  }

  /** Binds a volume to a slot. @throws SandlotError not_found, volume_unavailable */
  async bind(machine: BoundMachine, slot: number, volume: VolumeMount): Promise<void> {
    const { mounts, ids } = this.#options
    const { volumeId, name, isReadOnly } = volume
    const { directory, unmapped = directory, hasPlainIds } = await this.#attach(volume)
    try {
      const idMap = await ids.of(machine.slot.index, hasPlainIds)
      await mounts.bind(machine.machineId, slot, unmapped, { isReadOnly, idMap })
    } catch (cause) {
      await this.#release(volumeId)
      const message = `volume '${name}' cannot be mounted: ${(cause as Error).message}`
      throw new SandlotError('volume_unavailable', message, { cause })
    }
    this.#usedBy(machine.machineId).set(slot, volumeId)
  }

  /** @returns false when the volume does not exist any more @throws SandlotError volume_unavailable */
  async bindIfExists(
    machine: BoundMachine,
    slot: number,
    volume: VolumeMount,
    onMissing: (error: unknown) => void,
  ): Promise<boolean> {
    try {
      await this.bind(machine, slot, volume)
      return true
    } catch (error) {
      if (!isNotFound(error)) throw error
      onMissing(error)
      return false
    }
  }

  /** Binds a folder to a slot in place of a volume. */
  async bindFolder(
    { machineId }: Pick<BoundMachine, 'machineId'>,
    slot: number,
    directory: string,
  ): Promise<void> {
    await this.#options.mounts.bind(machineId, slot, directory, {})
  }

  /** Unmounts whatever is on a slot; open files stay usable inside. Idempotent. */
  async unbind(machineId: string, slot: number): Promise<void> {
    const used = this.#used.get(machineId)
    const volumeId = used?.get(slot)
    used?.delete(slot)
    await this.#options.mounts.unbind(machineId, slot)
    if (volumeId !== undefined) await this.#release(volumeId)
  }

  /** Returns the bytes that volumes in these slots use, whoever wrote them. */
  async usedBytes(machineId: string, slots: readonly number[]): Promise<number> {
    const { mounts, onError } = this.#options
    const sizes = slots.map((slot) =>
      mounts.usedBytes(machineId, slot).catch((error: unknown) => {
        onError(error)
        return 0
      }),
    )
    return (await Promise.all(sizes)).reduce((sum, one) => sum + one, 0)
  }

  /** Attaches the volumes of a machine that a former server has bound. @returns slots that a volume is bound to */
  async recover(
    machineId: string,
    volumes: ReadonlyArray<VolumeMount & { slot: number }>,
  ): Promise<Set<number>> {
    const bound = new Set(this.#options.mounts.bound(machineId))
    for (const slot of bound)
      if (!volumes.some((one) => one.slot === slot)) await this.#options.mounts.unbind(machineId, slot)
    for (const volume of volumes) {
      if (!bound.has(volume.slot)) continue
      // what is mounted stays usable, even when the volume cannot be attached once more
      await this.#attach(volume).then(
        () => this.#usedBy(machineId).set(volume.slot, volume.volumeId),
        this.#options.onError,
      )
    }
    return new Set(volumes.map(({ slot }) => slot).filter((slot) => bound.has(slot)))
  }

  /** Frees what this process holds; mounts stay. */
  dispose(): Promise<void> {
    return this.#options.ids.close()
  }

  /** Unmounts and removes everything, once no machine is left. */
  removeAll(): void {
    this.#options.mounts.removeAll()
  }

  async #attach({ volumeId, name }: VolumeMount): Promise<AttachedDirectories> {
    const { directories } = this.#options
    if (!directories)
      throw new SandlotError(
        'volume_unavailable',
        `volume '${name}' cannot be mounted: this node has no volumes`,
      )
    return directories.attach(volumeId)
  }

  async #release(volumeId: string): Promise<void> {
    const { directories, onError } = this.#options
    await directories?.release(volumeId).catch(onError)
  }

  #take(machineId: string): string[] {
    const used = this.#used.get(machineId)
    this.#used.delete(machineId)
    return [...(used?.values() ?? [])]
  }

  #usedBy(machineId: string): Map<number, string> {
    let used = this.#used.get(machineId)
    if (!used) this.#used.set(machineId, (used = new Map()))
    return used
  }
}

/** Whether a volume does not exist. */
export const isNotFound = (error: unknown): boolean =>
  error instanceof SandlotError && error.errorName === 'not_found'
