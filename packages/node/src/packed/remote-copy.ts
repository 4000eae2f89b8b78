import { DAY_MS, SandlotError } from '@sandlot/protocol'
import type { FolderStore } from '../objects/folder-store.ts'
import { chunkKey, manifestKey } from '../objects/object-store.ts'
import { type RemoteStore, remoteChunkKey } from '../objects/sealed-store.ts'
import { damageOf } from './chunk-codec.ts'
import {
  type ChunkExtent,
  chunksOf,
  decodeManifest,
  encodeManifest,
  isDamage,
  logicalBytes,
  MAX_STORED_BYTES,
  type PackedCheckpoint,
} from './manifest.ts'
import { inParallel } from './parallel.ts'

/** Concurrent transfers of chunks, each at most 1 MiB. */
const CONCURRENCY = 8

/** Lowest accepted speed, which limits the time for a checkpoint over a slow connection. */
const SLOWEST_BYTES_PER_MS = 500
const MIN_TIMEOUT_MS = 10 * 60_000

/**
 * Age up to which a sweep of the remote store spares chunks: they may belong to an upload of any machine that has not
 * written its manifest yet.
 */
export const REMOTE_GRACE_MS = DAY_MS

export interface UploadOptions {
  signal: AbortSignal
  onChunk: () => void
}

/**
 * Copies missing chunks to the remote store, then the manifest. Idempotent: may be retried after any failure.
 * @throws SandlotError checkpoint_damaged when a local chunk is damaged: it is not uploaded
 */
export async function uploadCheckpoint(
  local: FolderStore,
  remote: RemoteStore,
  checkpoint: PackedCheckpoint,
  { signal, onChunk }: UploadOptions,
): Promise<void> {
  await inParallel(chunksOf(checkpoint).values(), CONCURRENCY, async ({ chunk, sizeBytes }) => {
    signal.throwIfAborted()
    const packed = await local.get(chunkKey(chunk))
    const damage = damageOf(packed, chunk, sizeBytes)
    if (damage) throw chunkDamage(checkpoint.id, chunk, local.name, damage)
    const key = remoteChunkKey(remote, chunk)
    const there = await remote.head(key)
    // a repeated put renews the time, so that no sweep deletes an old unused chunk before the manifest is written
    const isSafe =
      there?.sizeBytes === packed!.length + remote.overheadBytes &&
      there.modifiedAtMs > Date.now() - REMOTE_GRACE_MS / 2
    if (!isSafe) await remote.put(key, packed!)
    onChunk()
  })
  signal.throwIfAborted()
  await remote.put(manifestKey(checkpoint.id), encodeManifest(checkpoint))
}

/**
 * @returns undefined when the remote store has no such checkpoint
 * @throws SandlotError checkpoint_damaged, also when only an unsealed manifest of an earlier version exists, which anyone
 * with access to the bucket could have forged
 */
export async function fetchManifest(remote: RemoteStore, id: string): Promise<PackedCheckpoint | undefined> {
  const content = await remote.get(manifestKey(id))
  if (content) return decodeManifest(id, content, remote.name)
  for (const former of remote.former)
    if (await former.head(manifestKey(id)))
      throw new SandlotError(
        'checkpoint_damaged',
        `checkpoint '${id}' is in ${remote.name}, but not sealed with the key of this machine: start the machine that saved it, with the same checkpointSecret, to upload it again`,
      )
  return undefined
}

export interface FetchOptions {
  /** Whether to replace local chunks that are damaged. */
  isMending: boolean
  signal?: AbortSignal
}

/**
 * Copies missing chunks to this machine.
 * @param sources in order of preference; each chunk comes from the first that has it undamaged
 * @throws SandlotError checkpoint_damaged when a remote chunk is missing or damaged,
 * operation_timeout at less than 500 kB/s
 */
export async function fetchChunks(
  local: FolderStore,
  sources: readonly RemoteStore[],
  checkpoint: PackedCheckpoint,
  { isMending, signal }: FetchOptions,
): Promise<{ addedBytes: number }> {
  const timeoutMs = Math.max(MIN_TIMEOUT_MS, logicalBytes(checkpoint) / SLOWEST_BYTES_PER_MS)
  const deadlineMs = performance.now() + timeoutMs
  let addedBytes = 0

  async function isHere({ chunk, sizeBytes }: ChunkExtent): Promise<boolean> {
    const key = chunkKey(chunk)
    if (!(await local.touch(key))) return false
    return !isMending || damageOf(await local.get(key), chunk, sizeBytes) === undefined
  }

  await inParallel(chunksOf(checkpoint).values(), CONCURRENCY, async (extent) => {
    signal?.throwIfAborted()
    if (performance.now() > deadlineMs)
      throw new SandlotError(
        'operation_timeout',
        `checkpoint '${checkpoint.id}' was not fetched from ${sources[0]?.name} within ${Math.round(timeoutMs / 1000)} s`,
      )
    if (await isHere(extent)) return
    const packed = await fetchChunk(sources, checkpoint.id, extent)
    await local.putUnflushed(chunkKey(extent.chunk), packed)
    addedBytes += packed.length
  })
  await local.flush()
  return { addedBytes }
}

/** Fetches a chunk and verifies it against its name in the manifest. */
async function fetchChunk(
  sources: readonly RemoteStore[],
  id: string,
  { chunk, sizeBytes }: ChunkExtent,
): Promise<Buffer> {
  let failure: SandlotError | undefined
  for (const source of sources)
    try {
      const packed = await source.get(remoteChunkKey(source, chunk), MAX_STORED_BYTES)
      const damage = damageOf(packed, chunk, sizeBytes)
      if (damage === undefined) return packed!
      failure ??= chunkDamage(id, chunk, source.name, damage)
    } catch (error) {
      if (!isDamage(error)) throw error
      failure ??= chunkDamage(id, chunk, source.name, error.message)
    }
  throw failure ?? chunkDamage(id, chunk, 'the remote store', 'it is missing')
}

const chunkDamage = (id: string, chunk: string, storeName: string, damage: string): SandlotError =>
  new SandlotError(
    'checkpoint_damaged',
    `checkpoint '${id}' is damaged: chunk ${chunk} in ${storeName}: ${damage}`,
  )
