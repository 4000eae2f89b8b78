import {
  type BuildJob,
  type BuildLogLine,
  type BuildOutcome,
  type BuildResult,
  type EventReceiver,
  fromErrorData,
  type SandboxNode,
  toErrorData,
} from '@sandlot/protocol/node'
import type { BuildPlace } from './queue.ts'

export interface NodeBuildsOptions {
  node: Pick<SandboxNode, 'startBuild' | 'cancelBuild' | 'continueBuild'>
  events: EventReceiver
  onLine: (buildId: string, line: BuildLogLine) => void
  /** Resolves when the row says that the build has ended. */
  recorded: (buildId: string) => Promise<void> | undefined
  onError: (error: unknown) => void
}

interface Running {
  place: BuildPlace
  ended: PromiseWithResolvers<BuildOutcome>
  /** Set while the build waits for a service in its machine; resolves when the build could continue. */
  ready?: PromiseWithResolvers<void>
  /** Settles when the build has a place in the queue again. */
  waiting?: Promise<void>
}

/**
 * Runs builds on the node: starts them, gives their place to other builds while they wait for a service, and waits for
 * their end.
 */
export class NodeBuilds {
  readonly #options: NodeBuildsOptions
  readonly #running = new Map<string, Running>()

  constructor(options: NodeBuildsOptions) {
    this.#options = options
    const { events, onLine, recorded } = options
    events.on('buildLog', ({ buildId, line }) => {
      if (this.#running.has(buildId)) onLine(buildId, line)
    })
    events.on('buildWaiting', ({ buildId }) => this.#wait(buildId))
    events.on('buildReady', ({ buildId }) => this.#running.get(buildId)?.ready?.resolve())
    events.on('buildEnded', ({ buildId, outcome }) => {
      this.#running.get(buildId)?.ended.resolve(outcome)
      return recorded(buildId)
    })
  }

  /**
   * Runs a build; resolves when it has ended.
   * @param signal cancels the build @throws the signal's reason, BuildFailure, SandlotError
   */
  async run(job: BuildJob, place: BuildPlace, signal: AbortSignal): Promise<BuildResult> {
    const { node, onError } = this.#options
    const { buildId } = job
    signal.throwIfAborted()
    const running: Running = { place, ended: Promise.withResolvers() }
    this.#running.set(buildId, running)
    const cancel = () => void node.cancelBuild(buildId, toErrorData(signal.reason)).catch(onError)
    signal.addEventListener('abort', cancel, { once: true })
    try {
      await node.startBuild(job)
      if (signal.aborted) cancel()
      const outcome = await running.ended.promise
      signal.throwIfAborted()
      if ('error' in outcome) throw fromErrorData(outcome.error)
      return outcome.result
    } finally {
      signal.removeEventListener('abort', cancel)
      this.#running.delete(buildId)
      running.ready?.reject(new Error('the build has ended'))
      await running.waiting
    }
  }

  #wait(buildId: string): void {
    const running = this.#running.get(buildId)
    if (!running) return
    const ready = Promise.withResolvers<void>()
    running.ready = ready
    running.waiting = running.place
      .whileWaiting(() => ready.promise)
      // the end of the build reports why it did not continue
      .then(
        () => this.#options.node.continueBuild(buildId).catch(this.#options.onError),
        () => {},
      )
  }
}
