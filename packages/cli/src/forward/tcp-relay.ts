import type { Socket } from 'node:net'
import type { Sandbox } from 'e2b'
import { InputQueue } from '../terminal/input-queue.ts'

const START_TIMEOUT_MS = 15_000
const CLOSE_TIMEOUT_MS = 5000

/** Printed in the sandbox once its terminal passes raw bytes. The quotes make the echoed command differ from the output. */
const READY = 'e2b-relay-ready\n'
const SAY_READY = `printf '%s' 'e2b-relay-''ready'; printf '\\n'`

/**
 * Relays a connection that is not HTTP to a port of the sandbox, over a terminal in raw mode: the only stream of the
 * sandbox's API that carries bytes in both directions. Needs bash in the sandbox. A client that closes its half ends the
 * whole connection.
 */
export async function relayTcp(socket: Socket, sandbox: Sandbox, port: number): Promise<void> {
  const output = new RelayOutput(socket)
  const handle = await sandbox.pty.create({
    cols: 80,
    rows: 24,
    timeoutMs: 0,
    requestTimeoutMs: START_TIMEOUT_MS,
    onData: (data) => output.take(data),
  })
  const end = (): void => {
    socket.destroy()
    void sandbox.pty.kill(handle.pid, { requestTimeoutMs: CLOSE_TIMEOUT_MS }).catch(() => {})
  }
  socket.on('error', end).once('close', end)
  handle.wait().then(end, end)
  await sandbox.pty.sendInput(handle.pid, Buffer.from(`${relayScript(port)}\n`))
  await output.ready(START_TIMEOUT_MS)
  const queue = new InputQueue(socket, (data) => sandbox.pty.sendInput(handle.pid, data).catch(end))
  socket.on('data', (data: Buffer) => queue.push(data))
  socket.once('end', () => void queue.settled().finally(end))
  socket.resume()
}

/** Command that copies to and from the port concurrently; the end of the copy from the port ends both. */
const relayScript = (port: number): string =>
  ` stty raw -echo; exec 3<>/dev/tcp/localhost/${port} || exit; ${SAY_READY}; exec bash -c 'cat <&0 >&3 & cat <&3; kill $!'`

/** Drops the shell's output before the relay is ready. */
class RelayOutput {
  readonly #socket: Socket
  #before: Buffer | undefined = Buffer.alloc(0)
  #isReady!: () => void
  readonly #ready = new Promise<void>((resolve) => (this.#isReady = resolve))

  constructor(socket: Socket) {
    this.#socket = socket
  }

  async take(data: Uint8Array): Promise<void> {
    if (!this.#before) return this.#pass(data)
    const all = Buffer.concat([this.#before, data])
    const at = all.indexOf(READY)
    if (at < 0) {
      this.#before = all.subarray(-READY.length)
      return
    }
    this.#before = undefined
    this.#isReady()
    await this.#pass(all.subarray(at + READY.length))
  }

  async ready(timeoutMs: number): Promise<void> {
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<void>((_, reject) => {
      timer = setTimeout(
        () => reject(new Error(`the relay did not start within ${timeoutMs / 1000} s`)),
        timeoutMs,
      )
    })
    const closed = new Promise<void>((_, reject) =>
      this.#socket.once('close', () => reject(new Error('nothing listens on that port of the sandbox'))),
    )
    closed.catch(() => {})
    await Promise.race([this.#ready, late, closed]).finally(() => clearTimeout(timer))
  }

  async #pass(data: Uint8Array): Promise<void> {
    if (data.length === 0 || this.#socket.destroyed) return
    if (this.#socket.write(data)) return
    await new Promise<void>((resolve) => this.#socket.once('drain', resolve).once('close', resolve))
  }
}
