import { type AcceptedConnection, DialError, type HttpContext, type Target } from '../connection.ts'
import type { RecordOutcome } from '../recorder.ts'
import { type ExchangeOutcome, exchange } from './exchange.ts'
import { requestHeaders } from './headers.ts'
import { AmbiguousHostError, hostOf, type RequestHost } from './host.ts'
import type { Downstream, RawHeaders } from './message.ts'
import type { Origin } from './origin.ts'
import type { Origins } from './origins.ts'
import * as refusals from './refusal.ts'
import { resolveHeaders, TransformError } from './transform.ts'

const { sendRefusal } = refusals
/** As many as a sandbox may have connections. */
const MAX_OPEN_REQUESTS = 2_500
/** Like that of connections that the proxy does not read. */
const IDLE_TIMEOUT_MS = 3_600_000
const MAX_PATH_IN_RECORD = 1_000

/** A connection on which requests arrive. */
export interface RequestScope {
  connection: AcceptedConnection
  /** Name of the only server that the connection is for; absent on connections without encryption. */
  serverName?: string
  /** A request has arrived. */
  isUsed?: boolean
}

/** What a request is decided by. */
export type DecidableRequest = Pick<Downstream, 'method' | 'target' | 'headers' | 'authority'>

/** A request that may be sent, and where to. */
export interface Admitted {
  host: RequestHost
  /** For people: name or address. */
  shown: string
  rule: string
  origin: Origin
  /** Headers that rules set. */
  replaced: RawHeaders
}

export type Admission = Admitted | { refusal: refusals.Refusal; host?: RequestHost; rule: string }

/** Decides every request of the proxy by the policy of its moment, forwards it, and records what became of it. */
export class Requests {
  readonly idleTimeoutMs: number
  readonly #context: HttpContext
  readonly #origins: Origins
  readonly #open = new Map<string, number>()

  constructor(context: HttpContext, origins: Origins, idleTimeoutMs = IDLE_TIMEOUT_MS) {
    this.#context = context
    this.#origins = origins
    this.idleTimeoutMs = idleTimeoutMs
  }

  /** Answers one request. Resolves when the client has the answer or is gone. */
  async serve(scope: RequestScope, downstream: Downstream): Promise<void> {
    const closed = new Promise<void>((resolve) => downstream.onClose(resolve))
    const startedAtMs = Date.now()
    let isGone = false
    downstream.onClose(() => {
      isGone = true
    })
    const admission = await this.admit(scope, downstream)
    if ('refusal' in admission) {
      this.record(scope, downstream, startedAtMs, admission, refusedOutcome(admission.refusal))
      if (!isGone) sendRefusal(downstream, admission.refusal)
    } else if (isGone) {
      this.record(scope, downstream, startedAtMs, admission, { ...NOTHING, ...failed('client_aborted') })
    } else {
      const release = this.take(scope.connection.owner.sandboxId)
      await this.#forward(scope, downstream, admission, startedAtMs).finally(release)
    }
    await closed
  }

  /** Decides a request, and resolves the headers that rules set. */
  async admit(scope: RequestScope, request: DecidableRequest): Promise<Admission> {
    const { connection, serverName } = scope
    const policy = connection.policy()
    scope.isUsed = true
    if (request.method === 'CONNECT') return { refusal: refusals.connectRefused(), rule: 'http' }
    if (serverName !== undefined && request.method.toUpperCase() === 'TRACE')
      return { refusal: refusals.traceRefused(), rule: 'http' }
    let host: RequestHost
    try {
      host = hostOf(request.target, request.headers, request.authority)
    } catch (error) {
      if (!(error instanceof AmbiguousHostError)) throw error
      return { refusal: refusals.badHost(error.message), rule: 'http' }
    }
    if (serverName !== undefined) {
      if (!host.authority) host = { ...host, authority: serverName, name: serverName }
      else if (host.name !== serverName)
        return { refusal: refusals.misdirected(host.authority, serverName), host, rule: 'http' }
    }
    const decision = policy.decide(host.name, connection.address)
    connection.decidedFor = { name: host.name }
    const { rule } = decision
    const shown = host.name ?? connection.address
    if (!decision.isAllowed) return { refusal: refusals.denied(shown, rule), host, rule }
    if ((this.#open.get(connection.owner.sandboxId) ?? 0) >= MAX_OPEN_REQUESTS)
      return { refusal: refusals.tooManyRequests(MAX_OPEN_REQUESTS), host, rule: 'request limit' }
    try {
      const replaced = await this.#replacedHeaders(scope, host.name)
      const origin = this.#originOf(scope, host.name, decision.isByName)
      return { host, shown, rule, replaced, origin }
    } catch (error) {
      if (!(error instanceof TransformError)) throw error
      return { refusal: error.refusal, host, rule }
    }
  }

  /** Returns the server of a connection, as its name is decided now; undefined when it is denied. */
  originOfConnection(scope: RequestScope): Origin | undefined {
    const { connection, serverName } = scope
    const { isAllowed, isByName } = connection.policy().decide(serverName, connection.address)
    return isAllowed ? this.#originOf(scope, serverName, isByName) : undefined
  }

  /** Records a request without its query and headers. */
  record(
    { connection, serverName }: RequestScope,
    request: Pick<DecidableRequest, 'method'>,
    startedAtMs: number,
    { host, rule }: { host?: RequestHost; rule: string },
    outcome: Pick<RecordOutcome, 'bytesIn' | 'bytesOut' | 'verdict' | 'reason'> & { status?: number },
  ): void {
    const { status, ...rest } = outcome
    const path = (host?.path ?? '').replace(/[?#].*$/s, '').slice(0, MAX_PATH_IN_RECORD)
    const name = host?.name ?? serverName
    this.#context.recorder.record(
      { ...connection, startedAtMs },
      {
        protocol: serverName === undefined ? 'http' : 'https',
        ...(name !== undefined && { name }),
        rule,
        ...rest,
        http: {
          method: request.method.slice(0, 20),
          host: host?.authority || connection.address,
          path,
          ...(status !== undefined && { status }),
        },
      },
    )
  }

  async #forward(
    scope: RequestScope,
    downstream: Downstream,
    admitted: Admitted,
    startedAtMs: number,
  ): Promise<void> {
    const { host, origin, replaced } = admitted
    const { method, hasBody, expectsContinue, headers, isHttp2 } = downstream
    const outcome = await exchange({
      downstream,
      origin,
      replaced,
      head: {
        isHttp2,
        method,
        path: host.path,
        ...(host.authority !== undefined && { authority: host.authority }),
        headers: requestHeaders({ method, hasBody, expectsContinue, headers }, replaced),
        hasBody,
      },
      idleTimeoutMs: this.idleTimeoutMs,
    })
    const refusal = this.recordExchange(scope, downstream, startedAtMs, admitted, outcome)
    if (refusal && !downstream.isHeadSent) sendRefusal(downstream, refusal)
  }

  /** Records how an exchange ended. @returns what to answer in place of the server, if no answer has begun */
  recordExchange(
    scope: RequestScope,
    request: Pick<DecidableRequest, 'method'>,
    startedAtMs: number,
    admitted: Admitted,
    outcome: ExchangeOutcome,
  ): refusals.Refusal | undefined {
    const refusal = refusalFor(outcome, admitted.shown, this.idleTimeoutMs)
    this.record(scope, request, startedAtMs, admitted, {
      bytesIn: outcome.bytesIn,
      bytesOut: outcome.bytesOut,
      ...(outcome.failure ? failed(refusal?.reason ?? reasonOf(outcome)) : { verdict: 'allowed' as const }),
      status: refusal?.status ?? outcome.status,
    })
    return refusal
  }

  #replacedHeaders(scope: RequestScope, name: string | undefined): Promise<RawHeaders> | RawHeaders {
    const { connection, serverName } = scope
    const rule = name === undefined ? undefined : connection.policy().transformFor(name)
    if (!rule) return []
    return resolveHeaders(rule, connection.owner, this.#context.credentials, serverName !== undefined)
  }

  #originOf({ connection, serverName }: RequestScope, name: string | undefined, isByName: boolean): Origin {
    const { address, port, owner } = connection
    const { proxy } = connection.policy()
    const target: Target = {
      sandboxId: connection.owner.sandboxId,
      ...(isByName && name !== undefined && { name }),
      address,
      port,
      ...(proxy && { proxy }),
    }
    return this.#origins.originFor(owner.sandboxId, target, serverName)
  }

  /** Counts an open request. @returns ends it */
  take(sandboxId: string): () => void {
    this.#open.set(sandboxId, (this.#open.get(sandboxId) ?? 0) + 1)
    return () => {
      const left = this.#open.get(sandboxId)! - 1
      if (left > 0) this.#open.set(sandboxId, left)
      else this.#open.delete(sandboxId)
    }
  }
}

const NOTHING = { bytesIn: 0, bytesOut: 0 }

const failed = (reason: string) => ({ verdict: 'failed' as const, reason })

export const refusedOutcome = ({ status, reason }: refusals.Refusal) => ({
  ...NOTHING,
  verdict: status === 403 || status === 405 || status === 421 ? ('denied' as const) : ('failed' as const),
  reason,
  status,
})

/** Returns what to answer in place of the server; undefined when an answer has begun or nobody waits for one. */
function refusalFor(
  { failure }: ExchangeOutcome,
  shown: string,
  idleMs: number,
): refusals.Refusal | undefined {
  if (failure?.kind === 'idle' && !failure.isAnswered) return refusals.noAnswer(shown, idleMs / 1000)
  if (failure?.kind !== 'unanswered') return undefined
  return refusalOf(failure.error, shown)
}

/** Returns the answer for a request that could not be sent, or got no answer. */
export function refusalOf(error: Error, shown: string): refusals.Refusal {
  if (error instanceof DialError) return refusals.unreachable(shown, error.reason, error.message)
  const { code = '' } = error as NodeJS.ErrnoException
  if (/^ERR_(INVALID_(CHAR|HTTP_TOKEN)|UNESCAPED_CHARACTERS|HTTP2_INVALID)/.test(code))
    return refusals.badRequest('the request cannot be sent to the server in its version of HTTP')
  return refusals.unreachable(
    shown,
    'upstream_broken',
    'the server closed the connection or did not answer in HTTP',
  )
}

const reasonOf = ({ failure }: ExchangeOutcome): string =>
  failure?.kind === 'client gone' ? 'client_aborted' : failure?.kind === 'idle' ? 'idle' : 'upstream_broken'
