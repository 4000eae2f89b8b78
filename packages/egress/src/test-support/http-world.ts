import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'
import type { EgressCredentials } from '@sandlot/protocol'
import { type ConnectionRecord, type NetworkPolicy, OPEN } from '@sandlot/protocol/node'
import pino from 'pino'
import { onTestFinished } from 'vitest'
import { type AcceptedConnection, DialError, type HttpContext, type Target } from '../connection.ts'
import { compilePolicy } from '../policy.ts'
import { ClosedRanges } from '../ranges.ts'
import { Recorder } from '../recorder.ts'

/** What a test may look at and change while connections pass. */
export interface HttpWorld {
  context: HttpContext
  /** Port on which connections of the sandbox arrive. */
  port: number
  records: ConnectionRecord[]
  /** Everything that was logged. */
  logged: string[]
  targets: Array<Omit<Target, 'sandboxId'>>
  secrets: Map<string, string>
  credentials: { isAvailable: boolean }
  setPolicy(policy: Partial<NetworkPolicy>): void
  /** Resolves when a record fits. */
  recordOf(fits: (record: ConnectionRecord) => boolean): Promise<ConnectionRecord>
}

export interface HttpWorldOptions {
  policy?: Partial<NetworkPolicy>
  /** Port that connections go to, whatever name and address they are for; by name where they differ. */
  upstreamPort: number | ((target: Target) => number | undefined)
  upstreamCas?: string[]
  /** Port that the sandbox connects to. */
  destinationPort: number
  /** Address that the sandbox connects to. Default 203.0.113.7. */
  address?: string
}

export const OWNER = { sandboxId: 'i0000000000000000000a', teamId: 'team-1' }

/** Makes a proxy of which only the part under test is missing: `serve` gets each connection with its first bytes. */
export async function httpWorld(
  options: HttpWorldOptions,
  serve: (world: HttpWorld, connection: AcceptedConnection, head: Buffer) => void,
): Promise<HttpWorld> {
  const { address = '203.0.113.7', destinationPort } = options
  const closed = new ClosedRanges(['10.0.0.0/8'], [])
  const compile = (policy: Partial<NetworkPolicy> = {}) => compilePolicy({ ...OPEN, ...policy }, closed)
  let policy = compile(options.policy)
  const recorder = new Recorder()
  const records: ConnectionRecord[] = []
  recorder.onRecord((record) => records.push(record))
  const logged: string[] = []
  const targets: HttpWorld['targets'] = []
  const secrets = new Map<string, string>()
  const credentials = { isAvailable: true }
  const context: HttpContext = {
    dial: (target) => {
      const { sandboxId: _, ...destination } = target
      targets.push(destination)
      return dialTo(target, options.upstreamPort)
    },
    recorder,
    credentials: credentialsOf(secrets, credentials),
    log: pino({ level: 'trace' }, { write: (line: string) => void logged.push(line) }),
    upstreamCas: options.upstreamCas ?? [],
  }
  const world: HttpWorld = {
    ...{ context, records, logged, targets, secrets, credentials, port: 0 },
    setPolicy: (next) => {
      policy = compile(next)
    },
    recordOf: (fits) =>
      new Promise((resolve) => {
        const found = records.find(fits)
        if (found) resolve(found)
        else recorder.onRecord((record) => fits(record) && resolve(record))
      }),
  }
  world.port = await listen(
    createServer({ allowHalfOpen: true, pauseOnConnect: true }, (socket) => {
      socket.once('readable', () => {
        const head: Buffer | null = socket.read()
        if (head === null) return socket.destroy()
        const connection = { socket, owner: OWNER, policy: () => policy, address, port: destinationPort }
        return serve(world, { ...connection, startedAtMs: Date.now() }, head)
      })
      socket.resume()
      socket.pause()
    }),
  )
  return world
}

/** Listens on a free port of 127.0.0.1 until the test ends. */
export async function listen(server: Server): Promise<number> {
  const sockets = new Set<Socket>()
  server.on('connection', (socket: Socket) => {
    sockets.add(socket)
    socket.on('error', () => {})
    socket.once('close', () => sockets.delete(socket))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => {
    server.close()
    for (const socket of sockets) socket.destroy()
  })
  return (server.address() as AddressInfo).port
}

function dialTo(target: Target, upstreamPort: HttpWorldOptions['upstreamPort']): Promise<Socket> {
  const port = typeof upstreamPort === 'number' ? upstreamPort : upstreamPort(target)
  if (port === undefined)
    return Promise.reject(new DialError('name_not_found', `the name ${target.name} does not exist`))
  return new Promise((resolve, reject) => {
    const socket = connect({ host: '127.0.0.1', port, allowHalfOpen: true }, () => resolve(socket))
    socket.once('error', (cause) => reject(new DialError('connection_refused', 'refused', { cause })))
  })
}

function credentialsOf(secrets: Map<string, string>, state: { isAvailable: boolean }): EgressCredentials {
  const check = () => {
    if (!state.isAvailable) throw new Error('the key of the secrets is wrong')
  }
  return {
    async secret(teamId, name) {
      check()
      return secrets.get(`${teamId}/${name}`)
    },
    async identityToken({ sandboxId }, name) {
      check()
      return secrets.get(`${sandboxId}/${name}`)
    },
  }
}
