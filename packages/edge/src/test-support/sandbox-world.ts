import {
  createServer,
  type IncomingMessage,
  type RequestListener,
  type Server,
  type ServerResponse,
} from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { ENVD_PORT } from '@sandlot/protocol'
import type { DirectoryEntry, GoneReason, SandboxDirectory } from '@sandlot/protocol/directory'
import { pino } from 'pino'
import { createEdge, createListener, type EdgeOptions, openCertificateStore } from '../index.ts'
import { temporaryDirectory } from './temporary-directory.ts'

export const DOMAIN = 'sandlot.localhost'

let addresses = 0
/** Returns a loopback address for a sandbox, on which no other test file, in any process, listens. */
export function newAddress(): string {
  addresses++
  return `127.${2 + ((process.pid >> 8) % 250)}.${process.pid & 0xff}.${addresses}`
}

export class MapDirectory implements SandboxDirectory {
  readonly entries = new Map<string, DirectoryEntry>()
  readonly #listeners = new Set<(sandboxId: string, reason: GoneReason) => void>()

  add(entry: Partial<DirectoryEntry> & { sandboxId: string; address: string }): void {
    this.entries.set(entry.sandboxId, { state: 'running', ...entry })
  }

  kill(sandboxId: string, reason: GoneReason = 'ended'): void {
    this.entries.delete(sandboxId)
    for (const listener of this.#listeners) listener(sandboxId, reason)
  }

  find(sandboxId: string): DirectoryEntry | undefined {
    return this.entries.get(sandboxId)
  }

  reachable(): Iterable<DirectoryEntry> {
    return this.entries.values()
  }

  /** Effect of a resume in this test; by default the sandbox runs afterwards. */
  onWake = async (entry: DirectoryEntry): Promise<void> => {
    entry.state = 'running'
  }
  wakes = 0

  async wake(sandboxId: string): Promise<void> {
    this.wakes++
    const entry = this.entries.get(sandboxId)
    if (entry?.state === 'paused') await this.onWake(entry)
  }

  onGone(listener: (sandboxId: string, reason: GoneReason) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }
}

/**
 * Starts a server of a sandbox. Each test file needs its own loopback address, because envd's port is always the
 * same.
 */
export function startServer(
  address: string,
  handler: RequestListener,
  port = 0,
): Promise<Server & { port: number }> {
  const server = createServer({ maxHeaderSize: 65536 }, handler)
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(port, address, () =>
      resolve(Object.assign(server, { port: (server.address() as AddressInfo).port })),
    )
  })
}

export const startEnvd = (address: string, handler: RequestListener) =>
  startServer(address, handler, ENVD_PORT)

/** Edge and listener on a free port of 127.0.0.1 and ::1, with a CA of their own. */
export async function startEdge(options: Partial<EdgeOptions> = {}) {
  const directory = new MapDirectory()
  const edge = createEdge({
    directory,
    domain: `${DOMAIN}:3000`,
    logger: pino({ level: 'silent' }),
    ...options,
  })
  const home = temporaryDirectory()
  const tls = await openCertificateStore(join(home, 'ca'), DOMAIN)
  const listener = await createListener({
    hosts: ['127.0.0.1', '::1'],
    port: 0,
    tls,
    onRequest(request, response) {
      if (edge.claims(request)) edge.handle(request, response)
      else (response as ServerResponse).end('the API')
    },
    onUpgrade: (request, socket, head) => edge.handleUpgrade(request, socket, head),
  })
  return {
    directory,
    edge,
    tls,
    listener,
    port: listener.port,
    async close() {
      await edge.close()
      await listener.close(0)
    },
  }
}

export async function textOf(message: AsyncIterable<Buffer>): Promise<string> {
  const chunks: Buffer[] = []
  for await (const chunk of message) chunks.push(chunk)
  return Buffer.concat(chunks).toString()
}

/** Answers with the request as JSON. */
export async function echo(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const body = await textOf(request)
  const { method, url, rawHeaders, rawTrailers } = request
  response.setHeader('content-type', 'application/json')
  response.end(JSON.stringify({ method, url, headers: request.headers, rawHeaders, rawTrailers, body }))
}
