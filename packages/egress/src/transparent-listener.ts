import { createServer, type Server, type Socket } from 'node:net'
import { SandlotError } from '@sandlot/protocol'
import koffi from 'koffi'

/** From `linux/in.h`. */
const SOL_IP = 0
const IP_TRANSPARENT = 19

const BACKLOG = 4_096
const KEEP_ALIVE_DELAY_MS = 60_000

export interface TransparentListener {
  port: number
  /** Ends listening; connections live on. */
  close(): Promise<void>
}

/**
 * Listens on a port of 127.0.0.1 for connections that the kernel sends here by TPROXY: the local address and port of an
 * accepted socket are where the client connected to.
 * @param onConnection gets sockets that are paused, with `allowHalfOpen`
 * @throws SandlotError firewall_unavailable without the capability CAP_NET_ADMIN
 */
export async function listenTransparently(
  onConnection: (socket: Socket) => void,
): Promise<TransparentListener> {
  const server = createServer(
    {
      pauseOnConnect: true,
      allowHalfOpen: true,
      noDelay: true,
      keepAlive: true,
      keepAliveInitialDelay: KEEP_ALIVE_DELAY_MS,
    },
    onConnection,
  )
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen({ host: '127.0.0.1', port: 0, backlog: BACKLOG }, resolve)
  })
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('the listener has no TCP address')
  makeTransparent(server)
  return {
    port: address.port,
    close: () => new Promise((resolve) => server.close(() => resolve())),
  }
}

/** Accepted sockets inherit the option; it also lets them answer from addresses that are not the host's. */
function makeTransparent(server: Server): void {
  // Node has no public way to the file descriptor of a listening socket
  const { fd } = (server as unknown as { _handle: { fd: number } })._handle
  const setsockopt = koffi
    .load(null)
    .func('int setsockopt(int fd, int level, int name, int *value, uint32_t size)')
  if (setsockopt(fd, SOL_IP, IP_TRANSPARENT, [1], 4) === 0) return
  const errno = koffi.errno()
  server.close()
  throw new SandlotError(
    'firewall_unavailable',
    `the proxy for outgoing connections cannot listen transparently (errno ${errno}): it needs root or CAP_NET_ADMIN`,
  )
}
