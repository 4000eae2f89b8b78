import { SandlotError } from '@sandlot/protocol'
import { type CheckpointStore, chunkKey, manifestKey } from './checkpoint-store.ts'
import { damageOf } from './chunk-codec.ts'
import type { LocalStore } from './local-store.ts'
import {
  type ChunkExtent,
  chunksOf,
  decodeManifest,
  encodeManifest,
  logicalBytes,
  type PackedCheckpoint,
} from './manifest.ts'
import { inParallel } from './parallel.ts'

/** Chunks on their way at a time, each at most 1 MiB. */
const CONCURRENCY = 8

/** For a whole checkpoint, when a slow line is all there is. */
const SLOWEST_BYTES_PER_MS = 500
const MIN_TIMEOUT_MS = 10 * 60_000

/**
 * A sweep of the remote store spares chunks that were written within this time: they may belong to an upload of any
 * machine whose manifest is still to come.
 */
export const REMOTE_GRACE_MS = 24 * 3600_000

export interface UploadOptions {
  signal: AbortSignal
  onChunk: () => void
}

/**
 * Copies what the remote store lacks, and the manifest when all chunks are there. Can be done again after any failure.
 * @throws SandlotError checkpoint_damaged when a local chunk is: damage does not travel
 */
export async function uploadCheckpoint(
  local: LocalStore,
  remote: CheckpointStore,
  checkpoint: PackedCheckpoint,
  { signal, onChunk }: UploadOptions,
): Promise<void> {
  await inParallel(chunksOf(checkpoint).values(), CONCURRENCY, async ({ chunk, sizeBytes }) => {
    signal.throwIfAborted()
    const key = chunkKey(chunk)
    const sealed = await local.get(key)
    const damage = damageOf(sealed, chunk, sizeBytes)
    if (damage) throw chunkDamage(checkpoint.id, chunk, local.name, damage)
    const there = await remote.head(key)
    // putting it again renews its time: a sweep that sees it as old and unused must not take it before our manifest is there
    const isSafe =
      there?.sizeBytes === sealed!.length && there.modifiedAtMs > Date.now() - REMOTE_GRACE_MS / 2
    if (!isSafe) await remote.put(key, sealed!)
    onChunk()
  })
  signal.throwIfAborted()
  await remote.put(manifestKey(checkpoint.id), encodeManifest(checkpoint))
}

/** @returns undefined when the remote store has no such checkpoint */
export async function fetchManifest(
  remote: CheckpointStore,
  id: string,
): Promise<PackedCheckpoint | undefined> {
  const content = await remote.get(manifestKey(id))
  return content && decodeManifest(id, content, remote.name)
}

/**
 * Copies chunks that are not here. `isMending`: also those that are here but damaged.
 * @throws SandlotError checkpoint_damaged when the remote one is missing or damaged,
 * operation_timeout at less than 500 kB/s
 */
export async function fetchChunks(
  local: LocalStore,
  remote: CheckpointStore,
  checkpoint: PackedCheckpoint,
  { isMending }: { isMending: boolean },
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
    if (performance.now() > deadlineMs)
      throw new SandlotError(
        'operation_timeout',
        `checkpoint '${checkpoint.id}' was not fetched from ${remote.name} within ${Math.round(timeoutMs / 1000)} s`,
      )
    if (await isHere(extent)) return
    const { chunk, sizeBytes } = extent
    const sealed = await remote.get(chunkKey(chunk))
    const damage = damageOf(sealed, chunk, sizeBytes)
    if (damage) throw chunkDamage(checkpoint.id, chunk, remote.name, damage)
    await local.putUnflushed(chunkKey(chunk), sealed!)
    addedBytes += sealed!.length
  })
  await local.flush()
  return { addedBytes }
}

const chunkDamage = (id: string, chunk: string, storeName: string, damage: string): SandlotError =>
  new SandlotError(
    'checkpoint_damaged',
    `checkpoint '${id}' is damaged: chunk ${chunk} in ${storeName}: ${damage}`,
  )
