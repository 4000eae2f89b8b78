import { constants } from 'node:fs'
import { type FileHandle, lstat, open } from 'node:fs/promises'
import { SandlotError } from '@sandlot/protocol'
import type { VolumeUploadPart } from '@sandlot/protocol/node'
import { codeOf } from '../errors.ts'
import { pathIn } from './descriptors.ts'
import { namesIn } from './listing.ts'

const ID = /^[A-Za-z0-9_-]{16,64}$/
const PREFIX = 'upload-'
/** Uploads of one volume that broke off and can be continued. */
const MAX_UPLOADS = 64

/** Name of the file of an upload in the staging folder. @throws SandlotError invalid_request */
export function uploadName(uploadId: string): Buffer {
  if (ID.test(uploadId)) return Buffer.from(PREFIX + uploadId)
  throw new SandlotError(
    'invalid_request',
    `upload is '${uploadId.slice(0, 100)}', it must have 16 to 64 letters, digits, - and _`,
  )
}

/** @param folder open staging folder @returns how many bytes of an upload are there */
export async function uploadedBytes(folder: number, uploadId: string): Promise<number> {
  const stats = await lstat(pathIn(folder, uploadName(uploadId))).catch((error: unknown) => {
    if (codeOf(error) === 'ENOENT') return undefined
    throw error
  })
  return stats?.size ?? 0
}

/** Opens the file of an upload, to be written from `offset` on. @throws SandlotError conflict, invalid_request, rate_limited */
export async function openUpload(
  folder: number,
  { uploadId, offset, sizeBytes }: VolumeUploadPart,
): Promise<FileHandle> {
  const path = pathIn(folder, uploadName(uploadId))
  if (offset > sizeBytes)
    throw new SandlotError('invalid_request', `offset is ${offset}, but the file has ${sizeBytes} bytes`)
  const bytes = await uploadedBytes(folder, uploadId)
  if (offset !== 0 && offset !== bytes)
    throw new SandlotError(
      'conflict',
      `offset is ${offset}, but ${bytes} bytes of this upload are there: continue at ${bytes}`,
    )
  if (bytes === 0 && (await countUploads(folder)) >= MAX_UPLOADS)
    throw new SandlotError(
      'rate_limited',
      `${MAX_UPLOADS} uploads to this volume broke off and can be continued: finish one of them first`,
    )
  const truncates = offset === 0 ? constants.O_TRUNC : 0
  return open(path, constants.O_WRONLY | constants.O_CREAT | constants.O_NOFOLLOW | truncates, 0o600)
}

/** @throws SandlotError conflict when bytes are missing, invalid_request when there are too many */
export async function checkComplete(file: FileHandle, { sizeBytes }: VolumeUploadPart): Promise<void> {
  const { size } = await file.stat()
  if (size < sizeBytes)
    throw new SandlotError('conflict', `${size} of ${sizeBytes} bytes are there: continue at ${size}`)
  if (size === sizeBytes) return
  await file.truncate(0)
  throw new SandlotError('invalid_request', `the upload has ${size} bytes, but size is ${sizeBytes}`)
}

async function countUploads(folder: number): Promise<number> {
  let count = 0
  for await (const names of namesIn(folder))
    count += names.filter((name) => name.toString('latin1').startsWith(PREFIX)).length
  return count
}

/** The requests that write to an upload: one for each, the newest, as a connection may break without a word. */
export class RunningUploads {
  readonly #running = new Map<string, { stop: AbortController; ended: Promise<void> }>()

  /** Ends the request that writes to an upload now, and resolves when it has. */
  async end(volumeId: string, uploadId: string): Promise<void> {
    const key = `${volumeId} ${uploadId}`
    for (let one = this.#running.get(key); one; one = this.#running.get(key)) {
      one.stop.abort(
        new SandlotError('conflict', `upload '${uploadId}' continues with another request than this one`),
      )
      await one.ended
    }
  }

  /** @param work ends when its signal aborts */
  async run<T>(volumeId: string, uploadId: string, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    await this.end(volumeId, uploadId)
    const key = `${volumeId} ${uploadId}`
    const stop = new AbortController()
    const { promise: ended, resolve } = Promise.withResolvers<void>()
    this.#running.set(key, { stop, ended })
    try {
      return await work(stop.signal)
    } catch (error) {
      throw stop.signal.aborted ? stop.signal.reason : error
    } finally {
      this.#running.delete(key)
      resolve()
    }
  }
}
