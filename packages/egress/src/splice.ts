import type { Socket } from 'node:net'
import { reset } from './reset.ts'
import { newProgress, SocketReader } from './socket-reader.ts'

export type SpliceEnd =
  /** Both sides have ended, or the client has broken the connection. */
  'closed' | 'reset_by_server' | 'idle_timeout'

export interface SpliceOptions {
  /** What was read from the client before. */
  head: Buffer
  /** Time without bytes in either direction after which both are reset. */
  idleTimeoutMs: number
}

/**
 * Passes bytes in both directions until both sides have ended. The end of one direction is passed on alone; a reset of one
 * side resets the other.
 * @param client paused; both sockets have `allowHalfOpen`
 */
export function splice(
  client: Socket,
  server: Socket,
  { head, idleTimeoutMs }: SpliceOptions,
): Promise<SpliceEnd> {
  return new Promise((resolve) => {
    let end: SpliceEnd = 'closed'
    const open = new Set([client, server].filter((socket) => !socket.closed))
    const onClose = (socket: Socket) => {
      open.delete(socket)
      if (open.size === 0) resolve(end)
      for (const other of open) breakUnlessDone(other)
    }
    for (const socket of open) socket.once('close', () => onClose(socket))
    if (open.size === 0) resolve(end)
    client.on('error', () => {})
    server.on('error', () => {
      if (!client.destroyed) end = 'reset_by_server'
    })
    // every byte passes the client's socket, so its timer sees both directions
    client.setTimeout(idleTimeoutMs, () => {
      end = 'idle_timeout'
      reset(client)
      reset(server)
    })
    if (head.length > 0) server.write(head)
    passOn(server, client)
    passOn(client, server)
    if (client.destroyed) reset(server)
    if (server.destroyed) reset(client)
  })
}

/** Writes everything that comes from `source` to `destination`, and ends it when `source` ends. */
function passOn(source: Socket, destination: Socket): void {
  if (source.readableEnded) {
    destination.end()
    return
  }
  const progress = newProgress()
  const onData = (bytes: Buffer) => {
    progress.passedBytes += bytes.length
    if (destination.destroyed) return
    const { passedBytes } = progress
    destination.write(bytes, () => {
      progress.sentBytes = passedBytes
    })
    // what the kernel takes at once is gone when `write` returns, before the callback
    if (destination.writableLength === 0) progress.sentBytes = passedBytes
    else if (destination.writableNeedDrain) source.pause()
  }
  destination.on('drain', () => source.resume())
  source.once('end', () => destination.end())
  new SocketReader(source, onData, progress).start()
}

/** The other side is gone: what it has ended in order is still delivered, all else is reset. */
function breakUnlessDone(socket: Socket): void {
  if (!socket.writableEnded) reset(socket)
}
