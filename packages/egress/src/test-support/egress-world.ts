import { mkdtempSync, rmSync } from 'node:fs'
import { createServer, type Server, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Egress } from '@sandlot/protocol'
import { ALL_RANGES, type ConnectionRecord, type NetworkPolicy, OPEN } from '@sandlot/protocol/node'
import pino from 'pino'
import { afterAll, afterEach, beforeAll, beforeEach, expect } from 'vitest'
import { createEgress } from '../egress.ts'
import { openEgressAuthority } from '../intercept/authority.ts'
import { a, type NameServer, startNameServer } from './name-server.ts'
import { PrivateNetwork, SANDBOX } from './private-network.ts'
import { startTlsServer, type TlsTestServer } from './tls-server.ts'

export const OWNER = { sandboxId: 'sandbox-1', teamId: 'team-1' }
/** After which connections without first bytes are decided by their address. */
export const HEAD_TIMEOUT_MS = 300

/** Proxy and resolver, a sandbox's namespace and an internet with names. Registers its own hooks. */
export class EgressWorld {
  network!: PrivateNetwork
  names!: NameServer
  egress!: Egress
  /** Those of the test that runs. */
  records: ConnectionRecord[] = []
  /** TLS servers on 192.0.2.10 and 198.51.100.20. */
  first!: TlsTestServer
  second!: TlsTestServer
  readonly directory = mkdtempSync(join(tmpdir(), 'egress-test-'))
  readonly #servers: Server[] = []
  readonly #accepted = new Set<Socket>()

  constructor() {
    beforeAll(() => this.#open())
    beforeEach(() => {
      this.records = []
    })
    afterEach(() => this.#clean())
    afterAll(() => this.#close())
  }

  setPolicy(fields: Partial<NetworkPolicy>, closeExisting = false): void {
    this.egress.setPolicy(SANDBOX, OWNER, { ...OPEN, ...fields }, closeExisting)
  }

  allowOnly(...allowNames: string[]): void {
    this.setPolicy({ allowNames, denyRanges: [ALL_RANGES] })
  }

  /** Waits for a record with these fields. */
  recorded(expected: Partial<ConnectionRecord>) {
    return expect.poll(() => this.records).toContainEqual(expect.objectContaining(expected))
  }

  /** Listens on an address of the internet until the test ends. */
  async serve(address: string, port: number, onConnection: (socket: Socket) => void): Promise<void> {
    const server = createServer({ allowHalfOpen: true }, (socket) => {
      socket.on('error', () => {})
      this.#accepted.add(socket)
      onConnection(socket)
    })
    await new Promise<void>((resolve) => server.listen(port, address, resolve))
    this.#servers.push(server)
  }

  /** Requests a page in the sandbox, which believes that the name is at the address. */
  fetchByTls(address: string, name: string, extra: string[] = []) {
    const resolved = ['--resolve', `${name}:443:${address}`, `https://${name}/`]
    return this.network.run(['curl', '-sS', '-k', '--max-time', '5', ...extra, ...resolved])
  }

  async #open(): Promise<void> {
    this.network = new PrivateNetwork()
    this.names = await startNameServer()
    this.first = await startTlsServer('192.0.2.10')
    this.second = await startTlsServer('198.51.100.20')
    this.egress = await createEgress({
      log: pino({ level: 'silent' }),
      credentials: { secret: async () => undefined, identityToken: async () => undefined },
      authority: await openEgressAuthority(this.directory),
      dns: [this.names.address],
      closedRanges: ['10.0.0.0/8', '127.0.0.0/8', '203.0.113.0/24'],
      headTimeoutMs: HEAD_TIMEOUT_MS,
      idleTimeoutMs: 2_000,
      maxConnections: 5,
    })
    this.egress.onRecord((record) => this.records.push(record))
    this.network.sendTcpTo(this.egress.proxyPort)
    this.network.sendDnsTo(this.egress.dns.port)
    for (const [key, answers] of [
      a('first.test', '192.0.2.10'),
      a('second.test', '198.51.100.20'),
      a('inside.test', '203.0.113.30'),
      a('mixed.test', '192.0.2.10', '10.0.0.1'),
      a('dead.test', '192.0.2.11'),
    ])
      this.names.records.set(key, answers)
  }

  async #clean(): Promise<void> {
    this.egress.removePolicy(SANDBOX)
    for (const socket of this.#accepted) socket.destroy()
    this.#accepted.clear()
    for (const server of this.#servers.splice(0)) await new Promise((resolve) => server.close(resolve))
  }

  async #close(): Promise<void> {
    await this.egress?.close()
    await Promise.all([this.first?.close(), this.second?.close(), this.names?.close()])
    this.network?.close()
    rmSync(this.directory, { recursive: true })
  }
}

/** Returns what a socket receives until its end, and then the code of an error, e.g. `hello<ECONNRESET>`. */
export async function received(socket: Socket): Promise<string> {
  let text = ''
  try {
    for await (const chunk of socket) text += chunk
    return text
  } catch (error) {
    return `${text}<${(error as NodeJS.ErrnoException).code}>`
  }
}
