import type { FileHandle } from 'node:fs/promises'
import { type IdMapping, openIdMap } from '@sandlot/linux'
import { FIRST_VOLUME_ID, VOLUME_IDS } from '@sandlot/protocol/node'
import type { IdRange } from '../machines/host-ids.ts'

export interface VolumeIdsOptions {
  /** User of the host that the kernel of a slot runs as. Absent: root of this server. */
  hostIds?: (slotIndex: number) => number
  /** Ids of other users of guests. */
  guestIds?: IdRange
  /** Whether this server may map ids of mounts: not in a user namespace of its own. */
  canMap: boolean
}

/**
 * Maps owners of files on the disk to the users that kernels run as. One mapping for each network slot, as each has a
 * different user; made at the first volume of a machine in that slot and kept.
 */
export class VolumeIds {
  readonly #options: VolumeIdsOptions
  readonly #maps = new Map<number, Promise<FileHandle>>()

  constructor(options: VolumeIdsOptions) {
    this.#options = options
  }

  /**
   * @param isPlain files have the ids of guests on the disk, and their file system cannot map any
   * @returns undefined when nothing is to be mapped @throws Error
   */
  async of(slotIndex: number, isPlain = false): Promise<FileHandle | undefined> {
    const { canMap, hostIds } = this.#options
    if (isPlain && hostIds)
      throw new Error(
        'its file system cannot map owners of files (NFS, for example): such volumes need the setting sandboxUsers=root',
      )
    if (isPlain) return undefined
    if (!canMap && hostIds)
      throw new Error('this server runs in a user namespace and cannot map owners of files')
    if (!canMap) return undefined
    let opening = this.#maps.get(slotIndex)
    if (!opening) {
      opening = openIdMap(this.#mappingsOf(slotIndex))
      this.#maps.set(slotIndex, opening)
      opening.catch(() => this.#maps.delete(slotIndex))
    }
    return opening
  }

  async close(): Promise<void> {
    const handles = await Promise.allSettled(this.#maps.values())
    this.#maps.clear()
    for (const one of handles) if (one.status === 'fulfilled') await one.value.close()
  }

  #mappingsOf(slotIndex: number): IdMapping[] {
    const { hostIds, guestIds } = this.#options
    const inside = FIRST_VOLUME_ID
    if (!hostIds) return [{ inside, outside: 0, count: VOLUME_IDS }]
    const root = { inside, outside: hostIds(slotIndex), count: 1 }
    if (!guestIds) return [root]
    return [root, { inside: inside + 1, outside: guestIds.first + 1, count: guestIds.count - 1 }]
  }
}
