import { createHash } from 'node:crypto'
import { type FileHandle, mkdir, open, stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import { promisify } from 'node:util'
import { zstdCompress, zstdDecompress } from 'node:zlib'
import { SandlotError } from '@sandlot/protocol'
import type { ExportedFile } from '@sandlot/protocol/node'
import { writeAtomically } from '../host/atomic-writes.ts'
import { run } from '../host/run.ts'
import type { RemoteStore } from '../objects/sealed-store.ts'

/** Size of a part; sealing one blocks the main thread for 5 ms (docs/adr/0022). */
const PART_BYTES = 4 * 2 ** 20
/** Limit of a compressed part, as incompressible parts grow a little. */
const MAX_PACKED_BYTES = PART_BYTES + 64 * 1024
/** Limits a file to 16 GB, as no image is larger. */
const MAX_PARTS = 4096
const compress = promisify(zstdCompress)
const decompress = promisify(zstdDecompress)

const partKey = (store: RemoteStore, sha256: string, part: number): string =>
  `bases/${store.blind(sha256)}/${String(part).padStart(4, '0')}.zst`
/** Key of an object that is written last, after all parts. */
const completeKey = (store: RemoteStore, sha256: string): string => `bases/${store.blind(sha256)}/complete`

/** Identifies a file by its content, reading all of it. */
export async function identify(path: string): Promise<ExportedFile> {
  const { size, mtimeNs } = await stat(path, { bigint: true })
  const hash = createHash('sha256')
  await eachPart(path, async (part) => void hash.update(part))
  return { sha256: hash.digest('hex'), sizeBytes: Number(size), modifiedAtNs: String(mtimeNs) }
}

/** Uploads a file unless the store has its content. Idempotent: may be retried after any failure. */
export async function uploadFile(store: RemoteStore, path: string, file: ExportedFile): Promise<void> {
  if (await store.head(completeKey(store, file.sha256))) return
  const hash = createHash('sha256')
  await eachPart(path, async (part, index) => {
    hash.update(part)
    await store.put(partKey(store, file.sha256, index), await compress(part))
  })
  if (hash.digest('hex') !== file.sha256)
    throw new SandlotError('conflict', `${path} was changed while it was copied to ${store.name}`)
  await store.put(completeKey(store, file.sha256), Buffer.alloc(0))
}

/**
 * Downloads a file with the content and time that it has on its own machine; renames it when it is complete.
 * @param what name of the file in messages, e.g. `the image`
 * @throws SandlotError not_found, checkpoint_damaged, checkpoint_store_unavailable
 */
export async function downloadFile(
  store: RemoteStore,
  file: ExportedFile,
  path: string,
  { mode, what }: { mode: number; what: string },
): Promise<void> {
  const { sha256, sizeBytes, modifiedAtNs } = file
  if (sizeBytes > PART_BYTES * MAX_PARTS)
    throw new SandlotError('checkpoint_damaged', `${what} ${sha256} is said to have ${sizeBytes} bytes`)
  await mkdir(dirname(path), { recursive: true, mode: 0o755 })
  await writeAtomically(path, async (writing) => {
    const target = await open(writing, 'wx', mode)
    try {
      const hash = createHash('sha256')
      for (let at = 0, index = 0; at < sizeBytes; at += PART_BYTES, index++) {
        const part = await fetchPart(store, file, index, what)
        hash.update(part)
        await target.write(part, 0, part.length, at)
      }
      if (hash.digest('hex') !== sha256)
        throw new SandlotError('checkpoint_damaged', `${what} ${sha256} in ${store.name} has another sha256`)
      await target.sync()
    } finally {
      await target.close()
    }
    await setModifiedAt(writing, modifiedAtNs)
  })
}

async function fetchPart(
  store: RemoteStore,
  { sha256 }: ExportedFile,
  index: number,
  what: string,
): Promise<Buffer> {
  const key = partKey(store, sha256, index)
  const packed = await store.get(key, MAX_PACKED_BYTES)
  if (!packed)
    throw new SandlotError('not_found', `${what} ${sha256} is not in ${store.name}: ${key} is missing`)
  return decompress(packed, { maxOutputLength: PART_BYTES }).catch((cause) => {
    throw new SandlotError(
      'checkpoint_damaged',
      `${what} ${sha256} is damaged: ${key} in ${store.name}: ${cause.message}`,
      { cause },
    )
  })
}

/** Uses `touch`, because Node's `utimes` takes seconds as a double, which cannot hold nanoseconds. */
async function setModifiedAt(path: string, modifiedAtNs: string): Promise<void> {
  const ns = BigInt(modifiedAtNs)
  const second = 1_000_000_000n
  await run('touch', ['-m', '-d', `@${ns / second}.${String(ns % second).padStart(9, '0')}`, path])
}

/** Calls `work` for each part in order; all parts but the last have the same size. */
async function eachPart(path: string, work: (part: Buffer, index: number) => Promise<void>): Promise<void> {
  const source: FileHandle = await open(path)
  try {
    const buffer = Buffer.allocUnsafe(PART_BYTES)
    for (let index = 0; ; index++) {
      let filled = 0
      while (filled < PART_BYTES) {
        const { bytesRead } = await source.read(buffer, filled, PART_BYTES - filled)
        if (bytesRead === 0) break
        filled += bytesRead
      }
      if (filled > 0) await work(buffer.subarray(0, filled), index)
      if (filled < PART_BYTES) return
    }
  } finally {
    await source.close()
  }
}
