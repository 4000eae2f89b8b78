import { createCipheriv } from 'node:crypto'
import { once } from 'node:events'
import WebSocket from 'ws'

const TIMEOUT_MS = 20_000
const NO_AUTHENTICATION = 1
const VNC_AUTHENTICATION = 2

export interface RfbGreeting {
  /** `RFB 003.008` */
  version: string
  securityTypes: number[]
  /** Size and name of the desktop, which the server sends once the client is admitted. */
  screen?: { width: number; height: number; name: string }
}

/**
 * Greets a VNC server through a WebSocket as noVNC does (RFC 6143, 7.1-7.3).
 *
 * @param password for VNC authentication; without one, the client asks for no authentication
 * @returns without `screen` when the server refuses
 * @throws when nothing listens, or the connection is closed before that
 */
export async function greet(url: string, password?: string): Promise<RfbGreeting> {
  const socket = new WebSocket(url, ['binary'], { handshakeTimeout: TIMEOUT_MS })
  const closed = new AbortController()
  socket.once('close', (code) => closed.abort(new Error(`closed with ${code}`)))
  const signal = AbortSignal.any([closed.signal, AbortSignal.timeout(TIMEOUT_MS)])
  let received = Buffer.alloc(0)
  socket.on('message', (data: Buffer) => {
    received = Buffer.concat([received, data])
    socket.emit('more')
  })
  const read = async (sizeBytes: number): Promise<Buffer> => {
    while (received.length < sizeBytes) await once(socket, 'more', { signal })
    const bytes = received.subarray(0, sizeBytes)
    received = received.subarray(sizeBytes)
    return bytes
  }
  try {
    await once(socket, 'open', { signal })
    const version = (await read(12)).toString('latin1').trimEnd()
    socket.send(Buffer.from('RFB 003.008\n'))
    const securityTypes = [...(await read((await read(1))[0]!))]
    const wanted = password === undefined ? NO_AUTHENTICATION : VNC_AUTHENTICATION
    if (!securityTypes.includes(wanted)) return { version, securityTypes }
    socket.send(Buffer.from([wanted]))
    if (password !== undefined) socket.send(answerTo(await read(16), password))
    if ((await read(4)).readUInt32BE() !== 0) return { version, securityTypes }
    socket.send(Buffer.from([1]))
    const start = await read(24)
    const name = (await read(start.readUInt32BE(20))).toString()
    return {
      version,
      securityTypes,
      screen: { width: start.readUInt16BE(0), height: start.readUInt16BE(2), name },
    }
  } finally {
    socket.terminate()
  }
}

/** Encrypts with DES under the first eight characters, the bits of each reversed; OpenSSL 3 offers that as triple DES with one key. */
function answerTo(challenge: Buffer, password: string): Buffer {
  const key = Buffer.alloc(8)
  Buffer.from(password, 'latin1').copy(key)
  const reversed = key.map((byte) =>
    Number.parseInt(byte.toString(2).padStart(8, '0').split('').reverse().join(''), 2),
  )
  const cipher = createCipheriv(
    'des-ede3',
    Buffer.concat([reversed, reversed, reversed]),
    null,
  ).setAutoPadding(false)
  return Buffer.concat([cipher.update(challenge), cipher.final()])
}
