import { SandlotError } from '@sandlot/protocol'
import { chunkKey, MAX_OBJECT_BYTES, type ObjectStore, type StoredObject } from './object-store.ts'
import { BrokenSeal, SEAL_BYTES, Seal } from './seal.ts'

/** Folder in the bucket, with one below it for each key: those who share a secret share what is in theirs. */
const SEALED = 'sealed'
/** `keyId` of what earlier versions wrote in the plain. */
export const PLAIN = 'plain'

/** The remote store of checkpoints as everything above sees it: plain content, and names that say nothing of it. */
export interface RemoteStore extends ObjectStore {
  /** Names the key that everything here is sealed with. */
  readonly keyId: string
  /** What sealing adds to each object. */
  readonly overheadBytes: number
  /** The name here of content with this sha256. */
  blind(sha256: string): string
  /** Where objects lie that were written with other keys, or without any: only to be read, checked and cleared away. */
  readonly former: readonly RemoteStore[]
}

export const remoteChunkKey = (store: RemoteStore, sha256: string): string => chunkKey(store.blind(sha256))

/**
 * A bucket whose owner is not trusted: everything put is sealed and bound to its key, everything got is opened or
 * refused as damaged. The owner still can delete, keep back, and see sizes and times (docs/adr/0022).
 *
 * @param secrets the first seals what is written; with the others what was written earlier is found again
 * @example
 * const remote = sealBucket(new S3Store({ bucket }), [secret])
 */
export function sealBucket(bucket: ObjectStore, [secret, ...earlier]: [string, ...string[]]): RemoteStore {
  const former = earlier.map((one) => sealedStore(bucket, new Seal(one), []))
  return sealedStore(bucket, new Seal(secret), [...former, plainStore(bucket)])
}

function sealedStore(bucket: ObjectStore, seal: Seal, former: readonly RemoteStore[]): RemoteStore {
  const folder = `${SEALED}/${seal.keyId}/`
  const inside = ({ key, sizeBytes, modifiedAtMs }: StoredObject): StoredObject => ({
    key: key.slice(folder.length),
    sizeBytes,
    modifiedAtMs,
  })

  return {
    name: bucket.name,
    keyId: seal.keyId,
    overheadBytes: SEAL_BYTES,
    former,
    blind: (sha256) => seal.blind(sha256),
    put: (key, content) => bucket.put(folder + key, seal.close(folder + key, content)),

    async get(key, maxBytes = MAX_OBJECT_BYTES) {
      const bytes = await bucket.get(folder + key, maxBytes + SEAL_BYTES)
      if (!bytes) return undefined
      try {
        return seal.open(folder + key, bytes)
      } catch (error) {
        if (!(error instanceof BrokenSeal)) throw error
        const message = `${folder}${key} in ${bucket.name} ${error.message}`
        throw new SandlotError('checkpoint_damaged', message, { cause: error })
      }
    },

    async head(key) {
      const found = await bucket.head(folder + key)
      return found && inside(found)
    },

    async *list(prefix) {
      for await (const found of bucket.list(folder + prefix)) yield inside(found)
    },

    delete: (key, options) => bucket.delete(folder + key, options),
    close: () => bucket.close(),
  }
}

/** What earlier versions left. Its chunks are believed by the hashes in manifests of this machine alone. */
const plainStore = (bucket: ObjectStore): RemoteStore => ({
  name: bucket.name,
  keyId: PLAIN,
  overheadBytes: 0,
  former: [],
  blind: (sha256) => sha256,
  put: (key) =>
    Promise.reject(new SandlotError('internal_server_error', `nothing is written unsealed, ${key} least`)),
  get: (key, maxBytes) => bucket.get(key, maxBytes),
  head: (key) => bucket.head(key),
  list: (prefix) => bucket.list(prefix),
  delete: (key, options) => bucket.delete(key, options),
  close: () => bucket.close(),
})
