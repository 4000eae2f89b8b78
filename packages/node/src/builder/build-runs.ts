import { setTimeout as sleep } from 'node:timers/promises'
import { SandlotError } from '@sandlot/protocol'
import {
  archiveKey,
  type BuildJob,
  type BuildOutcome,
  type BuildResult,
  type ErrorData,
  fromErrorData,
  type NodeEvent,
  toErrorData,
} from '@sandlot/protocol/node'
import type { ArchiveSource } from '../images/archive-source.ts'
import type { BuildWork } from './build-work.ts'

/** Number of ended builds to remember, so that they are not built a second time. */
const MAX_ENDED = 1_000
/** Longest wait for cancelled builds when the node closes. */
const CLOSE_TIMEOUT_MS = 5_000

export interface BuildRunsOptions {
  build: (work: BuildWork) => Promise<BuildResult>
  archives: ArchiveSource
  /** Resolves when no create is waiting. Default: at once. */
  quiet?: (signal: AbortSignal) => Promise<void>
  emit: (event: NodeEvent) => void
}

interface Run {
  abort: AbortController
  done: Promise<void>
  /** Set while the build waits for permission to continue. */
  proceed?: () => void
}

/** Builds that the control plane has started; they report by events and wait for its calls. */
export class BuildRuns {
  readonly #options: BuildRunsOptions
  readonly #runs = new Map<string, Run>()
  readonly #ended = new Set<string>()

  constructor(options: BuildRunsOptions) {
    this.#options = options
  }

  running(): string[] {
    return [...this.#runs.keys()]
  }

  start(job: BuildJob): void {
    const { buildId } = job
    if (this.#runs.has(buildId) || this.#ended.has(buildId)) return
    const run: Run = { abort: new AbortController(), done: Promise.resolve() }
    this.#runs.set(buildId, run)
    run.done = this.#run(job, run)
  }

  cancel(buildId: string, reason: ErrorData): void {
    this.#runs.get(buildId)?.abort.abort(fromErrorData(reason))
  }

  proceed(buildId: string): void {
    this.#runs.get(buildId)?.proceed?.()
  }

  /** Cancels running builds and waits until they have ended, a few seconds at most. */
  async close(): Promise<void> {
    const reason = new SandlotError('server_draining', 'the node was stopped in the middle of the build')
    const runs = [...this.#runs.values()]
    for (const { abort } of runs) abort.abort(reason)
    const isOver = new AbortController()
    const timeout = sleep(CLOSE_TIMEOUT_MS, undefined, { ref: false, signal: isOver.signal }).catch(() => {})
    await Promise.race([Promise.all(runs.map(({ done }) => done)), timeout])
    isOver.abort()
  }

  async #run(job: BuildJob, run: Run): Promise<void> {
    const { buildId } = job
    const outcome = await this.#options.build(this.#workOf(job, run)).then(
      (result): BuildOutcome => ({ result }),
      (error): BuildOutcome => ({ error: toErrorData(error) }),
    )
    this.#runs.delete(buildId)
    this.#ended.add(buildId)
    if (this.#ended.size > MAX_ENDED) this.#ended.delete(this.#ended.values().next().value!)
    this.#options.emit({ type: 'buildEnded', buildId, outcome })
  }

  #workOf({ buildId, checkpointId, recipe, isBackground }: BuildJob, run: Run): BuildWork {
    const { archives, emit, quiet } = this.#options
    const { signal } = run.abort
    const whileWaiting = <T>(wait: () => Promise<T>) => this.#whileWaiting(buildId, run, wait)
    return {
      checkpointId,
      recipe,
      useArchive: (hash, use) => archives.use(archiveKey(recipe.scope, hash), use),
      log: (line) => emit({ type: 'buildLog', buildId, line }),
      signal,
      whileWaiting,
      beforeStep: isBackground && quiet ? () => whileWaiting(() => quiet(signal)) : undefined,
    }
  }

  /** Reports that the build waits, then that it could continue, and waits for `proceed`. */
  async #whileWaiting<T>(buildId: string, run: Run, wait: () => Promise<T>): Promise<T> {
    const { emit } = this.#options
    const { signal } = run.abort
    emit({ type: 'buildWaiting', buildId })
    const result = await wait()
    const turn = Promise.withResolvers<void>()
    const onAbort = () => turn.reject(signal.reason)
    signal.addEventListener('abort', onAbort, { once: true })
    run.proceed = turn.resolve
    try {
      signal.throwIfAborted()
      emit({ type: 'buildReady', buildId })
      await turn.promise
      return result
    } finally {
      run.proceed = undefined
      signal.removeEventListener('abort', onAbort)
    }
  }
}
