import type { CommandHandle, Sandbox } from '../sdk.ts'
import { CommandExitError, TimeoutError } from '../sdk.ts'
import { HeadAndTail, Transcript } from './capture.ts'

/** Output beyond which a command is killed. The server endpoint lets through no more than this and some framing. */
export const MAX_OUTPUT_BYTES = 8 * 1024 * 1024
/** Pieces of output beyond which a command is killed: each has its own frame, which counts towards what is let through. */
const MAX_PIECES = 150_000
/** Output that is stored in the sandbox when an answer shows only parts of it. */
const MAX_STORED_BYTES = 4 * 1024 * 1024
const STORE_TIMEOUT_MS = 30_000

export interface CommandRequest {
  command: string
  cwd?: string
  user?: string
  envs?: Record<string, string>
  timeoutMs: number
  /** Bytes of each stream that the answer shows. */
  shownBytes: number
}

export interface CommandOutcome {
  /** null: the command was killed by a limit. */
  exitCode: number | null
  ended: 'exit' | 'timeout' | 'too_much_output'
  stdout: string
  stderr: string
  stdoutBytes: number
  stderrBytes: number
  /** File in the sandbox with all output, or its first 4 MiB; set when `stdout` or `stderr` are not complete. */
  outputFile?: string
}

/** One command of a sandbox: its output is kept in bounded memory, and it never outlives its call. */
export class CommandRun {
  readonly #sandbox: Sandbox
  readonly #request: CommandRequest
  readonly #streams: Record<'stdout' | 'stderr', HeadAndTail>
  readonly #all = new Transcript(MAX_STORED_BYTES)
  readonly #onOutput: (text: string) => void
  #handle: CommandHandle | undefined
  #hasTooMuchOutput = false
  #startedAtMs = 0
  #pieces = 0

  /** @param onOutput called with the end of each piece of output */
  constructor(sandbox: Sandbox, request: CommandRequest, onOutput: (text: string) => void) {
    this.#sandbox = sandbox
    this.#request = request
    this.#onOutput = onOutput
    this.#streams = {
      stdout: new HeadAndTail(request.shownBytes),
      stderr: new HeadAndTail(request.shownBytes),
    }
  }

  /** Runs the command to its end. When the signal aborts, the command and its children are killed. */
  async run(signal: AbortSignal): Promise<CommandOutcome> {
    signal.throwIfAborted()
    this.#startedAtMs = performance.now()
    const { command, cwd, user, envs, timeoutMs } = this.#request
    const handle = await this.#sandbox.commands.run(command, {
      background: true,
      ...{ cwd, user, envs, timeoutMs },
      onBytes: (bytes, from) => this.#take(bytes, from),
    })
    this.#handle = handle
    const kill = () => void this.#kill()
    signal.addEventListener('abort', kill, { once: true })
    if (signal.aborted || this.#hasTooMuchOutput) await this.#kill()
    try {
      const end = await this.#wait(handle)
      signal.throwIfAborted()
      return await this.#outcome(end)
    } finally {
      signal.removeEventListener('abort', kill)
    }
  }

  #take(bytes: Uint8Array, from: 'stdout' | 'stderr'): void {
    if (this.#hasTooMuchOutput) return
    this.#streams[from].add(bytes)
    this.#all.add(bytes)
    this.#onOutput(new TextDecoder().decode(bytes.subarray(-400)))
    this.#pieces++
    if (this.#all.sizeBytes <= MAX_OUTPUT_BYTES && this.#pieces <= MAX_PIECES) return
    this.#hasTooMuchOutput = true
    void this.#kill()
  }

  /** Kills the process group and stops listening, as a guest could keep the stream open. */
  async #kill(): Promise<void> {
    await this.#handle?.kill().catch(() => false)
    await this.#handle?.disconnect()
  }

  async #wait(handle: CommandHandle): Promise<Pick<CommandOutcome, 'exitCode' | 'ended'>> {
    try {
      const { exitCode } = await handle.wait()
      return { exitCode, ended: 'exit' }
    } catch (error) {
      if (this.#hasTooMuchOutput) return { exitCode: null, ended: 'too_much_output' }
      if (error instanceof CommandExitError) return { exitCode: error.exitCode, ended: 'exit' }
      const isOver = performance.now() - this.#startedAtMs >= this.#request.timeoutMs - 1_000
      if (error instanceof TimeoutError && isOver) return { exitCode: null, ended: 'timeout' }
      throw error
    }
  }

  async #outcome(end: Pick<CommandOutcome, 'exitCode' | 'ended'>): Promise<CommandOutcome> {
    const { stdout, stderr } = this.#streams
    const isCut = stdout.isCut || stderr.isCut
    const outputFile = isCut ? await this.#store() : undefined
    const where = outputFile
      ? `${this.#all.isComplete ? 'all output' : 'the first 4 MiB of the output'} is in ${outputFile} in the sandbox: read_file reads it in parts`
      : 'to see it, run the command again with its output in a file'
    const marker = (bytes: number) => `[… ${bytes} bytes were left out; ${where} …]`
    return {
      ...end,
      stdout: stdout.text(marker),
      stderr: stderr.text(marker),
      stdoutBytes: stdout.sizeBytes,
      stderrBytes: stderr.sizeBytes,
      ...(outputFile && { outputFile }),
    }
  }

  /** @returns the path of the stored output; undefined when the sandbox could not store it */
  async #store(): Promise<string | undefined> {
    const path = `/tmp/output-${crypto.randomUUID().slice(0, 8)}.log`
    const { user } = this.#request
    const options = { user, requestTimeoutMs: STORE_TIMEOUT_MS }
    return await this.#sandbox.files.write(path, new Blob([this.#all.bytes()]), options).then(
      () => path,
      () => undefined,
    )
  }
}
