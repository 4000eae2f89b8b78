import type { ConnectionConfig, ConnectionOpts, Username } from '../connection-config.ts'
import type { Envd } from '../envd/envd.ts'
import { openStream, streamHeaders } from '../envd/event-stream.ts'
import { CommandHandle } from './command-handle.ts'
import { byPid, ProcessClient } from './process-client.ts'

const DEFAULT_TIMEOUT_MS = 60_000
/** Environment that current programs expect in a terminal; the caller's `envs` override it. */
const TERMINAL_ENVS = { TERM: 'xterm-256color', LANG: 'C.UTF-8', LC_ALL: 'C.UTF-8' }

type RequestOpts = Pick<ConnectionOpts, 'requestTimeoutMs' | 'signal'>

export interface PtyCreateOpts extends RequestOpts {
  /** Columns of the terminal. */
  cols: number
  /** Rows of the terminal. */
  rows: number
  /** Called with each piece of the terminal's output, escape sequences included. */
  onData: (data: Uint8Array) => unknown
  /** Time in **milliseconds** after which the terminal is closed; 0 means no limit. @default 60_000 */
  timeoutMs?: number
  /** User that runs the shell. @default the default user of the template */
  user?: Username
  /** Environment variables, which override `TERM=xterm-256color` and a UTF-8 locale. @default {} */
  envs?: Record<string, string>
  /** Working directory. @default the template's working directory, else the user's home directory */
  cwd?: string
}

/** Options for listening to an open terminal. */
export type PtyConnectOpts = Pick<PtyCreateOpts, 'onData' | 'timeoutMs'> & RequestOpts

/** Terminals in the sandbox, each an interactive `/bin/bash -i -l`. */
export class Pty {
  private readonly processes: ProcessClient

  /** @internal */
  constructor(envd: Envd, config: ConnectionConfig) {
    this.processes = new ProcessClient(envd, config)
  }

  /**
   * Opens a terminal.
   *
   * @example
   * ```ts
   * const terminal = await sandbox.pty.create({
   *   cols: 80,
   *   rows: 24,
   *   onData: (data) => process.stdout.write(data),
   * })
   * await sandbox.pty.sendInput(terminal.pid, new TextEncoder().encode('exit\n'))
   * await terminal.wait()
   * ```
   */
  async create(opts: PtyCreateOpts): Promise<CommandHandle> {
    const { envd, config, rpc } = this.processes
    const stream = await openStream(
      envd,
      (signal) =>
        rpc.start(
          {
            process: {
              cmd: '/bin/bash',
              args: ['-i', '-l'],
              envs: { ...TERMINAL_ENVS, ...opts.envs },
              cwd: opts.cwd,
            },
            pty: { size: { cols: opts.cols, rows: opts.rows } },
          },
          {
            signal,
            headers: { ...envd.userHeader(opts.user), ...streamHeaders },
            timeoutMs: opts.timeoutMs ?? DEFAULT_TIMEOUT_MS,
          },
        ),
      { requestTimeoutMs: opts.requestTimeoutMs ?? config.requestTimeoutMs, signal: opts.signal },
    )
    return this.handle(stream, opts.onData)
  }

  /** Listens to an open terminal. @throws {@link NotFoundError} when there is no such process */
  async connect(pid: number, opts?: PtyConnectOpts): Promise<CommandHandle> {
    const { envd, config, rpc } = this.processes
    const stream = await openStream(
      envd,
      (signal) =>
        rpc.connect(
          { process: byPid(pid) },
          { signal, headers: streamHeaders, timeoutMs: opts?.timeoutMs ?? DEFAULT_TIMEOUT_MS },
        ),
      { requestTimeoutMs: opts?.requestTimeoutMs ?? config.requestTimeoutMs, signal: opts?.signal },
    )
    return this.handle(stream, opts?.onData)
  }

  /** Sends input to the terminal. @throws {@link NotFoundError} when there is no such process */
  async sendInput(pid: number, data: Uint8Array, opts?: RequestOpts): Promise<void> {
    await this.processes.sendInput(pid, { pty: data }, opts)
  }

  /** Changes the size of the terminal, and notifies the programs in it. */
  async resize(pid: number, size: { cols: number; rows: number }, opts?: RequestOpts): Promise<void> {
    await this.processes.call(opts, (options) =>
      this.processes.rpc.update({ process: byPid(pid), pty: { size } }, options),
    )
  }

  /** Sends SIGKILL. @returns false when there is no such process */
  async kill(pid: number, opts?: RequestOpts): Promise<boolean> {
    return await this.processes.kill(pid, opts)
  }

  private handle(
    stream: ConstructorParameters<typeof CommandHandle>[0],
    onPty?: PtyCreateOpts['onData'],
  ): CommandHandle {
    const handle: CommandHandle = new CommandHandle(
      stream,
      {
        kill: () => this.kill(handle.pid),
      },
      { onPty },
    )
    return handle
  }
}
