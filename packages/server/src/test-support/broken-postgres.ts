import { once } from 'node:events'
import { connect, createServer, type Server, type Socket } from 'node:net'
import { join } from 'node:path'

const SOCKET = '.s.PGSQL.5432'

/** Fakes a PostgreSQL that answers every connection with this error (message format: protocol 3.0, `ErrorResponse`). */
export const refusingPostgres = (folder: string, code: string, text: string): Promise<Server> =>
  listen(folder, (socket) => {
    socket.once('data', () => {
      socket.end(message('E', `SFATAL\0VFATAL\0C${code}\0M${text}\0\0`))
    })
  })

/** A PostgreSQL that agrees to TLS, and answers nothing afterwards. */
export const tlsPostgres = (folder: string): Promise<Server> =>
  listen(folder, (socket) => void socket.once('data', () => socket.write('S')))

/** Fakes a PostgreSQL of this version, which answers only the question for its version. */
export const oldPostgres = (folder: string, versionNumber: string, version: string): Promise<Server> =>
  listen(folder, (socket) => {
    const ready = message('Z', 'I')
    socket.once('data', () => {
      socket.write(Buffer.concat([message('R', '\0\0\0\0'), ready]))
      socket.on('data', () => socket.write(Buffer.concat([row(versionNumber, version), ready])))
    })
  })

/** Proxy between a server and its database that can lose answers. */
export interface LossyProxy {
  /** Loses the answers to the next commits, once all of them were sent, and their connections; the commits themselves succeed. */
  loseNextCommits(count: number): void
  close(): Promise<void>
}

/** @param target folder of the real socket */
export async function lossyProxy(folder: string, target: string): Promise<LossyProxy> {
  let commitsToLose = 0
  const held: Array<() => void> = []
  const sockets = new Set<Socket>()
  const server = await listen(folder, (client) => {
    const upstream = connect(join(target, SOCKET))
    let isLosing = false
    for (const socket of [client, upstream]) {
      sockets.add(socket)
      socket.on('error', () => {})
      socket.once('close', () => {
        client.destroy()
        upstream.destroy()
      })
    }
    client.on('data', (data) => {
      if (commitsToLose > 0 && data.includes('commit\0')) {
        isLosing = true
        held.push(() => upstream.write(data))
        if (held.length < commitsToLose) return
        commitsToLose = 0
        for (const send of held.splice(0)) send()
      } else upstream.write(data)
    })
    upstream.on('data', (data) => {
      if (isLosing) client.destroy()
      else client.write(data)
    })
  })
  return {
    loseNextCommits: (count) => void (commitsToLose = count),
    async close() {
      for (const socket of sockets) socket.destroy()
      server.close()
      await once(server, 'close')
    },
  }
}

async function listen(folder: string, onConnection: (socket: Socket) => void): Promise<Server> {
  const server = createServer((socket) => {
    socket.on('error', () => {})
    onConnection(socket)
  })
  server.listen(join(folder, SOCKET))
  await once(server, 'listening')
  return server
}

function message(type: string, body: string | Buffer): Buffer {
  const content = Buffer.from(body)
  const head = Buffer.alloc(5)
  head.write(type)
  head.writeInt32BE(content.length + 4, 1)
  return Buffer.concat([head, content])
}

/** Answers with one row of two text columns, as the query for the version expects. */
function row(...values: string[]): Buffer {
  const columns = ['version', 'shown'].map((name) => {
    const field = Buffer.alloc(18)
    field.writeInt32BE(25, 6)
    return Buffer.concat([Buffer.from(`${name}\0`), field])
  })
  const count = Buffer.from([0, values.length])
  const cells = values.map((value) => {
    const size = Buffer.alloc(4)
    size.writeInt32BE(value.length)
    return Buffer.concat([size, Buffer.from(value)])
  })
  return Buffer.concat([
    message('T', Buffer.concat([count, ...columns])),
    message('D', Buffer.concat([count, ...cells])),
    message('C', 'SELECT 1\0'),
  ])
}
