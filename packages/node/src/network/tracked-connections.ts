import { readFileSync } from 'node:fs'
import type { TcpFlow } from './conntrack-socket.ts'
import { readConnection } from './open-connections.ts'

/** Connections whose beginning is remembered; those beyond are recorded without it. */
const MAX_REMEMBERED = 20_000
/** A connection that begins, that closes, or that the kernel forgets. */
const EVENT = /^\[(\d+\.\d+)\]\s+\[(NEW|DESTROY|UPDATE(?=\] +tcp +\d+ +\d+ (?:TIME_WAIT|CLOSE) ))\] /
const TIMEOUTS_DIR = '/proc/sys/net/netfilter'

/** A connection that the kernel has passed and forgotten. */
export interface EndedConnection<T> {
  /** What the caller noted when the connection began, or now when that was missed. */
  note: T
  startedAtMs: number
  durationMs: number
  protocol: string
  address: string
  port?: number
  bytesOut: number
  bytesIn: number
  /** Why nothing came of it, for TCP. */
  failure?: 'no_answer' | 'connection_refused'
}

export interface TrackedConnectionsOptions<T> {
  /** @returns what to note of a sandbox when its connection begins; undefined: the connection is not recorded */
  note: (source: string, address: string) => T | undefined
  /** Mark of connections that another part records. */
  ignoredMark: number
  /** Address that the answers of connections come from that another part records. */
  ignoredPeer?: string
  onEnd: (ended: EndedConnection<T>) => void
  /** A TCP connection that is recorded has closed, but the kernel still has it. */
  onClosed: (flow: TcpFlow) => void
  /** The kernel has forgotten a connection. */
  onForgotten: (id: number) => void
}

interface Begun<T> {
  note: T
  startedAtMs: number
  /** When it closed, if that was seen. */
  closedAtMs?: number
}

/**
 * Makes records of the lines of `conntrack -E -e NEW,UPDATES,DESTROY -o timestamp,id`. Only the last event of a connection has
 * its bytes.
 */
export class TrackedConnections<T> {
  readonly #options: TrackedConnectionsOptions<T>
  readonly #begun = new Map<string, Begun<T>>()
  readonly #timeouts = new Map<string, number>()

  constructor(options: TrackedConnectionsOptions<T>) {
    this.#options = options
  }

  onLine(line: string): void {
    // most lines are of connections that only open or begin to close
    const [, seconds, event] = EVENT.exec(line) ?? []
    const id = / id=(\d+)/.exec(line)?.[1]
    if (!seconds || !id) return
    const atMs = Number(seconds) * 1000
    if (event === 'NEW') this.#begin(id, atMs, line)
    else if (event === 'DESTROY') this.#end(id, atMs, line)
    else this.#closed(id, atMs, line)
  }

  #begin(id: string, startedAtMs: number, line: string): void {
    if (this.#begun.size >= MAX_REMEMBERED) return
    const note = this.#noteOf(line)
    if (note !== undefined) this.#begun.set(id, { note, startedAtMs })
  }

  #closed(id: string, closedAtMs: number, line: string): void {
    const connection = readConnection(line)
    if (!this.#begun.has(id)) this.#begin(id, closedAtMs, line)
    const begun = this.#begun.get(id)
    if (!begun || !connection) return
    begun.closedAtMs = closedAtMs
    const { source, address, sourcePort = 0, port = 0 } = connection
    this.#options.onClosed({ id: Number(id), source, address, sourcePort, port })
  }

  #end(id: string, atMs: number, line: string): void {
    const begun = this.#begun.get(id) ?? this.#missed(atMs, line)
    this.#begun.delete(id)
    this.#options.onForgotten(Number(id))
    const connection = readConnection(line)
    if (!begun || !connection) return
    const { protocol, address, port } = connection
    const [bytesOut = 0, bytesIn = 0] = [...line.matchAll(/ bytes=(\d+)/g)].map(([, bytes]) => Number(bytes))
    const endedAtMs = begun.closedAtMs ?? atMs - this.#timeoutMs(line, protocol)
    this.#options.onEnd({
      note: begun.note,
      startedAtMs: Math.round(begun.startedAtMs),
      durationMs: Math.max(0, Math.round(endedAtMs - begun.startedAtMs)),
      protocol,
      address,
      ...(port !== undefined && { port }),
      bytesOut,
      bytesIn,
      ...failureOf(line, protocol),
    })
  }

  /** The connection began before this server listened. */
  #missed(startedAtMs: number, line: string): Begun<T> | undefined {
    const note = this.#noteOf(line)
    return note === undefined ? undefined : { note, startedAtMs }
  }

  #noteOf(line: string): T | undefined {
    const { note, ignoredMark, ignoredPeer } = this.#options
    const connection = readConnection(line)
    if (!connection || connection.mark === ignoredMark) return undefined
    const peer = [...line.matchAll(/ src=(\S+)/g)][1]?.[1]
    if (ignoredPeer !== undefined && peer === ignoredPeer) return undefined
    return note(connection.source, connection.address)
  }

  /** How long the kernel remembers a connection in this state after its last packet. */
  #timeoutMs(line: string, protocol: string): number {
    const state = / tcp +\d+ ([A-Z_]+) /.exec(line)?.[1]?.toLowerCase()
    // a connection in this state was not forgotten, but cut, or its sandbox has ended
    if (state === 'established') return 0
    const stream = line.includes('[ASSURED]') ? '_stream' : ''
    const name =
      protocol === 'tcp' ? `tcp_timeout_${state}` : `${protocol}_timeout${protocol === 'udp' ? stream : ''}`
    let timeoutMs = this.#timeouts.get(name)
    if (timeoutMs === undefined) {
      timeoutMs = readSeconds(`${TIMEOUTS_DIR}/nf_conntrack_${name}`) * 1000
      this.#timeouts.set(name, timeoutMs)
    }
    return timeoutMs
  }
}

function failureOf(line: string, protocol: string): { failure?: 'no_answer' | 'connection_refused' } {
  if (protocol !== 'tcp' || line.includes('[ASSURED]')) return {}
  if (line.includes('[UNREPLIED]')) return { failure: 'no_answer' }
  return / CLOSE /.test(line) ? { failure: 'connection_refused' } : {}
}

function readSeconds(file: string): number {
  try {
    return Number(readFileSync(file, 'utf8'))
  } catch {
    return 0
  }
}
