import { openApi } from '../api/client.ts'
import { type ApiAnswer, apiErrorOf } from '../api/error.ts'
import type { Schema } from '../api/schema.ts'
import type { ConnectionConfig } from '../connection-config.ts'
import { VolumeError, VolumeNotFoundError } from '../errors.ts'
import type { DeletedVolumeInfo, VolumeAndToken, VolumeInfo } from './types.ts'

/** The routes of volumes, for the class `Volume`. */
export class VolumeApi {
  readonly #config: ConnectionConfig
  readonly #signal: AbortSignal | undefined

  /** @param signal cancels the requests */
  constructor(config: ConnectionConfig, signal: AbortSignal | undefined) {
    this.#config = config
    this.#signal = signal
  }

  /** @param timeoutMs replaces the request timeout */
  async create(body: Schema<'NewVolume'>, timeoutMs?: number): Promise<Schema<'VolumeAndToken'>> {
    const signal = this.#config.getSignal(timeoutMs, this.#signal)
    return dataOf(await (await openApi(this.#config)).POST('/volumes', { body, signal }))
  }

  /** @throws {@link VolumeNotFoundError} */
  async get(volumeId: string): Promise<VolumeAndToken> {
    const api = await openApi(this.#config)
    return toVolumeAndToken(await found(volumeId, api.GET('/volumes/{volumeID}', this.#of(volumeId))))
  }

  async list(): Promise<VolumeInfo[]> {
    const answer = await (await openApi(this.#config)).GET('/volumes', { signal: this.#untilEnd })
    return dataOf(answer).map(toVolumeInfo)
  }

  async listDeleted(): Promise<DeletedVolumeInfo[]> {
    const answer = await (await openApi(this.#config)).GET('/volumes/trash', { signal: this.#untilEnd })
    return dataOf(answer).map((volume) => ({
      ...toVolumeInfo(volume),
      deletedAt: new Date(volume.deletedAt),
      removedAt: new Date(volume.removedAt),
    }))
  }

  /** @throws {@link VolumeNotFoundError} */
  async resize(volumeId: string, sizeMB: number): Promise<VolumeAndToken> {
    const api = await openApi(this.#config)
    const sending = api.PATCH('/volumes/{volumeID}', { ...this.#of(volumeId), body: { sizeMB } })
    return toVolumeAndToken(await found(volumeId, sending))
  }

  /** @returns false if no volume has this id */
  async delete(volumeId: string, now: boolean | undefined): Promise<boolean> {
    const api = await openApi(this.#config)
    const { params, signal } = this.#of(volumeId)
    const query = now ? { now } : undefined
    const answer = await api.DELETE('/volumes/{volumeID}', { params: { ...params, query }, signal })
    if (answer.response.status === 404) return false
    throwOnError(answer)
    return true
  }

  /** @throws {@link VolumeNotFoundError} */
  async restore(volumeId: string): Promise<VolumeAndToken> {
    const api = await openApi(this.#config)
    return toVolumeAndToken(
      await found(volumeId, api.POST('/volumes/{volumeID}/restore', this.#of(volumeId))),
    )
  }

  #of(volumeId: string) {
    return { params: { path: { volumeID: volumeId } }, signal: this.#untilEnd }
  }

  get #untilEnd(): AbortSignal | undefined {
    return this.#config.getSignal(undefined, this.#signal)
  }
}

export const toVolumeAndToken = (volume: Schema<'VolumeAndToken'>): VolumeAndToken => ({
  ...toVolumeInfo(volume),
  token: volume.token,
  domain: volume.domain,
  ...(volume.usedMB !== undefined && { usedMB: volume.usedMB }),
  ...(volume.isSizeLimited !== undefined && { isSizeLimited: volume.isSizeLimited }),
})

/** Other servers than a Sandlot send an id and a name only. */
const toVolumeInfo = ({ volumeID, name, sizeMB, createdAt, snapshotOf }: Schema<'Volume'>): VolumeInfo => ({
  volumeId: volumeID,
  name,
  ...(sizeMB !== undefined && { sizeMB }),
  ...(createdAt !== undefined && { createdAt: new Date(createdAt) }),
  ...(snapshotOf !== undefined && { snapshotOf }),
})

type Answer<Data> = ApiAnswer & { data?: Data }

function dataOf<Data>(answer: Answer<Data>): Data {
  throwOnError(answer)
  return answer.data!
}

/** @throws {@link VolumeNotFoundError} for a 404 */
async function found<Data>(volumeId: string, answering: Promise<Answer<Data>>): Promise<Data> {
  const answer = await answering
  if (answer.response.status === 404) throw new VolumeNotFoundError(`Volume ${volumeId} not found`)
  return dataOf(answer)
}

function throwOnError(answer: ApiAnswer): void {
  const error = apiErrorOf(answer, VolumeError)
  if (error) throw error
}
