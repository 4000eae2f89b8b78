import { setImmediate as turn } from 'node:timers/promises'
import { Dealer, Subscriber } from 'zeromq'
import { type Connection, createConnection } from './connection.ts'
import type { Kernelspec } from './kernelspec.ts'
import { KERNEL_MARK } from './leftovers.ts'
import { type KernelProcess, launch, type StreamName } from './process.ts'
import { type KernelMessage, Wire } from './wire.ts'

const START_TIMEOUT_MS = 60_000
const NUDGE_INTERVAL_MS = 500

/** The kernel ended, by itself or by `kill`. */
export class KernelEnded extends Error {}

export interface RunOptions {
  code: string
  /** Whether the run is not counted as an execution and shows no results. */
  isSilent?: boolean
  onMessage?: (message: KernelMessage) => void
  /** Called with output outside of Jupyter during the run. */
  onText?: (stream: StreamName, text: string) => void
}

interface Run extends Omit<RunOptions, 'code' | 'isSilent'> {
  id: string
  reply?: Record<string, unknown>
  isIdle: boolean
  done: PromiseWithResolvers<Record<string, unknown>>
}

/** A running Jupyter kernel. One `run` at a time. */
export class Kernel {
  /** Resolves with a description of how the process ended. */
  readonly ended: Promise<string>
  readonly #spec: Kernelspec
  readonly #connection: Connection
  readonly #process: KernelProcess
  readonly #wire: Wire
  readonly #shell = new Dealer({ linger: 0 })
  readonly #control = new Dealer({ linger: 0 })
  // Without a limit, so that no messages are dropped; instead the kernel is stopped while the reader is too slow.
  readonly #iopub = new Subscriber({ linger: 0, receiveHighWaterMark: 0 })
  #run: Run | undefined
  #whyKilled: string | undefined
  #howItEnded: string | undefined

  /**
   * Starts a kernel and waits until it answers.
   * @throws KernelEnded with the kernel's last output when it does not answer within 60 s
   */
  static async start(
    language: string,
    spec: Kernelspec,
    cwd: string,
    env: Record<string, string | undefined>,
  ): Promise<Kernel> {
    const kernel = new Kernel(spec, await createConnection(language, spec.transport), cwd, {
      ...env,
      [KERNEL_MARK]: language,
    })
    await kernel.#answers()
    return kernel
  }

  private constructor(
    spec: Kernelspec,
    connection: Connection,
    cwd: string,
    env: Record<string, string | undefined>,
  ) {
    this.#spec = spec
    this.#connection = connection
    this.#wire = new Wire(connection.key)
    this.#process = launch({
      spec,
      connectionFile: connection.file,
      cwd,
      env,
      onText: (stream, text) => this.#hear(stream, text),
    })
    this.#shell.connect(connection.address('shell'))
    this.#control.connect(connection.address('control'))
    this.#iopub.connect(connection.address('iopub'))
    this.#iopub.subscribe()
    this.#read(this.#shell, (message) => this.#takeReply(message))
    this.#read(this.#iopub, (message) => this.#takeNews(message))
    this.ended = this.#process.ended.then((how) => this.#close(how))
  }

  /**
   * Runs code and waits until the kernel has answered and all its output has arrived.
   * @returns content of the kernel's answer
   * @throws KernelEnded
   */
  run(options: RunOptions): Promise<Record<string, unknown>> {
    return this.#request('execute_request', options, {
      code: options.code,
      silent: options.isSilent ?? false,
      store_history: !options.isSilent,
      user_expressions: {},
      allow_stdin: false,
      stop_on_error: true,
    })
  }

  /** Interrupts the running code, which may ignore the interrupt. */
  async interrupt(): Promise<void> {
    this.thaw()
    if (this.#spec.interruptMode === 'message') {
      await this.#control.send(this.#wire.request('interrupt_request', {}).frames)
    } else {
      this.#process.signal('SIGINT')
    }
  }

  /** Stops the process, so that it writes nothing until `thaw`. */
  freeze(): void {
    this.#process.signal('SIGSTOP')
  }

  thaw(): void {
    this.#process.signal('SIGCONT')
  }

  /** @param reason reported as the reason of the end */
  async kill(reason: string): Promise<void> {
    this.#whyKilled ??= reason
    this.#process.signal('SIGKILL')
    await this.ended
  }

  async #request(
    type: string,
    options: Omit<RunOptions, 'code' | 'isSilent'>,
    content: Record<string, unknown>,
  ): Promise<Record<string, unknown>> {
    if (this.#howItEnded !== undefined) throw new KernelEnded(this.#howItEnded)
    const { id, frames } = this.#wire.request(type, content)
    const run: Run = { ...options, id, isIdle: false, done: Promise.withResolvers() }
    this.#run = run
    try {
      // A socket that closes during a send belongs to a kernel that has ended, which `done` reports.
      await this.#shell.send(frames).catch(() => {})
      const reply = await run.done.promise
      // Output that was written to a pipe before the last message may be read after that message.
      await turn()
      await turn()
      return reply
    } finally {
      if (this.#run === run) this.#run = undefined
    }
  }

  /** Waits until both sockets receive, because a late subscription misses earlier messages. */
  async #answers(): Promise<void> {
    let words = ''
    const onText = (_: StreamName, text: string) => {
      words = (words + text).slice(-2000)
    }
    const deadline = Date.now() + START_TIMEOUT_MS
    while (Date.now() < deadline) {
      const answer = this.#request('kernel_info_request', { onText }, {})
      const { promise, resolve } = Promise.withResolvers<false>()
      const timer = setTimeout(resolve, NUDGE_INTERVAL_MS, false)
      try {
        if (await Promise.race([answer, promise])) return
      } catch (error) {
        throw new KernelEnded(`${(error as Error).message} ${words}`.trim())
      } finally {
        clearTimeout(timer)
        answer.catch(() => {})
      }
    }
    await this.kill(`did not answer within ${START_TIMEOUT_MS / 1000} s`)
    throw new KernelEnded(`${await this.ended} ${words}`.trim())
  }

  async #read(socket: Dealer | Subscriber, take: (message: KernelMessage) => void): Promise<void> {
    try {
      for await (const frames of socket) {
        const message = this.#wire.read(frames)
        if (message) take(message)
      }
    } catch (error) {
      if (!socket.closed) throw error
    }
  }

  #takeReply(message: KernelMessage): void {
    const run = this.#run
    if (!run || message.parentId !== run.id) return
    run.reply = message.content
    if (run.isIdle) run.done.resolve(run.reply)
  }

  #takeNews(message: KernelMessage): void {
    const run = this.#run
    if (!run || message.parentId !== run.id) return
    const isEnd = message.header.msg_type === 'status' && message.content.execution_state === 'idle'
    if (!isEnd) {
      run.onMessage?.(message)
      return
    }
    run.isIdle = true
    if (run.reply) run.done.resolve(run.reply)
  }

  #hear(stream: StreamName, text: string): void {
    this.#run?.onText?.(stream, text)
  }

  async #close(exit: string): Promise<string> {
    const how = this.#whyKilled ?? exit
    this.#howItEnded = how
    this.#run?.done.reject(new KernelEnded(how))
    // Also ends processes that the kernel started, which are in the kernel's group.
    this.#process.signal('SIGKILL')
    for (const socket of [this.#shell, this.#control, this.#iopub]) socket.close()
    await this.#connection.remove()
    return how
  }
}
