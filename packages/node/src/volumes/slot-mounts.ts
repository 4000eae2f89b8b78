import { mkdirSync, readdirSync, rmdirSync } from 'node:fs'
import { statfs } from 'node:fs/promises'
import { join } from 'node:path'
import {
  bindMount,
  type CloneOptions,
  cloneMount,
  detachMount,
  detachMounts,
  makePrivate,
  makeReadOnly,
  makeShared,
  mountsIn,
  mountTmpfs,
} from '@sandlot/linux'

/** Volumes that one machine can have at a time. */
export const SLOT_COUNT = 16

/**
 * Mounts of this host through which volumes reach machines. Each machine is started with a folder of empty, read-only
 * slots; a volume that is mounted on a slot appears inside, also while the machine runs (docs/adr/0039).
 *
 * ```
 * /run/sandlot-<instance>/slots          the empty slots
 * /run/sandlot-<instance>/volumes/<id>   a copy of the slots for each machine, in whose namespace it is too
 * /run/sandlot-<instance>/stand-ins/<n>  empty folders during some restores (`stand-ins.ts`)
 * ```
 *
 * The folders below contain data of users while volumes are mounted: they are only ever unmounted and removed while empty,
 * never recursively.
 */
export class SlotMounts {
  readonly #dir: string
  readonly #slotsDir: string
  readonly #volumesDir: string

  /** @param dir folder of this instance in `/run`, which is empty after a boot of the host */
  constructor(dir: string) {
    this.#dir = dir
    this.#slotsDir = join(dir, 'slots')
    this.#volumesDir = join(dir, 'volumes')
  }

  /** Mounts what all machines need. Idempotent, also after a crash between any two steps. */
  prepare(): void {
    this.#removeStandIns()
    for (const dir of [this.#dir, this.#slotsDir, this.#volumesDir, this.standInsDir])
      mkdirSync(dir, { recursive: true, mode: 0o700 })
    const mounts = mountsIn(this.#dir)
    const find = (dir: string) => mounts.findLast(({ target }) => target === dir)
    if (!find(this.#volumesDir)) bindMount(this.#volumesDir, this.#volumesDir)
    if (!find(this.#volumesDir)?.isShared) {
      makePrivate(this.#volumesDir)
      makeShared(this.#volumesDir)
    }
    if (find(this.#slotsDir)?.isReadOnly) return
    if (!find(this.#slotsDir)) mountTmpfs(this.#slotsDir, 'size=16k,nr_inodes=64,mode=755')
    makePrivate(this.#slotsDir)
    for (let slot = 0; slot < SLOT_COUNT; slot++)
      mkdirSync(join(this.#slotsDir, String(slot)), { recursive: true })
    makeReadOnly(this.#slotsDir)
  }

  /** Folder for what takes the place of volumes while a machine starts. */
  get standInsDir(): string {
    return join(this.#dir, 'stand-ins')
  }

  /** Folder with the slots of a machine. */
  dirOf(machineId: string): string {
    return join(this.#volumesDir, machineId)
  }

  /** Creates the slots of a machine; must be called before the machine's kernel is started. */
  open(machineId: string): void {
    const dir = this.dirOf(machineId)
    mkdirSync(dir, { mode: 0o700 })
    bindMount(this.#slotsDir, dir)
  }

  /** Whether volumes can be mounted into a machine: not after a start in a new mount namespace. */
  has(machineId: string): boolean {
    return mountsIn(this.dirOf(machineId)).some(({ target }) => target === this.dirOf(machineId))
  }

  /** Mounts a folder on a slot. */
  async bind(machineId: string, slot: number, directory: string, options: CloneOptions): Promise<void> {
    await cloneMount(directory, this.#slotOf(machineId, slot), options)
  }

  /** Unmounts whatever is on a slot. Open files stay usable inside. Idempotent. */
  async unbind(machineId: string, slot: number): Promise<void> {
    await detachMounts(this.#slotOf(machineId, slot))
  }

  /** Returns the bytes that the file system on a slot uses. */
  async usedBytes(machineId: string, slot: number): Promise<number> {
    const { blocks, bfree, bsize } = await statfs(this.#slotOf(machineId, slot))
    return (blocks - bfree) * bsize
  }

  /** Lists the slots of a machine that something is mounted on. */
  bound(machineId: string): number[] {
    const dir = this.dirOf(machineId)
    const slots = mountsIn(dir).flatMap(({ target }) =>
      target === dir ? [] : Number(target.slice(dir.length + 1)),
    )
    return [...new Set(slots)]
  }

  /** Removes the slots of a machine whose processes are dead. Idempotent. */
  async close(machineId: string): Promise<void> {
    const dir = this.dirOf(machineId)
    await detachMounts(dir)
    removeFolder(dir)
  }

  /** Lists the ids of machines with slots. */
  list(): string[] {
    return namesIn(this.#volumesDir)
  }

  /** Unmounts and removes everything, once no machine is left. */
  removeAll(): void {
    for (const machineId of this.list()) removeMount(this.dirOf(machineId))
    this.#removeStandIns()
    for (const dir of [this.standInsDir, this.#volumesDir, this.#slotsDir, this.#dir]) removeMount(dir)
  }

  #removeStandIns(): void {
    for (const name of namesIn(this.standInsDir)) removeMount(join(this.standInsDir, name))
  }

  #slotOf(machineId: string, slot: number): string {
    return join(this.dirOf(machineId), String(slot))
  }
}

/** Unmounts a folder and removes it while it is empty. Idempotent. @throws Error ENOTEMPTY */
function removeMount(dir: string): void {
  while (detachMount(dir));
  removeFolder(dir)
}

function removeFolder(dir: string): void {
  try {
    rmdirSync(dir)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
  }
}

function namesIn(dir: string): string[] {
  try {
    return readdirSync(dir)
  } catch {
    return []
  }
}
