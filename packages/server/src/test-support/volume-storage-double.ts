import { SandlotError } from '@sandlot/protocol'
import type { VolumeStorage } from '@sandlot/protocol/node'

/** Where volumes are, without files: these tests are about rows, tokens and errors. */
export class VolumeStorageDouble implements VolumeStorage {
  readonly places = new Map<string, 'live' | 'trash'>()
  failure: Error | undefined
  files = {} as VolumeStorage['files']
  attach = async () => ({ directory: '/' })
  release = async () => {}
  grow = async () => this.#fail()
  usage = async () => ({ usedBytes: 3 * 2 ** 20, isSizeLimited: true })
  create = async (id: string, { from }: { from?: string }) => {
    this.#fail()
    this.places.set(id, 'live')
    return from ? { copied: 'copy' as const } : {}
  }
  trash = async (id: string) => this.#move(id, 'trash')
  restore = async (id: string) => {
    this.#fail()
    this.#move(id, 'live')
  }
  remove = async (id: string) => void this.places.delete(id)

  #fail(): void {
    if (this.failure) throw this.failure
  }

  #move(id: string, place: 'live' | 'trash'): void {
    if (!this.places.has(id)) throw new SandlotError('not_found', 'no files')
    this.places.set(id, place)
  }
}
