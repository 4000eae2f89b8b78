import type { EventStream } from '../envd/event-stream.ts'
import { SandboxError } from '../errors.ts'
import type { ConnectResponse, ProcessEvent, StartResponse } from '../gen/process/process_pb.js'
import { CommandExitError, type CommandResult } from './command-result.ts'
import type { CommandRequestOpts } from './request-options.ts'

type ProcessResponse = StartResponse | ConnectResponse

/**
 * Callbacks for the output of a command or terminal. A promise that a callback returns is awaited before the next
 * piece.
 */
export interface OutputCallbacks {
  onStdout?: (data: string) => unknown
  onStderr?: (data: string) => unknown
  onPty?: (data: Uint8Array) => unknown
  /** Called with standard output and error as bytes. When set, no text is decoded or kept. */
  onBytes?: (data: Uint8Array, from: 'stdout' | 'stderr') => unknown
}

/** Operations on the process that a handle delegates to the module that created the handle. */
export interface ProcessControl {
  kill(): Promise<boolean>
  sendStdin?(data: string | Uint8Array, opts?: CommandRequestOpts): Promise<void>
  streamStdin?(pieces: AsyncIterable<Uint8Array>, signal?: AbortSignal): Promise<void>
  closeStdin?(opts?: CommandRequestOpts): Promise<void>
}

/**
 * A running command or terminal. Callers can wait for its end, read its output, write to its input, and kill it.
 *
 * @example
 * ```ts
 * const handle = await sandbox.commands.run('sleep 5; echo done', { background: true })
 * const { stdout } = await handle.wait()
 * ```
 */
export class CommandHandle
  implements Omit<CommandResult, 'exitCode' | 'error'>, Partial<Pick<CommandResult, 'exitCode' | 'error'>>
{
  /** Process id inside the sandbox. */
  readonly pid: number
  private readonly stream: EventStream<ProcessResponse>
  private readonly control: ProcessControl
  private readonly callbacks: OutputCallbacks
  private readonly stdoutDecoder = new TextDecoder()
  private readonly stderrDecoder = new TextDecoder()
  private readonly finished: Promise<void>
  private _stdout = ''
  private _stderr = ''
  private result?: CommandResult
  private isDisconnected = false

  /** @internal */
  constructor(
    stream: EventStream<ProcessResponse>,
    control: ProcessControl,
    callbacks: OutputCallbacks = {},
  ) {
    const start = stream.first.event?.event
    if (start?.case !== 'start') {
      stream.close()
      throw new Error('Expected start event')
    }
    this.pid = start.value.pid
    this.stream = stream
    this.control = control
    this.callbacks = callbacks
    this.finished = this.readEvents()
    // `wait` rejects with the failure; without a call of `wait`, the rejection must not count as unhandled
    this.finished.catch(() => {})
  }

  /** Exit code; undefined while the command runs. */
  get exitCode(): number | undefined {
    return this.result?.exitCode
  }

  /** Reason of a failure as reported by envd; undefined while the command runs and when it succeeded. */
  get error(): string | undefined {
    return this.result?.error
  }

  /** Standard error so far. */
  get stderr(): string {
    return this._stderr
  }

  /** Standard output so far. */
  get stdout(): string {
    return this._stdout
  }

  /**
   * Waits until the command or terminal ends.
   *
   * @throws {@link CommandExitError} when the exit code is not 0
   * @throws {@link TimeoutError} when `timeoutMs` has passed or the sandbox was killed
   */
  async wait(): Promise<CommandResult> {
    await this.finished
    if (!this.result) throw new SandboxError('Process exited without a result')
    if (this.result.exitCode !== 0) throw new CommandExitError(this.result)
    return this.result
  }

  /**
   * Stops listening: no callback is called from now on. The process keeps running; `commands.connect(pid)` listens
   * again.
   */
  async disconnect(): Promise<void> {
    this.isDisconnected = true
    this.stream.close()
  }

  /** Sends SIGKILL. @returns false when the process no longer exists */
  async kill(): Promise<boolean> {
    return await this.control.kill()
  }

  /** Writes to standard input. The command must have been started with `stdin: true`. */
  async sendStdin(data: string | Uint8Array, opts?: CommandRequestOpts): Promise<void> {
    if (!this.control.sendStdin)
      throw new SandboxError('a terminal has no stdin of its own: use pty.sendInput(pid, data)')
    await this.control.sendStdin(data, opts)
  }

  /**
   * Writes to standard input with one request that lasts until `pieces` ends: about seven times as fast as calls of
   * `sendStdin`. For the CLI; see `streamInput` for what it needs.
   *
   * @internal
   */
  async streamStdin(pieces: AsyncIterable<Uint8Array>, signal?: AbortSignal): Promise<void> {
    if (!this.control.streamStdin) throw new SandboxError('a terminal has no stdin of its own')
    await this.control.streamStdin(pieces, signal)
  }

  /** Closes standard input, so that the process reads end of file. */
  async closeStdin(opts?: CommandRequestOpts): Promise<void> {
    if (!this.control.closeStdin)
      throw new SandboxError('a terminal has no stdin of its own: send Ctrl-D with pty.sendInput(pid, data)')
    await this.control.closeStdin(opts)
  }

  private async readEvents(): Promise<void> {
    try {
      for await (const { event } of this.stream.rest) {
        if (this.isDisconnected) return
        if (event) await this.take(event)
      }
    } catch (error) {
      if (this.isDisconnected) return
      // a callback may have thrown while the stream was still open
      this.stream.close()
      throw error
    }
  }

  private async take({ event }: ProcessEvent): Promise<void> {
    if (event.case === 'end') {
      await this.out(this.stdoutDecoder.decode())
      await this.err(this.stderrDecoder.decode())
      const { exitCode, error } = event.value
      this.result = { exitCode, error, stdout: this._stdout, stderr: this._stderr }
    }
    if (event.case !== 'data') return
    const { output } = event.value
    const { onBytes } = this.callbacks
    if (onBytes && (output.case === 'stdout' || output.case === 'stderr'))
      return void (await onBytes(output.value, output.case))
    // a piece can end in the middle of a character
    if (output.case === 'stdout') await this.out(this.stdoutDecoder.decode(output.value, { stream: true }))
    if (output.case === 'stderr') await this.err(this.stderrDecoder.decode(output.value, { stream: true }))
    if (output.case === 'pty') await this.callbacks.onPty?.(output.value)
  }

  private async out(text: string): Promise<void> {
    if (!text) return
    this._stdout += text
    await this.callbacks.onStdout?.(text)
  }

  private async err(text: string): Promise<void> {
    if (!text) return
    this._stderr += text
    await this.callbacks.onStderr?.(text)
  }
}
