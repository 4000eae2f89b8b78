import { type Client, Code, ConnectError, createClient } from '@connectrpc/connect'
import type { ConnectionConfig, ConnectionOpts } from '../connection-config.ts'
import type { Envd } from '../envd/envd.ts'
import { rpcErrorAfterProbe } from '../envd/rpc-error.ts'
import { Process, Signal } from '../gen/process/process_pb.js'

type RequestOpts = Pick<ConnectionOpts, 'requestTimeoutMs' | 'signal'>

/** Calls shared by commands and terminals, which both are processes of envd. */
export class ProcessClient {
  readonly rpc: Client<typeof Process>
  readonly envd: Envd
  readonly config: ConnectionConfig

  constructor(envd: Envd, config: ConnectionConfig) {
    this.envd = envd
    this.config = config
    this.rpc = createClient(Process, envd.transport)
  }

  /** Sends one unary call within the request timeout, and converts its errors to errors of the SDK. */
  async call<Answer>(
    opts: RequestOpts | undefined,
    send: (options: { signal?: AbortSignal }) => Promise<Answer>,
  ): Promise<Answer> {
    try {
      return await send({ signal: this.config.getSignal(opts?.requestTimeoutMs, opts?.signal) })
    } catch (error) {
      throw await rpcErrorAfterProbe(error, this.envd)
    }
  }

  sendInput(
    pid: number,
    input: { stdin: Uint8Array } | { pty: Uint8Array },
    opts?: RequestOpts,
  ): Promise<unknown> {
    const bytes =
      'stdin' in input
        ? ({ case: 'stdin', value: input.stdin } as const)
        : ({ case: 'pty', value: input.pty } as const)
    return this.call(opts, (options) =>
      this.rpc.sendInput({ process: byPid(pid), input: { input: bytes } }, options),
    )
  }

  /** Sends SIGKILL. @returns false when there is no such process */
  async kill(pid: number, opts?: RequestOpts): Promise<boolean> {
    return await this.call(opts, async (options) => {
      try {
        await this.rpc.sendSignal({ process: byPid(pid), signal: Signal.SIGKILL }, options)
        return true
      } catch (error) {
        if (error instanceof ConnectError && error.code === Code.NotFound) return false
        throw error
      }
    })
  }
}

export const byPid = (pid: number) => ({ selector: { case: 'pid' as const, value: pid } })
