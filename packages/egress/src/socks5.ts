import { isIPv4, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import type { UpstreamProxy } from '@sandlot/protocol/node'
import { DialError } from './connection.ts'

const VERSION = 5
const COMMAND_CONNECT = 1
const METHOD = { none: 0, password: 2 } as const
const ADDRESS_TYPE = { ipv4: 1, name: 3, ipv6: 4 } as const
const PASSWORD_VERSION = 1

/** Replies of RFC 1928, 6. */
const REFUSALS: Record<number, string> = {
  1: 'proxy_failed',
  2: 'proxy_refused',
  3: 'host_unreachable',
  4: 'host_unreachable',
  5: 'connection_refused',
  6: 'connect_timeout',
}

/**
 * Asks a SOCKS5 proxy to connect to a destination (RFC 1928, 1929).
 * @param socket connected to the proxy; destroyed when the proxy refuses
 * @param destination an IPv4 address, or a name that the proxy resolves
 * @returns the connection to the destination: `socket`, or TLS on it
 * @throws DialError proxy_tls_failed, proxy_auth_failed, proxy_refused, proxy_failed, host_unreachable,
 *   connection_refused, connect_timeout
 */
export async function openTunnel(
  socket: Socket,
  proxy: UpstreamProxy,
  destination: { host: string; port: number },
  signal: AbortSignal,
): Promise<Socket> {
  const abort = () => socket.destroy()
  signal.addEventListener('abort', abort)
  if (signal.aborted) abort()
  try {
    const stream = proxy.tls ? await secure(socket, proxy, proxy.tls) : socket
    await handshake(stream, proxy, destination)
    return stream
  } catch (error) {
    socket.destroy()
    if (error instanceof DialError) throw error
    throw new DialError('proxy_failed', `the proxy ended the connection: ${(error as Error).message}`, {
      cause: error,
    })
  } finally {
    signal.removeEventListener('abort', abort)
  }
}

function secure(
  socket: Socket,
  proxy: UpstreamProxy,
  tls: NonNullable<UpstreamProxy['tls']>,
): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const name = tls.serverName ?? proxy.host
    const secured = connectTls({
      socket,
      host: name,
      ...(!isIPv4(name) && { servername: name }),
      ...(tls.caCert !== undefined && { ca: tls.caCert }),
      minVersion: 'TLSv1.2',
      rejectUnauthorized: true,
    })
    const onFault = (error?: unknown) => {
      const text = error instanceof Error ? error.message : 'the connection was closed'
      reject(new DialError('proxy_tls_failed', `no TLS with the proxy '${name}': ${text}`, { cause: error }))
    }
    secured.on('error', onFault).once('close', onFault)
    secured.once('secureConnect', () => {
      secured.off('close', onFault)
      resolve(secured)
    })
  })
}

async function handshake(
  stream: Socket,
  { username, password }: UpstreamProxy,
  { host, port }: { host: string; port: number },
): Promise<void> {
  const offered = username === undefined ? METHOD.none : METHOD.password
  stream.write(Buffer.from([VERSION, 1, offered]))
  const [version, method] = await readExactly(stream, 2)
  if (version !== VERSION) throw new DialError('proxy_failed', 'the proxy does not speak SOCKS5')
  if (method !== offered)
    throw new DialError(
      'proxy_auth_failed',
      username === undefined ? 'the proxy asks for a user and a password' : 'the proxy takes no password',
    )
  if (username !== undefined) {
    stream.write(Buffer.concat([Buffer.from([PASSWORD_VERSION]), text(username), text(password ?? '')]))
    const [, status] = await readExactly(stream, 2)
    if (status !== 0) throw new DialError('proxy_auth_failed', 'the proxy refused the user or the password')
  }
  const portBytes = Buffer.from([port >> 8, port & 0xff])
  stream.write(Buffer.concat([Buffer.from([VERSION, COMMAND_CONNECT, 0]), addressOf(host), portBytes]))
  await readReply(stream)
}

async function readReply(stream: Socket): Promise<void> {
  const [version, reply, , type] = await readExactly(stream, 4)
  if (version !== VERSION) throw new DialError('proxy_failed', 'the proxy does not speak SOCKS5')
  if (reply !== 0)
    throw new DialError(
      REFUSALS[reply!] ?? 'proxy_refused',
      `the proxy could not connect: SOCKS reply ${reply}`,
    )
  // the address that the proxy connects from is of no use here
  if (type === ADDRESS_TYPE.ipv4) await readExactly(stream, 4 + 2)
  else if (type === ADDRESS_TYPE.ipv6) await readExactly(stream, 16 + 2)
  else if (type === ADDRESS_TYPE.name) {
    const [length] = await readExactly(stream, 1)
    await readExactly(stream, length! + 2)
  } else throw new DialError('proxy_failed', `the proxy answered with an address of unknown type ${type}`)
}

const addressOf = (host: string): Buffer =>
  isIPv4(host)
    ? Buffer.from([ADDRESS_TYPE.ipv4, ...host.split('.').map(Number)])
    : Buffer.concat([Buffer.from([ADDRESS_TYPE.name]), text(host)])

/** Text of at most 255 bytes with its length in front. */
function text(value: string): Buffer {
  const bytes = Buffer.from(value)
  if (bytes.length > 255) throw new DialError('proxy_failed', 'SOCKS5 takes texts of at most 255 bytes')
  return Buffer.concat([Buffer.from([bytes.length]), bytes])
}

/** Leaves what comes after these bytes in the stream. */
function readExactly(stream: Socket, length: number): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const tryRead = () => {
      const bytes: Buffer | null = stream.read(length)
      // at the end of a stream `read` returns what is left
      if (bytes === null) return
      stop()
      if (bytes.length === length) resolve(bytes)
      else reject(new Error('the answer is too short'))
    }
    const onEnd = (error?: Error) => {
      stop()
      reject(error instanceof Error ? error : new Error('closed during the handshake'))
    }
    const stop = () =>
      stream.off('readable', tryRead).off('end', onEnd).off('close', onEnd).off('error', onEnd)
    stream.on('readable', tryRead).once('end', onEnd).once('close', onEnd).once('error', onEnd)
    tryRead()
  })
}
