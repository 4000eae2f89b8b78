import type { Socket } from 'node:net'
import { connect, createSecureContext, type SecureContext, type TLSSocket } from 'node:tls'

const HANDSHAKE_TIMEOUT_MS = 5_000

/** The server accepted the connection, but no TLS came about. */
export class TlsFailedError extends Error {}

/**
 * Nothing is verified, so that keys and signatures that OpenSSL finds too weak are accepted too. Made at the first use,
 * as most servers need none.
 */
let context: SecureContext | undefined

/**
 * Speaks TLS on a connection to a server in a sandbox. The certificate is not verified: it is the guest's own.
 * @param serverName host that the client requested, for servers with several certificates
 * @throws TlsFailedError also when there is no answer for 5 s
 */
export function secured(socket: Socket, serverName: string): Promise<TLSSocket> {
  context ??= createSecureContext({ ciphers: 'DEFAULT:@SECLEVEL=0' })
  const secureContext = context
  return new Promise((resolve, reject) => {
    const tls = connect({
      socket,
      secureContext,
      servername: serverName,
      rejectUnauthorized: false,
      ALPNProtocols: ['http/1.1'],
    })
    const fail = (cause?: unknown) => {
      clearTimeout(timer)
      tls.destroy()
      socket.destroy()
      reject(new TlsFailedError('the server does not speak TLS', { cause }))
    }
    const timer = setTimeout(fail, HANDSHAKE_TIMEOUT_MS)
    tls.once('error', fail)
    tls.once('close', fail)
    tls.once('secureConnect', () => {
      clearTimeout(timer)
      tls.off('error', fail)
      tls.off('close', fail)
      resolve(tls)
    })
  })
}
