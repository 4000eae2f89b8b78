import { SandlotError } from '@sandlot/protocol'

/** What is known of an object without reading it. */
export interface StoredObject {
  key: string
  sizeBytes: number
  /** Unix milliseconds, by the clock of the store. */
  modifiedAtMs: number
}

export interface DeleteOptions {
  /** The object stays when it was written or touched after this instant (Unix milliseconds). */
  ifUnmodifiedSinceMs?: number
}

/**
 * Where packed checkpoints live: chunks (`chunks/aa/<sha256>`) and the manifests that name them
 * (`checkpoints/<id>.json`). Objects are small (a chunk has at most 1 MiB and a bit), so they are read and written
 * whole; an object is either there in full or not at all.
 *
 * Every method throws SandlotError: `disk_full`, `checkpoint_store_unavailable` (no answer, no access; try again
 * later) or `invalid_request` (a key that is not one).
 *
 * @example
 * await store.put('chunks/ab/ab…', bytes)
 * for await (const { key, sizeBytes } of store.list('chunks/')) console.log(key, sizeBytes)
 */
export interface ObjectStore {
  /** Said to people, e.g. `bucket 'sandboxes' at http://127.0.0.1:7070`. */
  readonly name: string
  /** Resolves when the object would survive a power cut. Replaces what was there. */
  put(key: string, content: Uint8Array): Promise<void>
  /**
   * @param maxBytes default `MAX_OBJECT_BYTES`; a larger object is not ours and is not read
   * @returns undefined when there is none
   */
  get(key: string, maxBytes?: number): Promise<Buffer | undefined>
  head(key: string): Promise<StoredObject | undefined>
  /** All objects below a prefix that ends with a slash, in no order. */
  list(prefix: string): AsyncIterable<StoredObject>
  /** Resolves as well when there is none. @returns whether it is gone (false: it was modified since) */
  delete(key: string, options?: DeleteOptions): Promise<boolean>
  /** Ends requests that are under way. */
  close(): void
}

/** No object is larger; the largest are manifests: 110 bytes a chunk, so this is one of some 100 GB. */
export const MAX_OBJECT_BYTES = 64 * 1024 * 1024

export const CHUNKS_PREFIX = 'chunks/'
export const MANIFESTS_PREFIX = 'checkpoints/'

export const chunkKey = (sha256: string): string => `${CHUNKS_PREFIX}${sha256.slice(0, 2)}/${sha256}`
export const manifestKey = (id: string): string => `${MANIFESTS_PREFIX}${id}.json`

/** @returns the sha256 that a chunk's key ends with, undefined when it is no chunk's */
export const chunkOfKey = (key: string): string | undefined =>
  /^chunks\/[0-9a-f]{2}\/([0-9a-f]{64})$/.exec(key)?.[1]

/** @returns the id of the last part of a key such as `checkpoints/<id>.json` */
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
