import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'

/** A route to the server that tests can cut, as happens when a laptop changes its Wi-Fi. */
export interface UnsteadyProxy {
  url: string
  /** Breaks every connection and accepts no new one. */
  cut(): Promise<void>
  /** Cuts as soon as this many bytes have passed, in either direction. */
  cutAfter(bytes: number): void
  mend(): Promise<void>
  close(): Promise<void>
}

export async function startUnsteadyProxy(targetPort: number): Promise<UnsteadyProxy> {
  const sockets = new Set<Socket>()
  let bytesUntilCut = Number.POSITIVE_INFINITY
  const count = ({ length }: Buffer): void => {
    bytesUntilCut -= length
    if (bytesUntilCut > 0) return
    bytesUntilCut = Number.POSITIVE_INFINITY
    void cut()
  }
  const server = createServer((client) => {
    const upstream = connect(targetPort, '127.0.0.1')
    for (const socket of [client, upstream]) {
      sockets.add(socket)
      socket
        .on('error', () => {})
        .on('data', count)
        .once('close', () => {
          sockets.delete(socket)
          client.destroy()
          upstream.destroy()
        })
    }
    client.pipe(upstream).pipe(client)
  })
  const listen = (port: number): Promise<unknown> => once(server.listen(port, '127.0.0.1'), 'listening')
  await listen(0)
  const { port } = server.address() as AddressInfo
  const cut = async (): Promise<void> => {
    const closed = once(server, 'close')
    server.close()
    for (const socket of sockets) socket.destroy()
    await closed
  }
  return {
    url: `http://localhost:${port}`,
    cut,
    cutAfter: (bytes) => void (bytesUntilCut = bytes),
    mend: async () => void (await listen(port)),
    close: async () => (server.listening ? cut() : undefined),
  }
}
