import { randomUUID } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import {
  ALL_RANGES,
  type ConnectionRecord,
  type NetworkOwner,
  type NetworkPolicy,
  type NodeEventOf,
} from '@sandlot/protocol/node'
import type { InstanceNames } from '../instance-names.ts'
import { ClosedConnections } from './closed-connections.ts'
import { DNS_ADDRESS } from './dns-address.ts'
import { LineProcess } from './line-process.ts'
import { rangeRuleOf } from './open-connections.ts'
import { type Refusal, Repeats, readRefusal } from './refusal-trace.ts'
import { type EndedConnection, TrackedConnections } from './tracked-connections.ts'

const FLUSH_INTERVAL_MS = 1_000
const MAX_BATCH = 500
/** Records that wait for the next batch; more are only counted. */
const MAX_WAITING = 10_000
/** How long the program keeps running after the last sandbox that is recorded has ended. */
const IDLE_MS = 60_000
const ACCOUNTING = '/proc/sys/net/netfilter/nf_conntrack_acct'

/** A sandbox whose connections are recorded. */
export interface RecordedSandbox {
  owner: NetworkOwner
  network: NetworkPolicy
}

export interface ConnectionRecorderOptions {
  names: InstanceNames
  /** CIDR of the slots. */
  range: string
  /** Address of the proxy's resolver, which records queries itself. */
  resolver?: string
  /** @returns undefined when connections of the sandbox with this address are not recorded */
  sandboxAt: (address: string) => RecordedSandbox | undefined
  emit: (event: NodeEventOf<'connections'>) => void
  onError: (error: unknown) => void
}

/**
 * Records where sandboxes connect to: what the kernel passes, by events of its connection table, and what it refuses, by
 * traces of packets. Events come from a process that runs only while some sandbox is recorded, and traces from the monitor
 * of the firewall, which always runs: the first refusal of the first sandbox with rules is not missed.
 */
export class ConnectionRecorder {
  readonly #options: ConnectionRecorderOptions
  readonly #events: LineProcess
  readonly #closed: ClosedConnections
  readonly #repeats = new Repeats()
  #waiting: ConnectionRecord[] = []
  #dropped = 0
  #flushing: NodeJS.Timeout | undefined
  #neededAtMs = 0

  constructor(options: ConnectionRecorderOptions) {
    this.#options = options
    const { names, range, resolver, onError } = options
    this.#closed = new ClosedConnections(onError)
    const tracked = new TrackedConnections({
      ignoredMark: names.mark,
      ignoredPeer: resolver,
      note: (source, address) => this.#noteOf(source, address),
      onEnd: (ended) => this.#recordEnded(ended),
      onClosed: (flow) => this.#closed.add(flow),
      onForgotten: (id) => this.#closed.delete(id),
    })
    const events = ['-E', '-e', 'NEW,UPDATES,DESTROY', '-o', 'timestamp,id', '-f', 'ipv4', '-s', range]
    this.#events = new LineProcess({
      command: 'conntrack',
      args: events,
      onError,
      onLine: (line) => tracked.onLine(line),
    })
  }

  /** Called when sandboxes change, and every few seconds. @param isNeeded whether connections of any sandbox are recorded */
  update(isNeeded: boolean, nowMs = Date.now()): void {
    if (isNeeded) {
      this.#neededAtMs = nowMs
      if (!this.#events.isRunning) this.#start()
    } else if (nowMs - this.#neededAtMs > IDLE_MS) this.#stop()
  }

  /** Takes a line of `nft monitor` about a traced packet. */
  onTrace = (line: string): void => {
    const refusal = readRefusal(this.#options.names.nftTable, line)
    if (refusal) this.#recordRefused(refusal)
  }

  /** Adds a record that another part has made. */
  add(record: ConnectionRecord): void {
    if (this.#waiting.length < MAX_WAITING) this.#waiting.push(record)
    else this.#dropped++
    this.#flushing ??= setTimeout(() => this.#flush(), FLUSH_INTERVAL_MS).unref()
  }

  /** Sends what waits. */
  close(): void {
    this.#stop()
    clearTimeout(this.#flushing)
    this.#flush()
  }

  #start(): void {
    try {
      // counts bytes of connections that begin from now on
      if (readFileSync(ACCOUNTING, 'utf8').trim() !== '1') writeFileSync(ACCOUNTING, '1')
    } catch (error) {
      this.#options.onError(error)
    }
    this.#events.start()
  }

  #stop(): void {
    this.#events.stop()
    this.#closed.close()
  }

  #flush(): void {
    this.#flushing = undefined
    const waiting = this.#waiting
    this.#waiting = []
    for (let at = 0; at < waiting.length; at += MAX_BATCH) {
      const dropped = at + MAX_BATCH >= waiting.length ? this.#dropped : 0
      this.#options.emit({ type: 'connections', records: waiting.slice(at, at + MAX_BATCH), dropped })
    }
    this.#dropped = 0
  }

  #noteOf(source: string, address: string): { owner: NetworkOwner; rule: string } | undefined {
    const sandbox = this.#options.sandboxAt(source)
    if (!sandbox) return undefined
    return {
      owner: sandbox.owner,
      rule: address === DNS_ADDRESS ? 'default' : rangeRuleOf(sandbox.network, address),
    }
  }

  #recordEnded({
    note,
    protocol,
    failure,
    ...ended
  }: EndedConnection<{ owner: NetworkOwner; rule: string }>): void {
    this.add({
      ...note.owner,
      ...ended,
      recordId: randomUUID(),
      protocol: protocolOf(protocol),
      verdict: failure ? 'failed' : 'allowed',
      rule: note.rule,
      ...(failure && { reason: failure }),
    })
  }

  #recordRefused(refusal: Refusal): void {
    const sandbox = this.#options.sandboxAt(refusal.source)
    if (!sandbox || this.#repeats.isRepeated(refusal)) return
    const { address, port, protocol, chain } = refusal
    this.add({
      ...sandbox.owner,
      recordId: randomUUID(),
      startedAtMs: Date.now(),
      durationMs: 0,
      protocol: protocolOf(protocol),
      address,
      ...(port !== undefined && { port }),
      bytesOut: 0,
      bytesIn: 0,
      verdict: 'denied',
      rule: ruleOf(chain, sandbox.network, address),
    })
  }
}

function ruleOf(chain: string, network: NetworkPolicy, address: string): string {
  if (chain.endsWith('_closed')) return 'closed range'
  if (chain.endsWith('_limit')) return 'connection limit'
  const rule = rangeRuleOf(network, address)
  // DNS through the host's resolver, which only the denial of everything closes
  return rule.startsWith('deny') ? rule : `deny ${ALL_RANGES}`
}

const protocolOf = (protocol: string): ConnectionRecord['protocol'] =>
  protocol === 'tcp' || protocol === 'udp' || protocol === 'icmp' ? protocol : 'other'
