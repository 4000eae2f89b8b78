import { manifestKey } from '../objects/object-store.ts'
import type { RemoteStore } from '../objects/sealed-store.ts'
import type { ManifestIndex } from './manifest-index.ts'
import type { RemoteCopies, UploadProgress } from './remote-copies.ts'

/** Where a checkpoint is stored. */
export interface UploadState {
  /**
   * `local`: only on this machine, and no upload is pending (there is no remote store, or the upload failed for good:
   * see `lastError`). `uploading`: on this machine, with an upload running or waiting for a retry. `remote`: safe in
   * the remote store.
   */
  state: 'local' | 'uploading' | 'remote'
  /** Whether the checkpoint can be expanded without the remote store. */
  isLocal: boolean
  /** While `uploading`: chunks that are in the remote store, of `totalChunks`. */
  uploadedChunks?: number
  totalChunks?: number
  attempts?: number
  lastError?: string
}

export interface UploadSources {
  index: ManifestIndex
  remote?: RemoteStore
  uploads?: RemoteCopies
}

/** @returns undefined when no checkpoint has this id */
export async function uploadStateOf(
  id: string,
  { index, remote, uploads }: UploadSources,
): Promise<UploadState | undefined> {
  if (await index.isDeleting(id)) return undefined
  const isLocal = await index.hasLocal(id)
  if (await index.hasRemote(id)) return { state: 'remote', isLocal }
  if (isLocal) return pendingState(uploads?.progress(id))
  const isRemote = (await index.hasAnyRemote(id)) || (await remote?.head(manifestKey(id))) !== undefined
  return isRemote ? { state: 'remote', isLocal } : undefined
}

function pendingState(progress: UploadProgress | undefined): UploadState {
  if (!progress) return { state: 'local', isLocal: true }
  const { attempts, uploadedChunks, totalChunks, lastError, isFailed } = progress
  const error = lastError instanceof Error ? lastError.message : undefined
  if (isFailed) return { state: 'local', isLocal: true, attempts, lastError: error }
  return { state: 'uploading', isLocal: true, attempts, uploadedChunks, totalChunks, lastError: error }
}
