import { type ChildProcess, spawn } from 'node:child_process'
import {
  deserializeMessage,
  type JSONRPCMessage,
  serializeMessage,
  type Transport,
} from '@modelcontextprotocol/client'
import type { Launch } from '../config/launch.ts'
import { baseEnvironment, type Identity } from '../identity.ts'
import { killGroup } from '../run-command.ts'
import { LineBuffer } from './line-buffer.ts'

/** A longer message of a server ends its connection. */
const MAX_MESSAGE_BYTES = 16 * 1024 * 1024
/** What a server has not read yet; beyond this, requests are refused. */
const MAX_UNREAD_BYTES = 16 * 1024 * 1024
const STOP_TIMEOUT_MS = 2000

/**
 * A server that speaks over its standard input and output. Runs as `identity` in a process group of its own, so that
 * stopping it also ends what it started. The SDK's transport can do neither.
 */
export class ServerProcess implements Transport {
  onclose?: () => void
  onerror?: (error: Error) => void
  onmessage?: (message: JSONRPCMessage) => void
  readonly #launch: Extract<Launch, { kind: 'process' }>
  readonly #identity: Identity
  readonly #onstderr: (text: string) => void
  readonly #input = new LineBuffer(MAX_MESSAGE_BYTES)
  #child?: ChildProcess
  readonly #lines: string[] = []
  #isDelivering = false
  /** How the process ended, for the log and for `status`. */
  lastWords = ''

  constructor(
    launch: Extract<Launch, { kind: 'process' }>,
    identity: Identity,
    onstderr: (text: string) => void,
  ) {
    this.#launch = launch
    this.#identity = identity
    this.#onstderr = onstderr
  }

  get pid(): number | undefined {
    return this.#child?.pid
  }

  start(): Promise<void> {
    const { command, arguments: args, environment, folder } = this.#launch
    const { uid, gid, home } = this.#identity
    const child = spawn(command, args, {
      cwd: folder ?? home,
      env: { ...baseEnvironment(this.#identity), ...environment },
      stdio: ['pipe', 'pipe', 'pipe'],
      detached: true,
      ...(process.getuid!() === 0 && { uid, gid }),
    })
    this.#child = child
    child.stdout.on('data', (chunk: Buffer) => this.#read(chunk))
    child.stderr.on('data', (chunk: Buffer) => {
      const text = chunk.toString()
      this.lastWords = (this.lastWords + text).slice(-500)
      this.#onstderr(text)
    })
    child.stdin.on('error', (error) => this.onerror?.(error))
    child.on('close', (code, signal) => {
      const how = `ended with ${code === null ? signal : `exit code ${code}`}`
      this.lastWords = `${how}${this.lastWords.trim() === '' ? '' : `: ${this.lastWords.trim()}`}`
      if (child.pid !== undefined) killGroup(child.pid, 'SIGKILL')
      this.#child = undefined
      this.onclose?.()
    })
    return new Promise((resolve, reject) => {
      child.once('spawn', resolve)
      child.once('error', (error) => {
        reject(new Error(`'${command}' could not be started: ${error.message}`))
        this.onclose?.()
      })
    })
  }

  async send(message: JSONRPCMessage): Promise<void> {
    const stdin = this.#child?.stdin
    if (!stdin?.writable) throw new Error('the server has ended')
    if (stdin.writableLength > MAX_UNREAD_BYTES) throw new Error('the server does not read its input')
    stdin.write(serializeMessage(message))
  }

  /** Ends the process: by closing its input, then by SIGTERM, then by SIGKILL. */
  async close(): Promise<void> {
    const child = this.#child
    if (!child?.pid) return
    const { pid } = child
    const ended = new Promise<void>((resolve) => child.once('close', () => resolve()))
    child.stdin?.end()
    for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
      const timeout = new Promise<void>((resolve) => setTimeout(resolve, STOP_TIMEOUT_MS).unref())
      await Promise.race([ended, timeout])
      if (this.#child === undefined) return
      killGroup(pid, signal)
    }
    await ended
  }

  #read(chunk: Buffer): void {
    try {
      this.#lines.push(...this.#input.add(chunk))
    } catch (error) {
      this.#child?.stdout?.destroy()
      this.onerror?.(error as Error)
      void this.close()
      return
    }
    void this.#deliver()
  }

  /**
   * Hands on one message after the other. Between them the SDK gets to handle the last one: it handles notifications a
   * turn later than responses, and would drop progress that came together with the result.
   */
  async #deliver(): Promise<void> {
    if (this.#isDelivering) return
    this.#isDelivering = true
    for (let line = this.#lines.shift(); line !== undefined; line = this.#lines.shift()) {
      const message = this.#parse(line)
      if (message) this.onmessage?.(message)
      await undefined
    }
    this.#isDelivering = false
  }

  /** Returns nothing for a line that is no message; the next one may be. */
  #parse(line: string): JSONRPCMessage | undefined {
    if (!line.startsWith('{')) return undefined
    try {
      return deserializeMessage(line)
    } catch (error) {
      this.onerror?.(error as Error)
    }
  }
}
