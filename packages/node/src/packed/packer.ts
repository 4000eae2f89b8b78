import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { SandlotError } from '@sandlot/protocol'
import { CommandError, run } from '../host/run.ts'
import type { PackResult } from './pack-folder.ts'
import type { PackProcessArgument, PackProcessFailure } from './pack-process.ts'

const ENTRY = fileURLToPath(new URL('./pack-process.ts', import.meta.url))
/** Node's compile cache inside the store's folder: a start takes 0.07 s of processor time with it, 0.24 s without. */
const COMPILE_CACHE = '.compile-cache'
/** Makes Linux kill packs first when memory is short, because packs can be repeated. */
const OOM_SCORE_ADJ = 1000
const MAX_WAITING = 10_000
/** Lowest accepted speed, at idle priority beside a busy machine; measured alone: over 100 MB/s. */
const SLOWEST_BYTES_PER_MS = 1_000
const MIN_TIMEOUT_MS = 10 * 60_000

/** Packs folders one at a time, in order of arrival, each in a separate process at idle priority. */
export class Packer {
  readonly #storeDir: string
  readonly #jobs = new Map<string, AbortController>()
  #last: Promise<unknown> = Promise.resolve()
  #isClosed = false

  constructor(storeDir: string) {
    this.#storeDir = storeDir
  }

  /**
   * @throws SandlotError disk_full, invalid_request (no such folder), conflict (the id is being packed), rate_limited
   * (10 000 are waiting), operation_timeout, server_draining (closed meanwhile)
   */
  async pack(id: string, rawDir: string): Promise<PackResult> {
    if (this.#isClosed) throw draining(id)
    if (this.#jobs.has(id)) throw new SandlotError('conflict', `checkpoint '${id}' is being packed already`)
    if (this.#jobs.size >= MAX_WAITING)
      throw new SandlotError('rate_limited', `${MAX_WAITING} checkpoints already wait to be packed`, {
        retryAfterSeconds: 60,
      })
    const abort = new AbortController()
    this.#jobs.set(id, abort)
    const turn = this.#last
      .then(() => this.#packNow(id, rawDir, abort.signal))
      .finally(() => this.#jobs.delete(id))
    this.#last = turn.catch(() => {})
    return turn
  }

  /** Ends the running or waiting pack of this id: it rejects with `conflict`. */
  cancel(id: string): void {
    this.#jobs
      .get(id)
      ?.abort(new SandlotError('conflict', `checkpoint '${id}' was deleted while it was packed`))
  }

  async close(): Promise<void> {
    this.#isClosed = true
    for (const [id, abort] of this.#jobs) abort.abort(draining(id))
    await this.#last
  }

  async #packNow(id: string, rawDir: string, signal: AbortSignal): Promise<PackResult> {
    if (signal.aborted) throw signal.reason
    const storeDir = this.#storeDir
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
