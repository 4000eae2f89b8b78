import { SandlotError } from '@sandlot/protocol'

/** Metadata of an object. */
export interface StoredObject {
  key: string
  sizeBytes: number
  /** Unix milliseconds, by the clock of the store. */
  modifiedAtMs: number
}

export interface DeleteOptions {
  /** Keeps the object when it was written or touched after this instant (Unix milliseconds). */
  ifUnmodifiedSinceMs?: number
}

/**
 * Stores objects by key, e.g. the chunks (`chunks/aa/<sha256>`) and manifests (`checkpoints/<id>.json`) of packed
 * checkpoints. Objects are small (a chunk has little more than 1 MiB), so they are read and written whole; an object
 * exists completely or not at all.
 *
 * Every method throws SandlotError: `disk_full`, `checkpoint_store_unavailable` (no answer or no access; retry later) or
 * `invalid_request` (malformed key).
 *
 * @example
 * await store.put('chunks/ab/ab…', bytes)
 * for await (const { key, sizeBytes } of store.list('chunks/')) console.log(key, sizeBytes)
 */
export interface ObjectStore {
  /** Shown in messages, e.g. `bucket 'sandboxes' at http://127.0.0.1:7070`. */
  readonly name: string
  /** Writes or replaces an object; resolves when the object would survive a power cut. */
  put(key: string, content: Uint8Array): Promise<void>
  /**
   * @param maxBytes limit above which an object cannot be valid and is not read. Default `MAX_OBJECT_BYTES`
   * @returns undefined when there is none */
  get(key: string, maxBytes?: number): Promise<Buffer | undefined>
  head(key: string): Promise<StoredObject | undefined>
  /** Lists all objects below a prefix that ends with a slash, in no particular order. */
  list(prefix: string): AsyncIterable<StoredObject>
  /**
   * Deletes an object; a missing object is not an error. @returns false when the object was modified since and is kept
   */
  delete(key: string, options?: DeleteOptions): Promise<boolean>
  /** Ends running requests. */
  close(): void
}

/** Size of the largest object: a manifest has 110 bytes for each chunk, so this is enough for some 100 GB. */
export const MAX_OBJECT_BYTES = 64 * 1024 * 1024

export const CHUNKS_PREFIX = 'chunks/'
export const MANIFESTS_PREFIX = 'checkpoints/'

export const chunkKey = (sha256: string): string => `${CHUNKS_PREFIX}${sha256.slice(0, 2)}/${sha256}`
export const manifestKey = (id: string): string => `${MANIFESTS_PREFIX}${id}.json`

/** @returns the sha256 at the end of a chunk's key, undefined for other keys */
export const chunkOfKey = (key: string): string | undefined =>
  /^chunks\/[0-9a-f]{2}\/([0-9a-f]{64})$/.exec(key)?.[1]

/** @returns the id in a key such as `checkpoints/<id>.json` */
export const idOfKey = (key: string): string => key.slice(key.lastIndexOf('/') + 1).replace(/\.json$/, '')

const ID = /^[A-Za-z0-9][A-Za-z0-9_-]{0,99}$/
const PART = '[A-Za-z0-9][A-Za-z0-9._-]*'
const KEY = new RegExp(`^${PART}(/${PART})*$`)
const MAX_KEY_LENGTH = 300

export function checkId(id: string): void {
  if (!ID.test(id))
    throw new SandlotError(
      'invalid_request',
      `checkpoint id ${JSON.stringify(id).slice(0, 120)} must be 1 to 100 letters, digits, '_' and '-', the first a letter or digit`,
    )
}

export function checkKey(key: string): void {
  if (key.length > MAX_KEY_LENGTH || !KEY.test(key))
    throw new SandlotError(
      'invalid_request',
      `object key ${JSON.stringify(key).slice(0, 320)} must be parts of letters, digits, '.', '_' and '-' joined by '/', at most ${MAX_KEY_LENGTH} characters`,
    )
}

export function checkPrefix(prefix: string): void {
  if (!prefix.endsWith('/'))
    throw new SandlotError('invalid_request', `prefix ${JSON.stringify(prefix)} must end with '/'`)
  checkKey(prefix.slice(0, -1))
}
