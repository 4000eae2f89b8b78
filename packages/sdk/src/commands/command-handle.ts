import type { EventStream } from '../envd/event-stream.ts'
import { SandboxError } from '../errors.ts'
import type { ConnectResponse, ProcessEvent, StartResponse } from '../gen/process/process_pb.js'
import { CommandExitError, type CommandResult } from './command-result.ts'
import type { CommandRequestOpts } from './commands.ts'

type ProcessResponse = StartResponse | ConnectResponse

/** What the callbacks of a command or terminal get; a promise that they return is awaited before the next piece. */
export interface OutputCallbacks {
  onStdout?: (data: string) => unknown
  onStderr?: (data: string) => unknown
  onPty?: (data: Uint8Array) => unknown
  /** Gets standard output and error as bytes in place of the text, of which nothing is decoded or kept then. */
  onBytes?: (data: Uint8Array, from: 'stdout' | 'stderr') => unknown
}

/** What a handle asks of the module that made it. */
export interface ProcessControl {
  kill(): Promise<boolean>
  sendStdin?(data: string | Uint8Array, opts?: CommandRequestOpts): Promise<void>
  closeStdin?(opts?: CommandRequestOpts): Promise<void>
}

/**
 * A running command or terminal: wait for it, read what it wrote so far, write to it, kill it.
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
    // the failure is told to who waits; nobody may
    this.finished.catch(() => {})
  }

  /** Undefined while it runs. */
  get exitCode(): number | undefined {
    return this.result?.exitCode
  }

  /** What envd says about a failure; undefined while it runs and when it succeeded. */
  get error(): string | undefined {
    return this.result?.error
  }

  /** What it wrote to standard error so far. */
  get stderr(): string {
    return this._stderr
  }

  /** What it wrote to standard output so far. */
  get stdout(): string {
    return this._stdout
  }

  /**
   * Waits until it ends.
   *
   * @throws {@link CommandExitError} when the exit code is not 0
   * @throws {@link TimeoutError} when `timeoutMs` is over or the sandbox was killed
   */
  async wait(): Promise<CommandResult> {
    await this.finished
    if (!this.result) throw new SandboxError('Process exited without a result')
    if (this.result.exitCode !== 0) throw new CommandExitError(this.result)
    return this.result
  }

  /** Stops listening; the process runs on, and `commands.connect(pid)` listens again. No callback is called after it. */
  async disconnect(): Promise<void> {
    this.isDisconnected = true
    this.stream.close()
  }

  /** Sends SIGKILL. @returns false when there is no such process any more */
  async kill(): Promise<boolean> {
    return await this.control.kill()
  }

  /** Writes to standard input, which must have been asked for with `stdin: true`. */
  async sendStdin(data: string | Uint8Array, opts?: CommandRequestOpts): Promise<void> {
    if (!this.control.sendStdin)
      throw new SandboxError('a terminal has no stdin of its own: use pty.sendInput(pid, data)')
    await this.control.sendStdin(data, opts)
  }

  /** Ends standard input, which the process reads as end of file. */
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
      // also a callback may have thrown, with the stream still open
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
    // pieces end anywhere, also within a character
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
