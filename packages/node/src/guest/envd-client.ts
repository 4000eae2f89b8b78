import { Agent, type ClientRequest, request as httpRequest, type IncomingMessage } from 'node:http'
import { pipeline, type Readable } from 'node:stream'
import { FrameReader, MalformedAnswer, toFrame } from './connect-frames.ts'
import type { LoginCommand } from './login-command.ts'
import { Pace } from './pace.ts'

const MAX_HEAD_BYTES = 8 * 1024
const MAX_ANSWER_BYTES = 16 * 1024
const MAX_INTERIM_ANSWERS = 20
const MAX_WORDS = 500
/** Budget for each interval, which allows about 20 MB or 10 000 messages a second. */
const PACE_UNITS = 2 ** 20
const PACE_INTERVAL_MS = 50
const UNITS_PER_CHUNK = 500
const UNITS_PER_MESSAGE = 2_000

export interface EnvdClientOptions {
  connectTimeoutMs: number
  /** Time from the end of a request to the head of its answer. */
  headTimeoutMs: number
  /** How long the connection may be idle. Default: no limit. */
  keepAliveMs?: number
}

export interface EnvdRequest {
  method: 'GET' | 'POST'
  path: string
  headers?: Record<string, string>
  body?: string | Buffer | Readable
}

export interface EnvdAnswer {
  status: number
  /** At most 500 characters, without control characters. */
  words: string
}

export interface Limits {
  /** Limit for the complete answer. Default: none besides the signal. */
  timeoutMs?: number
  signal?: AbortSignal
}

/** Events of a process, from `process.Process/Start`. */
export type ProcessEvent =
  | { type: 'output'; from: 'stdout' | 'stderr'; bytes: Buffer }
  | { type: 'end'; exitCode: number; status: string; exited: boolean }
  | { type: 'refusal'; code: string; message: string }

/**
 * Talks to the envd of one machine, over one connection. Root in a guest can replace envd, so each answer is limited in
 * bytes, time, interim answers, messages and nesting; an answer that exceeds a limit ends the connection.
 */
export class EnvdClient {
  readonly #target: { host: string; port: number }
  readonly #options: EnvdClientOptions
  // node:http, because its parser limits a head in native code: with undici a flood of headers cost 0.6 s
  readonly #agent: Agent
  readonly #pending = new Set<Exchange>()

  constructor(address: string, port: number, options: EnvdClientOptions) {
    this.#target = { host: address, port }
    this.#options = options
    this.#agent = new Agent({ keepAlive: true, maxSockets: 1, timeout: options.keepAliveMs })
  }

  /** @throws Error, MalformedAnswer, and the signal's reason */
  async ask(request: EnvdRequest, limits: Limits): Promise<EnvdAnswer> {
    return this.#send(request, limits, async (answer) => ({
      status: answer.statusCode ?? 0,
      words: await wordsOf(answer),
    }))
  }

  /**
   * Starts a process and reports its events; reads the whole answer, so that the connection can be reused.
   * @param maxBytes limit for the complete answer. Default: none, at no more than about 20 MB a second
   * @throws like `ask`
   */
  async startProcess(
    { command, shell, user, cwd, envs }: LoginCommand,
    { maxBytes = Number.POSITIVE_INFINITY, ...limits }: Limits & { maxBytes?: number },
    onEvent: (event: ProcessEvent) => void,
  ): Promise<void> {
    const args = shell ? ['-c', command] : ['-l', '-c', command]
    const process = { cmd: shell ?? '/bin/bash', args, cwd, envs }
    const request = {
      method: 'POST' as const,
      path: '/process.Process/Start',
      headers: {
        'content-type': 'application/connect+json',
        'connect-protocol-version': '1',
        ...(limits.timeoutMs && { 'connect-timeout-ms': String(limits.timeoutMs) }),
        authorization: `Basic ${Buffer.from(`${user}:`).toString('base64')}`,
      },
      body: toFrame({ process, stdin: false }),
    }
    await this.#send(request, limits, async (answer) => {
      if (answer.statusCode !== 200)
        throw new MalformedAnswer(
          `it answered ${answer.statusCode} to the start of a process: ${await wordsOf(answer)}`,
        )
      await readEvents(answer, maxBytes, onEvent)
    })
  }

  close(): void {
    for (const exchange of this.#pending) exchange.fail(new Error('the connection was closed'))
    this.#agent.destroy()
  }

  async #send<T>(
    { method, path, headers = {}, body }: EnvdRequest,
    limits: Limits,
    read: (answer: IncomingMessage) => Promise<T>,
  ): Promise<T> {
    limits.signal?.throwIfAborted()
    const length = typeof body === 'string' || Buffer.isBuffer(body) ? Buffer.byteLength(body) : undefined
    const request = httpRequest({
      ...this.#target,
      agent: this.#agent,
      method,
      path,
      headers: length === undefined ? headers : { ...headers, 'content-length': length },
      maxHeaderSize: MAX_HEAD_BYTES,
    })
    const exchange = new Exchange(request, this.#options, limits)
    this.#pending.add(exchange)
    if (length !== undefined) request.end(body)
    else if (body === undefined) request.end()
    else pipeline(body as Readable, request, () => {})
    try {
      return await exchange.run(read)
    } finally {
      this.#pending.delete(exchange)
    }
  }
}

/** One request and its answer, within the limits. */
class Exchange {
  readonly #request: ClientRequest
  readonly #broken = Promise.withResolvers<never>()
  readonly #limits: Limits
  readonly #answer = Promise.withResolvers<IncomingMessage>()
  readonly #onAbort = () => this.fail(this.#limits.signal!.reason)
  #total: NodeJS.Timeout | undefined
  /** Timer for the connection, then for the head of the answer. */
  #step: NodeJS.Timeout | undefined

  constructor(
    request: ClientRequest,
    { connectTimeoutMs, headTimeoutMs }: EnvdClientOptions,
    limits: Limits,
  ) {
    this.#request = request
    this.#limits = limits
    const { timeoutMs, signal } = limits
    signal?.addEventListener('abort', this.#onAbort, { once: true })
    if (timeoutMs !== undefined) this.#total = this.#after(timeoutMs, 'no whole answer')
    request.once('socket', (socket) => {
      if (!socket.connecting) return
      this.#step = this.#after(connectTimeoutMs, 'no connection')
      socket.once('connect', () => clearTimeout(this.#step))
    })
    request.once('finish', () => {
      clearTimeout(this.#step)
      this.#step = this.#after(headTimeoutMs, 'no answer')
    })
    let interim = 0
    request.on('information', () => {
      if (++interim > MAX_INTERIM_ANSWERS) this.fail(new MalformedAnswer('it sends too many interim answers'))
    })
    request.once('upgrade', (_answer, socket) => {
      socket.destroy()
      this.fail(new MalformedAnswer('it changed the protocol without being asked'))
    })
    request.once('response', this.#answer.resolve)
    // after the head, errors reach the reader of the body
    request.on('error', this.#answer.reject)
  }

  fail(reason: unknown): void {
    this.#broken.reject(reason)
    this.#request.destroy()
  }

  async run<T>(read: (answer: IncomingMessage) => Promise<T>): Promise<T> {
    const reading = this.#answer.promise.then((answer) => {
      clearTimeout(this.#step)
      return read(answer)
    })
    try {
      return await Promise.race([this.#broken.promise, reading])
    } catch (error) {
      this.#request.destroy()
      throw error
    } finally {
      clearTimeout(this.#total)
      clearTimeout(this.#step)
      this.#limits.signal?.removeEventListener('abort', this.#onAbort)
    }
  }

  #after(ms: number, what: string): NodeJS.Timeout {
    return setTimeout(() => this.fail(new Error(`${what} within ${ms} ms`)), ms)
  }
}

async function wordsOf(body: Readable): Promise<string> {
  const chunks: Buffer[] = []
  let sizeBytes = 0
  for await (const chunk of body as AsyncIterable<Buffer>) {
    sizeBytes += chunk.length
    if (sizeBytes > MAX_ANSWER_BYTES)
      throw new MalformedAnswer(`its answer is longer than ${MAX_ANSWER_BYTES} bytes`)
    chunks.push(chunk)
  }
  return sizeBytes === 0 ? '' : printable(Buffer.concat(chunks).toString())
}

async function readEvents(
  body: Readable,
  maxBytes: number,
  onEvent: (event: ProcessEvent) => void,
): Promise<void> {
  const frames = new FrameReader()
  const pace = new Pace(PACE_UNITS, PACE_INTERVAL_MS)
  let sizeBytes = 0
  let isOver = false
  for await (const chunk of body as AsyncIterable<Buffer>) {
    if (isOver) throw new MalformedAnswer('its answer continues after the last message')
    sizeBytes += chunk.length
    if (sizeBytes > maxBytes) throw new MalformedAnswer(`its answer is longer than ${maxBytes} bytes`)
    let units = chunk.length + UNITS_PER_CHUNK
    for (const { value, isEnd } of frames.push(chunk)) {
      units += UNITS_PER_MESSAGE
      for (const event of eventsOf(value)) onEvent(event)
      // the connection can be reused only after the end of the body
      isOver ||= isEnd
    }
    if (pace.spend(units)) await pace.wait()
  }
  frames.end()
}

/** Ignores every field of a message that does not have the right type. */
function eventsOf(value: unknown): ProcessEvent[] {
  const { event, error } = record(value)
  if (error !== undefined) {
    const { code, message } = record(error)
    return [{ type: 'refusal', code: text(code) || 'unknown', message: text(message) }]
  }
  const { data, end } = record(event)
  const events: ProcessEvent[] = []
  const output = record(data)
  for (const from of ['stdout', 'stderr'] as const) {
    const encoded = output[from]
    if (typeof encoded === 'string' && encoded !== '')
      events.push({ type: 'output', from, bytes: Buffer.from(encoded, 'base64') })
  }
  if (end !== undefined) {
    const { exitCode = 0, status, exited } = record(end)
    if (!Number.isInteger(exitCode)) throw new MalformedAnswer('it sent an exit code that is not a number')
    events.push({ type: 'end', exitCode: exitCode as number, status: text(status), exited: exited === true })
  }
  return events
}

const record = (value: unknown): Record<string, unknown> =>
  typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {}

const text = (value: unknown): string => (typeof value === 'string' ? printable(value) : '')

const printable = (words: string): string => words.slice(0, MAX_WORDS).replace(/(?![\t\n])\p{Cc}/gu, '\ufffd')
