import { SandlotError } from '@sandlot/protocol'
import { chunkKey, MAX_OBJECT_BYTES, type ObjectStore, type StoredObject } from './object-store.ts'
import { BrokenSeal, SEAL_BYTES, Seal } from './seal.ts'

/** Folder in the bucket with a subfolder for each key; machines with the same secret share a subfolder. */
const SEALED = 'sealed'
/** `keyId` of objects that earlier versions wrote unsealed. */
export const PLAIN = 'plain'

/** The remote store of checkpoints as seen by callers: plain content under names that do not reveal the content. */
export interface RemoteStore extends ObjectStore {
  /** Name of the key that all objects of this view are sealed with. */
  readonly keyId: string
  /** Bytes that sealing adds to each object. */
  readonly overheadBytes: number
  /** Maps a sha256 to the name of that content in this store. */
  blind(sha256: string): string
  /** Views of objects that were written with former keys, or unsealed: for reading, checking and deleting only. */
  readonly former: readonly RemoteStore[]
}

export const remoteChunkKey = (store: RemoteStore, sha256: string): string => chunkKey(store.blind(sha256))

/**
 * Wraps a bucket whose owner is not trusted: writes are sealed and bound to their key, reads are opened or rejected as
 * damaged. The owner can still delete objects, restore old ones, and see sizes and times (docs/adr/0022).
 *
 * @param secrets the first seals new objects; the others open objects that were written earlier
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

/** Objects of earlier versions. Their chunks are trusted only by hashes in manifests of this machine. */
const plainStore = (bucket: ObjectStore): RemoteStore => ({
  name: bucket.name,
  keyId: PLAIN,
  overheadBytes: 0,
  former: [],
  blind: (sha256) => sha256,
  put: (key) =>
    Promise.reject(new SandlotError('internal_server_error', `'${key}' must not be written unsealed`)),
  get: (key, maxBytes) => bucket.get(key, maxBytes),
  head: (key) => bucket.head(key),
  list: (prefix) => bucket.list(prefix),
  delete: (key, options) => bucket.delete(key, options),
  close: () => bucket.close(),
})
