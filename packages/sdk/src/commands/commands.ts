import type { ConnectionConfig, Username } from '../connection-config.ts'
import type { Envd } from '../envd/envd.ts'
import { openStream, streamHeaders } from '../envd/event-stream.ts'
import { SandboxError } from '../errors.ts'
import { CommandHandle } from './command-handle.ts'
import type { CommandResult } from './command-result.ts'
import { streamInput } from './input-stream.ts'
import { byPid, ProcessClient } from './process-client.ts'
import type { CommandRequestOpts } from './request-options.ts'

const DEFAULT_TIMEOUT_MS = 60_000

/** Options for starting a command. */
export interface CommandStartOpts extends CommandRequestOpts {
  /** Return a {@link CommandHandle} as soon as the command runs. @default false */
  background?: boolean
  /** Working directory. @default the template's working directory, else the user's home directory */
  cwd?: string
  /** User that runs the command. @default the default user of the template */
  user?: Username
  /** Environment variables, which override those of the sandbox. @default {} */
  envs?: Record<string, string>
  /** Called with each piece of standard output as it arrives. */
  onStdout?: (data: string) => unknown
  /** Called with each piece of standard error as it arrives. */
  onStderr?: (data: string) => unknown
  /**
   * Called with standard output and error as bytes, instead of the callbacks above; `stdout` and `stderr` of the
   * handle stay empty. For the CLI, whose output may be binary and larger than memory.
   *
   * @internal
   */
  onBytes?: (data: Uint8Array, from: 'stdout' | 'stderr') => unknown
  /** Keep standard input open, for `sendStdin`. @default false */
  stdin?: boolean
  /** Time in **milliseconds** after which the command is killed; 0 means no limit. @default 60_000 */
  timeoutMs?: number
}

/** Options for listening to a command that is already running. */
export type CommandConnectOpts = Pick<CommandStartOpts, 'onStderr' | 'onStdout' | 'timeoutMs'> &
  CommandRequestOpts

/** A process of the sandbox that was started through the SDK or by the template. */
export interface ProcessInfo {
  pid: number
  /** Name of a special process, for example of the template's start command. */
  tag?: string
  cmd: string
  args: string[]
  envs: Record<string, string>
  cwd?: string
}

/** Runs commands in the sandbox, each through `/bin/bash -l -c`. */
export class Commands {
  private readonly processes: ProcessClient

  /** @internal */
  constructor(envd: Envd, config: ConnectionConfig) {
    this.processes = new ProcessClient(envd, config)
  }

  /** @internal */
  get supportsStdinClose(): boolean {
    return this.processes.envd.supports('closeStdin')
  }

  /** Lists the running commands and terminals. */
  async list(opts?: CommandRequestOpts): Promise<ProcessInfo[]> {
    const { processes } = await this.processes.call(opts, (options) => this.processes.rpc.list({}, options))
    return processes.map(({ pid, tag, config }) => ({
      pid,
      ...(tag !== undefined && { tag }),
      args: config?.args ?? [],
      envs: config?.envs ?? {},
      cmd: config?.cmd ?? '',
      ...(config?.cwd !== undefined && { cwd: config.cwd }),
    }))
  }

  /**
   * Writes to the standard input of a command that was started with `stdin: true`.
   *
   * @throws {@link NotFoundError} when there is no such process
   */
  async sendStdin(pid: number, data: string | Uint8Array, opts?: CommandRequestOpts): Promise<void> {
    const stdin = typeof data === 'string' ? new TextEncoder().encode(data) : data
    await this.processes.sendInput(pid, { stdin }, opts)
  }

  /** Closes the standard input of a command, so that the command reads end of file. Needs envd 0.5.2. */
  async closeStdin(pid: number, opts?: CommandRequestOpts): Promise<void> {
    if (!this.supportsStdinClose)
      throw new SandboxError(
        `Sandbox envd version ${this.processes.envd.version} doesn't support closeStdin. Please rebuild your template to pick up the latest sandbox version.`,
      )
    await this.processes.call(opts, (options) =>
      this.processes.rpc.closeStdin({ process: byPid(pid) }, options),
    )
  }

  /** Sends SIGKILL. @returns false when there is no such process */
  async kill(pid: number, opts?: CommandRequestOpts): Promise<boolean> {
    return await this.processes.kill(pid, opts)
  }

  /**
   * Listens to a running command. Only output from now on arrives.
   *
   * @throws {@link NotFoundError} when there is no such process
   */
  async connect(pid: number, opts: CommandConnectOpts = {}): Promise<CommandHandle> {
    const { envd, config, rpc } = this.processes
    const stream = await openStream(
      envd,
      (signal) =>
        rpc.connect(
          { process: byPid(pid) },
          { signal, headers: streamHeaders, timeoutMs: opts.timeoutMs ?? DEFAULT_TIMEOUT_MS },
        ),
      { requestTimeoutMs: opts.requestTimeoutMs ?? config.requestTimeoutMs, signal: opts.signal },
    )
    return this.handle(stream, opts)
  }

  /**
   * Runs a command and waits for its end.
   *
   * @throws {@link CommandExitError} when its exit code is not 0
   * @throws {@link TimeoutError} when `timeoutMs` has passed
   * @example
   * ```ts
   * const { stdout } = await sandbox.commands.run('echo hello')
   * ```
   */
  async run(cmd: string, opts?: CommandStartOpts & { background?: false }): Promise<CommandResult>
  /**
   * Starts a command and returns while the command runs.
   *
   * @example
   * ```ts
   * const server = await sandbox.commands.run('python3 -m http.server', { background: true })
   * await server.kill()
   * ```
   */
  async run(cmd: string, opts: CommandStartOpts & { background: true }): Promise<CommandHandle>
  /** Starts a command, and waits for its end unless `background` is true. */
  async run(
    cmd: string,
    opts?: CommandStartOpts & { background?: boolean },
  ): Promise<CommandHandle | CommandResult>
  async run(cmd: string, opts: CommandStartOpts = {}): Promise<CommandHandle | CommandResult> {
    const handle = await this.start(cmd, opts)
    return opts.background ? handle : await handle.wait()
  }

  private async start(cmd: string, opts: CommandStartOpts): Promise<CommandHandle> {
    const { envd, config, rpc } = this.processes
    const stream = await openStream(
      envd,
      (signal) =>
        rpc.start(
          {
            process: { cmd: '/bin/bash', args: ['-l', '-c', cmd], envs: opts.envs, cwd: opts.cwd },
            stdin: opts.stdin ?? false,
          },
          {
            signal,
            headers: { ...envd.userHeader(opts.user), ...streamHeaders },
            timeoutMs: opts.timeoutMs ?? DEFAULT_TIMEOUT_MS,
          },
        ),
      { requestTimeoutMs: opts.requestTimeoutMs ?? config.requestTimeoutMs, signal: opts.signal },
    )
    return this.handle(stream, opts)
  }

  private handle(
    stream: ConstructorParameters<typeof CommandHandle>[0],
    { onStdout, onStderr, onBytes }: CommandConnectOpts & Pick<CommandStartOpts, 'onBytes'>,
  ): CommandHandle {
    const handle: CommandHandle = new CommandHandle(
      stream,
      {
        kill: () => this.kill(handle.pid),
        sendStdin: (data, opts) => this.sendStdin(handle.pid, data, opts),
        streamStdin: (pieces, signal) => streamInput(this.processes.envd, handle.pid, pieces, signal),
        closeStdin: (opts) => this.closeStdin(handle.pid, opts),
      },
      { onStdout, onStderr, onBytes },
    )
    return handle
  }
}
