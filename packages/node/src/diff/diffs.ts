import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { SandlotError, toMB } from '@sandlot/protocol'
import type { DiffOptions, FileDiff } from '@sandlot/protocol/node'
import type { Driver } from '../engine/driver.ts'
import { ENVD_PATH } from '../engine/oci-spec.ts'
import type { MachineSource } from '../machines/machine.ts'
import type { Machines } from '../machines/machines.ts'
import type { CheckpointFolder } from '../persistence/checkpoint-folder.ts'
import type { CheckpointManifest } from '../persistence/checkpoint-manifest.ts'
import type { CheckpointTiers } from '../persistence/checkpoint-tiers.ts'
import { FairGate } from '../pool/fair-gate.ts'
import { diskSpace } from '../pressure/disk-space.ts'
import { compareFiles } from './compare-files.ts'
import { ExtractedFiles } from './extracted-files.ts'
import { FileReader } from './file-reader.ts'

/** For all teams together: each diff has two machines, with up to `MAX_READER_MEMORY_MB` each. */
const MAX_CONCURRENT = 2
const TIMEOUT_MS = 120_000
/** Bytes of contents to read of each checkpoint, holes included; beyond this limit, only sizes and times are compared. */
const READ_LIMIT_BYTES = 16 * 2 ** 30
/** Memory of the kernel and its page cache. */
const READER_MEMORY_MB = 384
/**
 * Memory per byte of the saved list of files: the kernel holds the list as saved, plus an inode for each file
 * (docs/adr/0020).
 */
const MEMORY_PER_LIST = 5
const MAX_READER_MEMORY_MB = 3_072
const READER_CPUS = 1
/** List of files in a file system that runsc has saved (gVisor, pkg/sentry/state/checkpointfiles). */
const FILE_LIST = 'multitar.img'
const CONTENTS = 'pages.img'
/** Allowance for the difference of the clocks of host and guest. */
const CLOCK_MARGIN_SECONDS = 10
const SPARE_BYTES = 256 * 2 ** 20
const MAX_REMEMBERED_PATHS = 100_000

export interface DiffsOptions {
  /** `<home>/run`. */
  runDir: string
  folder: CheckpointFolder
  tiers: CheckpointTiers
  machines: Machines
  driver: Driver
  /** @returns why a machine with this much more memory than usual cannot be started now; undefined: it can */
  shortage: (extraMB: number) => Promise<SandlotError | undefined>
}

/**
 * Compares the files of two checkpoints (docs/adr/0020). No process of a sandbox runs for this, and the host reads no
 * file of a sandbox: each checkpoint's file system is mounted by a separate machine, in which only Sandlot's reader runs.
 */
export class Diffs {
  readonly #options: DiffsOptions
  readonly #extracted: ExtractedFiles
  readonly #gate = new FairGate({ what: 'diffs', total: MAX_CONCURRENT, maxWaiting: 16, maxWaitMs: 30_000 })
  /** Cached diffs, because checkpoints never change. In order of last use, the oldest first. */
  readonly #known = new Map<string, FileDiff>()
  /** Running comparisons, by the operation id of the caller. */
  readonly #cancellable = new Map<string, AbortController>()

  constructor(options: DiffsOptions) {
    this.#options = options
    this.#extracted = new ExtractedFiles(join(options.runDir, 'extracted'))
  }

  prepare(): Promise<void> {
    return this.#extracted.prepare()
  }

  /** @throws SandlotError not_found, checkpoint_damaged, sandbox_capacity_unavailable … */
  async diff(fromId: string, toId: string, { owner = '', operationId }: DiffOptions = {}): Promise<FileDiff> {
    if (operationId === undefined) return this.#diff(fromId, toId, owner)
    const cancelled = new AbortController()
    this.#cancellable.set(operationId, cancelled)
    try {
      return await this.#diff(fromId, toId, owner, cancelled.signal)
    } finally {
      this.#cancellable.delete(operationId)
    }
  }

  /** Cancels a comparison. Unknown ids are ignored. */
  cancel(operationId: string): void {
    const reason = new SandlotError('request_timeout', 'the comparison was cancelled by its caller')
    this.#cancellable.get(operationId)?.abort(reason)
  }

  #diff(fromId: string, toId: string, owner: string, signal?: AbortSignal): Promise<FileDiff> {
    return this.#gate.run(owner, signal, async () => {
      const known = this.#recall(fromId, toId)
      if (known) return known
      const diff = await this.#compare(fromId, toId, signal)
      this.#remember(fromId, toId, diff)
      return diff
    })
  }

  /** Drops all cached data of a deleted checkpoint. */
  async forget(checkpointId: string): Promise<void> {
    for (const key of this.#known.keys()) if (key.split(' ').includes(checkpointId)) this.#known.delete(key)
    await this.#extracted.forget(checkpointId)
  }

  async #compare(fromId: string, toId: string, signal: AbortSignal | undefined): Promise<FileDiff> {
    const isOver = new AbortController()
    const timeout = setTimeout(() => isOver.abort(tookTooLong()), TIMEOUT_MS)
    const ended = AbortSignal.any([isOver.signal, ...(signal ? [signal] : [])])
    const since = Math.floor(Date.now() / 1000) - CLOCK_MARGIN_SECONDS
    const from = Promise.withResolvers<FileReader>()
    const done = Promise.withResolvers<void>()
    from.promise.catch(() => {})
    let reads = 0
    try {
      const reading = this.#read(fromId, since, ended, async (reader) => {
        reads++
        from.resolve(reader)
        await done.promise
      })
      reading.catch(from.reject)
      const comparing = this.#read(toId, since, ended, async (reader) =>
        compareFiles(await from.promise, reader),
      )
      // awaits both, so that both machines have ended
      const [compared, read] = await Promise.allSettled([comparing.finally(() => done.resolve()), reading])
      if (read.status === 'rejected') throw read.reason
      if (compared.status === 'rejected') throw compared.reason
      // reads were repeated because the checkpoint was damaged and has been unpacked again
      return reads > 1 ? await this.#compare(fromId, toId, signal) : compared.value
    } finally {
      clearTimeout(timeout)
    }
  }

  #read<T>(
    checkpointId: string,
    since: number,
    signal: AbortSignal,
    work: (reader: FileReader) => Promise<T>,
  ): Promise<T> {
    const { folder, tiers } = this.#options
    return tiers.use(checkpointId, async () => {
      const manifest = await folder.read(checkpointId)
      const { filesDir, memoryDir } = folder.paths(checkpointId)
      const read = (dir: string) => this.#readFrom(dir, manifest, since, signal, work)
      if (await folder.hasFiles(checkpointId))
        return bothOf(read(filesDir), folder.verify(checkpointId, 'files'))
      return this.#extracted.use(
        checkpointId,
        signal,
        (dir, unwanted) =>
          bothOf(this.#extract(manifest, memoryDir, dir, unwanted), folder.verify(checkpointId, 'memory')),
        read,
      )
    })
  }

  async #readFrom<T>(
    fileSystemDir: string,
    { imagePath, resources }: CheckpointManifest,
    since: number,
    signal: AbortSignal,
    work: (reader: FileReader) => Promise<T>,
  ): Promise<T> {
    const { machines, driver } = this.#options
    const memoryMB = await this.#memoryFor(fileSystemDir)
    await this.#checkShortage(memoryMB - READER_MEMORY_MB)
    await this.#checkSpace(fileSystemDir)
    const source = { imagePath, ...resources, memoryMB, cpuCount: READER_CPUS }
    const args = [ENVD_PATH, 'tree', `-since=${since}`, `-read-limit=${READ_LIMIT_BYTES}`]
    return machines.aside(source, (machine, spec) =>
      driver.converse(
        machine,
        { ...spec, process: { args, capabilities: ['CAP_DAC_OVERRIDE', 'CAP_DAC_READ_SEARCH'] } },
        fileSystemDir,
        (stdin, stdout) => work(new FileReader(stdin, stdout)),
        signal,
      ),
    )
  }

  /** Restores the checkpoint without a network to save its files: see `Driver.extractFileSystem`. */
  async #extract(
    manifest: CheckpointManifest,
    memoryDir: string,
    dir: string,
    signal: AbortSignal,
  ): Promise<void> {
    await this.#checkShortage(0)
    const { imagePath, guestDir, resources } = manifest
    const source: Omit<MachineSource, 'buildId'> = { imagePath, guestDir, ...resources }
    return this.#options.machines.aside(source, (machine, spec) =>
      this.#options.driver.extractFileSystem(machine, spec, memoryDir, dir, signal),
    )
  }

  async #checkShortage(extraMB: number): Promise<void> {
    const shortage = await this.#options.shortage(extraMB)
    if (shortage) throw shortage
  }

  /** @throws SandlotError invalid_request when the list of files needs more memory than a reader may have */
  async #memoryFor(fileSystemDir: string): Promise<number> {
    const { size } = await stat(join(fileSystemDir, FILE_LIST))
    const memoryMB = READER_MEMORY_MB + Math.ceil((size * MEMORY_PER_LIST) / 2 ** 20)
    if (memoryMB <= MAX_READER_MEMORY_MB) return memoryMB
    throw new SandlotError(
      'invalid_request',
      `the files cannot be compared: a list of what the sandbox has written takes ${toMB(size)} MB; remove files that it does not need`,
    )
  }

  /** Checks the disk space for the reader, which unpacks the files again. @throws SandlotError disk_full */
  async #checkSpace(fileSystemDir: string): Promise<void> {
    const { runDir, tiers } = this.#options
    const neededBytes = (await stat(join(fileSystemDir, CONTENTS))).size + SPARE_BYTES
    const isEnough = async () => diskSpace(runDir).freeBytes >= neededBytes
    if ((await isEnough()) || (await tiers.makeRoom(isEnough))) return
    throw new SandlotError(
      'disk_full',
      `comparing these checkpoints takes ${toMB(neededBytes)} MB of disk, which this machine does not have`,
    )
  }

  #recall(fromId: string, toId: string): FileDiff | undefined {
    const key = `${fromId} ${toId}`
    const diff = this.#known.get(key)
    if (!diff) return undefined
    this.#known.delete(key)
    this.#known.set(key, diff)
    return diff
  }

  #remember(fromId: string, toId: string, diff: FileDiff): void {
    this.#known.set(`${fromId} ${toId}`, diff)
    let paths = 0
    for (const known of this.#known.values()) paths += weightOf(known)
    for (const [key, known] of this.#known) {
      if (paths <= MAX_REMEMBERED_PATHS) return
      this.#known.delete(key)
      paths -= weightOf(known)
    }
  }
}

/** Reads and verifies concurrently. Damage is reported before errors of the reader, and prevents a result. */
async function bothOf<T>(reading: Promise<T>, verifying: Promise<unknown>): Promise<T> {
  const [read, verified] = await Promise.allSettled([reading, verifying])
  if (verified.status === 'rejected') throw verified.reason
  if (read.status === 'rejected') throw read.reason
  return read.value
}

/** Weight of a cached diff: the number of paths, plus a base cost so that empty diffs count too. */
const weightOf = ({ added, changed, deleted }: FileDiff): number =>
  added.length + changed.length + deleted.length + 10

const tookTooLong = (): SandlotError =>
  new SandlotError(
    'operation_timeout',
    `the files could not be compared within ${TIMEOUT_MS / 1000} s: too much was written`,
  )
