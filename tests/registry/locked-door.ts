import { once } from 'node:events'
import { createServer, request as forward } from 'node:http'

export interface LockedDoor {
  /** `127.0.0.1:<port>`. */
  host: string
  close(): Promise<void>
}

/** A proxy before a registry that admits only requests with this name and password, as private registries do (Basic). */
export async function startLockedDoor(
  port: number,
  registry: string,
  username: string,
  password: string,
): Promise<LockedDoor> {
  const right = `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`
  const server = createServer((incoming, outgoing) => {
    if (incoming.headers.authorization !== right) {
      outgoing.writeHead(401, {
        'www-authenticate': 'Basic realm="registry"',
        'content-type': 'application/json',
      })
      const errors = [{ code: 'UNAUTHORIZED', message: 'authentication required' }]
      return void outgoing.end(JSON.stringify({ errors }))
    }
    const { method, url, headers } = incoming
    const passed = forward(`http://${registry}${url}`, { method, headers }, (answer) => {
      outgoing.writeHead(answer.statusCode!, answer.headers)
      answer.pipe(outgoing)
    })
    passed.once('error', () => outgoing.destroy())
    incoming.pipe(passed)
  }).listen(port, '127.0.0.1')
  await once(server, 'listening')
  return {
    host: `127.0.0.1:${port}`,
    async close() {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}
