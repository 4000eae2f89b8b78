import { setTimeout as sleep } from 'node:timers/promises'
import type { CommandHandle, Sandbox } from 'e2b'
import { isNotFound } from '../account/missing.ts'
import { InputQueue } from './input-queue.ts'
import { keepAlive } from './keep-alive.ts'
import type { LocalTerminal } from './local-terminal.ts'

const INPUT_TIMEOUT_MS = 10_000
const KILL_TIMEOUT_MS = 2000
const PROBE_TIMEOUT_MS = 5000
const RECONNECT_FIRST_WAIT_MS = 250
const RECONNECT_LONGEST_WAIT_MS = 3000
/** Gives up reconnecting after this time without network. */
const RECONNECT_GIVE_UP_MS = 10 * 60_000
const END_OF_INPUT = Buffer.from([4])

export interface SessionOptions {
  user?: string
  cwd?: string
  envs?: Record<string, string>
}

/** How a session ended. */
export type Ending =
  | { kind: 'exit'; exitCode: number }
  | { kind: 'signal'; signal: NodeJS.Signals }
  /** The sandbox was killed, paused or ran out of time. */
  | { kind: 'sandbox-ended' }
  | { kind: 'unreachable' }

const SIGNALS: NodeJS.Signals[] = ['SIGTERM', 'SIGHUP', 'SIGINT', 'SIGQUIT']

/** Opens a shell in `sandbox` on the user's terminal; resolves when the shell has ended, for any reason. */
export async function runSession(
  sandbox: Sandbox,
  terminal: LocalTerminal,
  options: SessionOptions,
): Promise<Ending> {
  const session = new Session(sandbox, terminal)
  try {
    return await session.run(options)
  } finally {
    session.close()
  }
}

class Session {
  readonly #sandbox: Sandbox
  readonly #terminal: LocalTerminal
  readonly #cleanups: (() => void)[] = []
  readonly #onData = (data: Uint8Array): Promise<void> => this.#terminal.write(data)
  #handle!: CommandHandle
  #loseLink: () => void = () => {}
  #end!: (ending: Ending) => void
  readonly #ended = new Promise<Ending>((resolve) => (this.#end = resolve))

  constructor(sandbox: Sandbox, terminal: LocalTerminal) {
    this.#sandbox = sandbox
    this.#terminal = terminal
  }

  async run(options: SessionOptions): Promise<Ending> {
    this.#handle = await this.#sandbox.pty.create({
      ...this.#terminal.size(),
      ...options,
      timeoutMs: 0,
      onData: this.#onData,
    })
    this.#terminal.take()
    this.#cleanups.push(() => this.#terminal.release())
    this.#watchSignals()
    this.#watchSize()
    this.#readInput()
    this.#stayAlive()
    void this.#follow()
    const ending = await this.#ended
    if (ending.kind === 'signal') await this.#killShell()
    return ending
  }

  close(): void {
    for (const cleanup of this.#cleanups.reverse()) cleanup()
    void this.#handle?.disconnect().catch(() => {})
  }

  /** Reads output until the shell ends; reconnects after a broken stream, or ends the session. */
  async #follow(): Promise<void> {
    for (;;) {
      const lost = new Promise<'lost'>((resolve) => (this.#loseLink = () => resolve('lost')))
      const exitCode = await Promise.race([exitCodeOf(this.#handle), lost])
      if (typeof exitCode === 'number') return this.#end({ kind: 'exit', exitCode })
      await this.#handle.disconnect().catch(() => {})
      const ending = await this.#reconnect()
      if (ending) return this.#end(ending)
    }
  }

  /** @returns how the session ended, when reconnecting is impossible */
  async #reconnect(): Promise<Ending | undefined> {
    const { pid } = this.#handle
    const giveUpAt = Date.now() + RECONNECT_GIVE_UP_MS
    let waitMs = RECONNECT_FIRST_WAIT_MS
    let isTold = false
    while (Date.now() < giveUpAt) {
      try {
        if (!(await this.#sandbox.isRunning({ requestTimeoutMs: PROBE_TIMEOUT_MS })))
          return { kind: 'sandbox-ended' }
        this.#handle = await this.#sandbox.pty.connect(pid, { timeoutMs: 0, onData: this.#onData })
        if (isTold) this.#say('Reconnected.')
        await this.#repaint()
        return undefined
      } catch (error) {
        if (isNotFound(error)) return { kind: 'exit', exitCode: 0 }
      }
      if (!isTold) this.#say('Connection lost, reconnecting…')
      isTold = true
      await sleep(waitMs)
      waitMs = Math.min(waitMs * 2, RECONNECT_LONGEST_WAIT_MS)
    }
    return { kind: 'unreachable' }
  }

  #say(text: string): void {
    process.stderr.write(`\r\n[e2b] ${text}\r\n`)
  }

  /** Changes the size, so that full-screen programs and shells redraw: output during the gap is lost. */
  async #repaint(): Promise<void> {
    const { cols, rows } = this.#terminal.size()
    await this.#resize({ cols, rows: Math.max(1, rows - 1) })
    await this.#resize({ cols, rows })
  }

  async #resize(size: { cols: number; rows: number }): Promise<void> {
    // The shell may have ended already, which its stream reports.
    await this.#sandbox.pty.resize(this.#handle.pid, size).catch(() => {})
  }

  #watchSize(): void {
    // While a resize request is pending, only the newest later size is kept.
    let isSending = false
    let isStale = false
    const send = async (): Promise<void> => {
      isStale = true
      if (isSending) return
      isSending = true
      while (isStale) {
        isStale = false
        await this.#resize(this.#terminal.size())
      }
      isSending = false
    }
    this.#cleanups.push(this.#terminal.onResize(() => void send()))
  }

  #readInput(): void {
    const { input } = this.#terminal
    const queue = new InputQueue(input, (data) => this.#sendInput(data))
    const onData = (data: Buffer): void => queue.push(data)
    // The end of a pipe counts as Ctrl-D; the end of a terminal means that it hung up.
    const onEnd = (): void =>
      this.#terminal.isInteractive
        ? this.#end({ kind: 'signal', signal: 'SIGHUP' })
        : queue.push(END_OF_INPUT)
    const onError = (): void => this.#end({ kind: 'signal', signal: 'SIGHUP' })
    input.on('data', onData).on('end', onEnd).on('error', onError)
    this.#cleanups.push(() => {
      input.off('data', onData).off('end', onEnd)
      queue.close()
    })
  }

  /** Sends keys without retries: after a lost answer they may have arrived, and sending them twice is worse than losing them. */
  async #sendInput(data: Uint8Array): Promise<void> {
    try {
      await this.#sandbox.pty.sendInput(this.#handle.pid, data, { requestTimeoutMs: INPUT_TIMEOUT_MS })
    } catch (error) {
      if (!isNotFound(error)) this.#loseLink()
    }
  }

  #stayAlive(): void {
    const alive = keepAlive(this.#sandbox)
    alive.onTrouble((trouble) => {
      if (trouble === 'ended') this.#end({ kind: 'sandbox-ended' })
      else void this.#checkLink()
    })
    this.#cleanups.push(() => alive.stop())
  }

  /** Detects a cut connection, which may look open for minutes. An unreachable API alone does not count as a cut. */
  async #checkLink(): Promise<void> {
    try {
      await this.#sandbox.isRunning({ requestTimeoutMs: PROBE_TIMEOUT_MS })
    } catch {
      this.#loseLink()
    }
  }

  #watchSignals(): void {
    for (const signal of SIGNALS) {
      const listener = (): void => {
        this.#terminal.release()
        this.#end({ kind: 'signal', signal })
      }
      process.once(signal, listener)
      this.#cleanups.push(() => void process.off(signal, listener))
    }
  }

  async #killShell(): Promise<void> {
    this.#terminal.release()
    await this.#sandbox.pty.kill(this.#handle.pid, { requestTimeoutMs: KILL_TIMEOUT_MS }).catch(() => {})
  }
}

/** @returns undefined when the stream broke before the end of the program */
async function exitCodeOf(handle: CommandHandle): Promise<number | undefined> {
  try {
    return (await handle.wait()).exitCode
  } catch (error) {
    const { exitCode } = error as { exitCode?: unknown }
    return typeof exitCode === 'number' ? exitCode : undefined
  }
}
