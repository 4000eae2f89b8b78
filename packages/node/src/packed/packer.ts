import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { SandlotError } from '@sandlot/protocol'
import { CommandError, run } from '../host/run.ts'
import type { PackResult } from './pack-folder.ts'
import type { PackProcessArgument, PackProcessFailure } from './pack-process.ts'

const ENTRY = fileURLToPath(new URL('./pack-process.ts', import.meta.url))
/** Of Node, inside of the store's folder: starting from source takes 0.24 s of processor time, from it 0.07 s. */
const COMPILE_CACHE = '.compile-cache'
/** The first to go when memory is short: a pack can be done again. */
const OOM_SCORE_ADJ = 1000
const MAX_WAITING = 10_000
/** At idle priority beside a busy machine; measured alone: over 100 MB/s. */
const SLOWEST_BYTES_PER_MS = 1_000
const MIN_TIMEOUT_MS = 10 * 60_000

export interface Packer {
  /**
   * Packs in a process of its own at idle priority, one folder at a time in order of arrival.
   * @throws SandlotError disk_full, invalid_request (no such folder), conflict (packed already now), rate_limited (10 000 wait),
   * operation_timeout, server_draining (closed meanwhile)
   */
  pack(id: string, rawDir: string): Promise<PackResult>
  /** Ends the pack of this id, which waits or runs: it rejects with `conflict`. */
  cancel(id: string): void
  close(): Promise<void>
}

export function createPacker(storeDir: string): Packer {
  const jobs = new Map<string, AbortController>()
  let isClosed = false
  let last: Promise<unknown> = Promise.resolve()

  async function packNow(id: string, rawDir: string, signal: AbortSignal): Promise<PackResult> {
    if (signal.aborted) throw signal.reason
    const argument: PackProcessArgument = { id, rawDir, storeDir, parentPid: process.pid }
    const timeoutMs = Math.max(MIN_TIMEOUT_MS, (await folderBytes(rawDir)) / SLOWEST_BYTES_PER_MS)
    try {
      const { stdout } = await run(process.execPath, [ENTRY, JSON.stringify(argument)], {
        timeoutMs,
        isBackground: true,
        oomScoreAdj: OOM_SCORE_ADJ,
        signal,
        env: { NODE_COMPILE_CACHE: join(storeDir, COMPILE_CACHE), ...process.env },
      })
      return JSON.parse(stdout) as PackResult
    } catch (error) {
      throw signal.aborted ? signal.reason : packFailure(id, error, timeoutMs)
    }
  }

  return {
    pack(id, rawDir) {
      if (isClosed) return Promise.reject(draining(id))
      if (jobs.has(id))
        return Promise.reject(new SandlotError('conflict', `checkpoint '${id}' is being packed already`))
      if (jobs.size >= MAX_WAITING)
        return Promise.reject(
          new SandlotError('rate_limited', `${MAX_WAITING} checkpoints already wait to be packed`, {
            retryAfterSeconds: 60,
          }),
        )
      const abort = new AbortController()
      jobs.set(id, abort)
      const turn = last.then(() => packNow(id, rawDir, abort.signal)).finally(() => jobs.delete(id))
      last = turn.catch(() => {})
      return turn
    },

    cancel(id) {
      jobs.get(id)?.abort(new SandlotError('conflict', `checkpoint '${id}' was deleted while it was packed`))
    },

    async close() {
      isClosed = true
      for (const [id, abort] of jobs) abort.abort(draining(id))
      await last
    },
  }
}

const draining = (id: string): SandlotError =>
  new SandlotError('server_draining', `checkpoint '${id}' was not packed: the server is shutting down`)

function packFailure(id: string, error: unknown, timeoutMs: number): SandlotError {
  if (!(error instanceof CommandError)) throw error
  if (error.timedOut)
    return new SandlotError(
      'operation_timeout',
      `checkpoint '${id}' was not packed within ${Math.round(timeoutMs / 1000)} s`,
      { cause: error },
    )
  const failure = reportedFailure(error.stderr)
  return new SandlotError(
    failure?.errorName ?? 'internal_server_error',
    `checkpoint '${id}' was not packed: ${failure?.message ?? error.message}`,
    { cause: error },
  )
}

function reportedFailure(stderr: string): PackProcessFailure | undefined {
  try {
    return JSON.parse(stderr)
  } catch {
    return undefined
  }
}

async function folderBytes(dir: string): Promise<number> {
  let total = 0
  for (const name of await readdir(dir).catch(() => []))
    total += await stat(join(dir, name)).then(
      ({ size }) => size,
      () => 0,
    )
  return total
}
