import { connect, type Socket } from 'node:net'
import { isAllowedRegistry } from './allowed-registries.ts'

/** Port on which guest/imager accepts connections that can be relayed to a registry. */
export const RELAY_PORT = 49982
const IDLE_CONNECTIONS = 3
const MAX_CONNECTIONS = 8
const CONNECT_TIMEOUT_MS = 10_000
const SILENCE_TIMEOUT_MS = 90_000
const REOPEN_MS = 250
const MAX_LINE_BYTES = 300
const BUFFER_BYTES = 512 * 1024
const IS_OPEN = '+'
const IS_UNREACHABLE = '-'
const IS_REFUSED = '!'

export interface RelayOptions {
  /** Address of the machine. */
  address: string
  /** `host:port`, or `host` for 443 and 80. */
  allowedRegistries: readonly string[]
  port?: number
}

/**
 * Relays connections of one machine to registries that an administrator allows, in networks that machines cannot reach. The
 * host opens connections to the machine, so the firewall needs no exception; the machine requests a relay by writing
 * `host:port` into one of them. Each request is checked against the list, so that redirects cannot lead to other hosts.
 */
export class RegistryRelay {
  readonly #options: Required<RelayOptions>
  readonly #sockets = new Set<Socket>()
  #idle = 0
  #connections = 0
  #isClosed = false

  constructor(options: RelayOptions) {
    this.#options = { port: RELAY_PORT, ...options }
    this.#fill()
  }

  close(): void {
    this.#isClosed = true
    for (const socket of this.#sockets) socket.destroy()
  }

  #fill(): void {
    while (!this.#isClosed && this.#idle < IDLE_CONNECTIONS && this.#connections < MAX_CONNECTIONS)
      this.#open()
  }

  #open(): void {
    const { address, port } = this.#options
    this.#idle++
    this.#connections++
    let isIdle = true
    const socket = this.#track(connect({ host: address, port, noDelay: true }))
    const use = () => {
      if (isIdle) this.#idle--
      isIdle = false
    }
    let line = ''
    const read = (chunk: Buffer) => {
      line += chunk.toString('latin1')
      const wanted = /^([a-z0-9.-]+):(\d{1,5})\n$/i.exec(line)
      if (!wanted && (line.length > MAX_LINE_BYTES || line.includes('\n'))) socket.destroy()
      if (!wanted) return
      socket.off('data', read)
      use()
      this.#relay(socket, wanted[1]!, Number(wanted[2]))
      this.#fill()
    }
    socket.on('data', read)
    socket.once('close', () => {
      use()
      this.#connections--
      setTimeout(() => this.#fill(), REOPEN_MS).unref()
    })
  }

  #relay(socket: Socket, host: string, port: number): void {
    socket.pause()
    if (port > 65_535 || !isAllowedRegistry(`${host}:${port}`, this.#options.allowedRegistries))
      return void socket.end(IS_REFUSED)
    // a large buffer that is reused, because images have hundreds of megabytes
    const buffer = Buffer.allocUnsafe(BUFFER_BYTES)
    const callback = (length: number): boolean => {
      socket.write(buffer.subarray(0, length), () => registry.resume())
      return false
    }
    const registry = this.#track(connect({ host, port, noDelay: true, onread: { buffer, callback } }))
    const timer = setTimeout(() => registry.destroy(), CONNECT_TIMEOUT_MS)
    let isOpen = false
    registry.once('connect', () => {
      clearTimeout(timer)
      isOpen = true
      for (const end of [registry, socket]) end.setTimeout(SILENCE_TIMEOUT_MS, () => end.destroy())
      socket.write(IS_OPEN)
      socket.pipe(registry)
    })
    registry.once('end', () => socket.end())
    registry.once('close', () => {
      clearTimeout(timer)
      if (isOpen) socket.destroySoon()
      else socket.end(IS_UNREACHABLE)
    })
    socket.once('close', () => registry.destroy())
  }

  #track(socket: Socket): Socket {
    this.#sockets.add(socket)
    socket.on('error', () => {})
    socket.once('close', () => this.#sockets.delete(socket))
    return socket
  }
}
