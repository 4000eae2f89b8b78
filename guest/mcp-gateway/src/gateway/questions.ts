import { randomUUID } from 'node:crypto'
import {
  CLIENT_CAPABILITIES_META_KEY,
  type Progress,
  type Result,
  type ServerContext,
} from '@modelcontextprotocol/server'
import { Refusal } from '../refusal.ts'
import type { Caller } from '../upstream/server-connection.ts'
import { capabilityFor } from './client-session.ts'

const MAX_PENDING = 256
/** How long a client has to come back with its answers. */
const ANSWER_TIMEOUT_MS = 10 * 60_000

interface Question {
  method: string
  params: Record<string, unknown>
  answer: PromiseWithResolvers<Result>
}

type Work = (
  caller: Caller,
  signal: AbortSignal,
  onprogress?: (progress: Progress) => void,
) => Promise<Result>

/**
 * Requests of clients without a session (revision 2026-07-28) during which a server asked something. The client gets
 * the question as the result, and comes back with the answer to the request, which goes on meanwhile.
 */
export class Questions {
  readonly #pending = new Map<string, PendingRequest>()

  /** Does the work of a request, or goes on with it if the client comes back with answers. */
  async handle(context: ServerContext, work: Work): Promise<Result> {
    const state = context.mcpReq.requestState<unknown>()
    let request = typeof state === 'string' ? this.#pending.get(state) : undefined
    if (typeof state === 'string') {
      if (!request)
        throw new Refusal(
          'the request is not waiting for answers any more; send it again without requestState',
        )
      this.#pending.delete(state)
      request.answer(context.mcpReq.inputResponses ?? {})
    } else {
      request = new PendingRequest(context)
      request.begin(work)
    }
    const outcome = await request.next(context)
    if ('result' in outcome) return outcome.result
    if (this.#pending.size >= MAX_PENDING) {
      request.giveUp(`${MAX_PENDING} requests wait for answers of clients`)
      return (await request.result) as Result
    }
    const id = randomUUID()
    this.#pending.set(id, request)
    request.giveUpAfter(ANSWER_TIMEOUT_MS, () => this.#pending.delete(id))
    return { resultType: 'input_required', inputRequests: outcome.questions, requestState: id } as Result
  }

  close(): void {
    for (const request of this.#pending.values()) request.giveUp('the gateway stops')
    this.#pending.clear()
  }
}

class PendingRequest implements Caller {
  result!: Promise<Result>
  #context: ServerContext
  readonly #abort = new AbortController()
  readonly #questions = new Map<string, Question>()
  #asked = Promise.withResolvers<void>()
  #timer?: NodeJS.Timeout
  #count = 0

  constructor(context: ServerContext) {
    this.#context = context
  }

  begin(work: Work): void {
    const token = this.#context.mcpReq._meta?.progressToken
    const onprogress = (progress: Progress) => {
      const params = { ...progress, progressToken: token }
      this.#context.mcpReq.notify({ method: 'notifications/progress', params } as never).catch(() => {})
    }
    this.result = work(this, this.#abort.signal, token === undefined ? undefined : onprogress)
    this.result.catch(() => {})
  }

  answers(method: string): boolean {
    const capability = capabilityFor(method)
    const envelope = this.#context.mcpReq.envelope as Record<string, unknown> | undefined
    const capabilities = envelope?.[CLIENT_CAPABILITIES_META_KEY] as Record<string, unknown> | undefined
    return capability !== undefined && capabilities?.[capability] !== undefined
  }

  ask(method: string, params: Record<string, unknown>, signal: AbortSignal): Promise<Result> {
    const id = `question-${++this.#count}`
    const answer = Promise.withResolvers<Result>()
    this.#questions.set(id, { method, params, answer })
    signal.addEventListener('abort', () => {
      this.#questions.delete(id)
      answer.reject(new Refusal('the server does not want an answer any more'))
    })
    this.#asked.resolve()
    return answer.promise
  }

  /** Waits for the result or for questions. While it waits, the end of the client's request ends the work. */
  async next(context: ServerContext): Promise<{ result: Result } | { questions: Record<string, unknown> }> {
    this.#context = context
    clearTimeout(this.#timer)
    const { signal } = context.mcpReq
    const abort = () => this.#abort.abort(signal.reason)
    signal.addEventListener('abort', abort, { once: true })
    try {
      if (this.#questions.size === 0) {
        const result = await Promise.race([this.result, this.#asked.promise])
        if (result) return { result }
      }
      this.#asked = Promise.withResolvers<void>()
      return {
        questions: Object.fromEntries(
          [...this.#questions].map(([id, { method, params }]) => [id, { method, params }]),
        ),
      }
    } finally {
      signal.removeEventListener('abort', abort)
    }
  }

  /** Gives the server the answers; questions without one are asked again. */
  answer(responses: Record<string, unknown>): void {
    for (const [id, response] of Object.entries(responses)) {
      const question = this.#questions.get(id)
      this.#questions.delete(id)
      question?.answer.resolve(response as Result)
    }
  }

  giveUpAfter(timeoutMs: number, then: () => void): void {
    this.#timer = setTimeout(() => {
      then()
      this.giveUp('the client did not answer in time')
    }, timeoutMs).unref()
  }

  giveUp(reason: string): void {
    clearTimeout(this.#timer)
    for (const { answer } of this.#questions.values()) answer.reject(new Refusal(reason))
    this.#questions.clear()
  }
}
