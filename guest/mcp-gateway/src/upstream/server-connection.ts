import type { Client, Progress, Result } from '@modelcontextprotocol/client'
import type { Launch } from '../config/launch.ts'
import type { Identity } from '../identity.ts'
import type { Log } from '../log.ts'
import { Refusal, reasonOf } from '../refusal.ts'
import { anyResult } from './any-result.ts'
import { Backoff } from './backoff.ts'
import { type Connected, connect } from './connect.ts'
import { askForOffers, noOffers, type Offers } from './offers.ts'

/** How long a request waits for a server that is being started again. */
const WAIT_FOR_RESTART_MS = 15_000
/** Longest a request may take without a sign of progress, and at all. */
const REQUEST_TIMEOUT_MS = 60 * 60_000
const MAX_TOTAL_TIMEOUT_MS = 6 * 60 * 60_000
const MAX_REQUESTS = 256
const LIST_CHANGED_DELAY_MS = 50

/** Who a request is made for: what a server asks while it works on the request is asked of this client. */
export interface Caller {
  /** Whether the client answers this method. */
  answers(method: string): boolean
  ask(method: string, params: Record<string, unknown>, signal: AbortSignal): Promise<Result>
}

export interface ServerEvents {
  /** Its tools, prompts or resources are others now. */
  onoffers(): void
  onnotification(server: ServerConnection, method: string, params: Record<string, unknown>): void
  /** It asks a client something while no client's request explains it. */
  onrequest(method: string, params: Record<string, unknown>, signal: AbortSignal): Promise<Result>
}

export interface RequestOptions {
  caller?: Caller
  signal?: AbortSignal
  onprogress?: (progress: Progress) => void
}

export type ServerState = 'starting' | 'ready' | 'restarting' | 'failed' | 'stopped'

interface Settings {
  name: string
  mayAskForRoots: boolean
  identity: Identity
  log: Log
  /** Installs the server if needed; called before each start. */
  prepare: (signal: AbortSignal) => Promise<Launch>
  events: ServerEvents
}

/** One server of the gateway: starts it, keeps its offers, starts it again when it ends. */
export class ServerConnection {
  readonly name: string
  readonly #settings: Settings
  readonly #backoff = new Backoff()
  readonly #stop = new AbortController()
  /** Requests under way, the newest last. */
  readonly #requests = new Set<RequestOptions>()
  #connected?: Connected
  #readySince = 0
  #restart?: NodeJS.Timeout
  #waiting = Promise.withResolvers<void>()
  #changes = new Set<keyof Offers>()
  #changesTimer?: NodeJS.Timeout
  state: ServerState = 'starting'
  /** Why the server is not ready. */
  reason = ''
  offers: Offers = noOffers()

  constructor(settings: Settings) {
    this.name = settings.name
    this.#settings = settings
    this.#waiting.promise.catch(() => {})
  }

  get client(): Client | undefined {
    return this.state === 'ready' ? this.#connected?.client : undefined
  }

  get pid(): number | undefined {
    return this.#connected?.process?.pid
  }

  /** Starts the server; resolves when it is ready or its first start has failed. Never rejects: see `state`. */
  async start(): Promise<void> {
    try {
      const launch = await this.#settings.prepare(this.#stop.signal)
      const connected = await connect(launch, {
        identity: this.#settings.identity,
        mayAskForRoots: this.#settings.mayAskForRoots,
        onstderr: (text) => this.#settings.log.write(this.name, text),
        onclient: (client) => this.#register(client),
        signal: this.#stop.signal,
      })
      if (this.#stop.signal.aborted) return await connected.client.close()
      this.#connected = connected
      connected.client.onclose = () => this.#ended(connected)
      this.offers = await askForOffers(connected.client, noOffers())
      if (this.#connected !== connected) throw new Error('the server ended while it listed what it has')
      this.#become('ready', '')
      this.#readySince = performance.now()
      this.#waiting.resolve()
      this.#settings.events.onoffers()
    } catch (error) {
      this.#failed(error, 0)
    }
  }

  /**
   * Sends a request to the server; waits a while if it is being started again.
   * @throws {Refusal} if it does not run, and whatever the server answers
   */
  async request(
    method: string,
    params: Record<string, unknown>,
    options: RequestOptions = {},
  ): Promise<Result> {
    if (this.#requests.size >= MAX_REQUESTS) {
      throw new Refusal(`'${this.name}' has ${MAX_REQUESTS} requests under way; try again later`)
    }
    this.#requests.add(options)
    try {
      const client = await this.#readyClient(options.signal)
      return await client.request({ method, params }, anyResult, {
        signal: options.signal,
        onprogress: options.onprogress,
        timeout: REQUEST_TIMEOUT_MS,
        resetTimeoutOnProgress: true,
        maxTotalTimeout: MAX_TOTAL_TIMEOUT_MS,
      })
    } finally {
      this.#requests.delete(options)
    }
  }

  /** Sends a notification, unless the server is not running. */
  notify(method: string, params: Record<string, unknown> = {}): void {
    this.client?.notification({ method, params }).catch(() => {})
  }

  async stop(): Promise<void> {
    this.state = 'stopped'
    this.#stop.abort()
    clearTimeout(this.#restart)
    clearTimeout(this.#changesTimer)
    this.#waiting.reject(new Refusal(`'${this.name}' is stopped`))
    await this.#connected?.client.close()
  }

  async #readyClient(signal?: AbortSignal): Promise<Client> {
    if (this.client) return this.client
    if (this.state === 'failed') throw new Refusal(`'${this.name}' does not run: ${this.reason}`)
    const timeout = Promise.withResolvers<void>()
    const timer = setTimeout(timeout.resolve, WAIT_FOR_RESTART_MS)
    signal?.addEventListener('abort', () => timeout.resolve(), { once: true })
    await Promise.race([this.#waiting.promise, timeout.promise]).finally(() => clearTimeout(timer))
    if (this.client) return this.client
    throw new Refusal(`'${this.name}' is not ready yet: ${this.reason || this.state}`)
  }

  #register(client: Client): void {
    const { events, log } = this.#settings
    client.onerror = (error) => log.write(this.name, reasonOf(error))
    for (const method of ['sampling/createMessage', 'elicitation/create', 'roots/list'] as const) {
      if (method === 'roots/list' && !this.#settings.mayAskForRoots) continue
      client.setRequestHandler(method, ({ params }, { mcpReq }) => {
        const caller = [...this.#requests].findLast((request) => request.caller?.answers(method))?.caller
        const asked = (params ?? {}) as Record<string, unknown>
        // a server asks for roots on its own account, for all clients
        const isForAll = method === 'roots/list' || !caller
        const answer = isForAll
          ? events.onrequest(method, asked, mcpReq.signal)
          : caller.ask(method, asked, mcpReq.signal)
        return answer as Promise<never>
      })
    }
    const lists = {
      'notifications/tools/list_changed': ['tools'],
      'notifications/prompts/list_changed': ['prompts'],
      'notifications/resources/list_changed': ['resources', 'templates'],
    } as const
    for (const [method, kinds] of Object.entries(lists)) {
      client.setNotificationHandler(method as keyof typeof lists, () => this.#listsChanged(kinds))
    }
    for (const method of ['notifications/message', 'notifications/resources/updated'] as const) {
      client.setNotificationHandler(method, ({ params }) => events.onnotification(this, method, params))
    }
  }

  /** Asks for the lists once for many notifications in a row. */
  #listsChanged(kinds: ReadonlyArray<keyof Offers>): void {
    for (const kind of kinds) this.#changes.add(kind)
    this.#changesTimer ??= setTimeout(async () => {
      this.#changesTimer = undefined
      const client = this.client
      const changed = [...this.#changes]
      this.#changes.clear()
      if (!client) return
      const offers = await askForOffers(client, this.offers, changed)
      if (this.client !== client) return
      this.offers = offers
      this.#settings.events.onoffers()
    }, LIST_CHANGED_DELAY_MS)
  }

  #ended(connected: Connected): void {
    if (this.#connected !== connected) return
    this.#connected = undefined
    if (this.state !== 'ready') return
    const words = connected.process?.lastWords ?? 'the connection was closed'
    this.#failed(new Error(`the server ${words}`), performance.now() - this.#readySince)
  }

  #failed(error: unknown, ranMs: number): void {
    if (this.#stop.signal.aborted) return
    const delayMs = error instanceof Refusal ? undefined : this.#backoff.next(ranMs)
    if (delayMs === undefined) {
      this.offers = noOffers()
      this.#become('failed', reasonOf(error))
      this.#waiting.resolve()
      this.#settings.events.onoffers()
      return
    }
    if (this.state === 'ready') {
      this.#waiting = Promise.withResolvers<void>()
      this.#waiting.promise.catch(() => {})
    }
    this.#become('restarting', reasonOf(error))
    this.#restart = setTimeout(() => void this.start(), delayMs)
  }

  #become(state: ServerState, reason: string): void {
    this.state = state
    this.reason = reason
    this.#settings.log.write(this.name, reason === '' ? state : `${state}: ${reason}`)
  }
}
