import type { Readable } from 'node:stream'
import { ENVD_PORT, SandlotError } from '@sandlot/protocol'
import { EnvdClient, type ProcessEvent } from './envd-client.ts'
import type { LoginCommand } from './login-command.ts'

const CONNECT_TIMEOUT_MS = 5_000
const HEADER_TIMEOUT_MS = 60_000
const UPLOAD_TIMEOUT_MS = 30 * 60_000

export interface GuestCommand extends LoginCommand {
  onOutput?: (text: string, from: 'stdout' | 'stderr') => void
  /** Stops waiting; the process itself ends with its machine. */
  signal: AbortSignal
}

/** envd refused to start a process: code and message of Connect, e.g. `unauthenticated: invalid username: 'x'`. */
export class GuestRefusal extends Error {
  constructor(code: string, message: string) {
    super(`${code}: ${message}`)
    this.name = 'GuestRefusal'
  }
}

/**
 * Runs a command in a machine and passes on the output as it arrives. A command may be silent for any time.
 * @returns its exit code; 128 + n when signal n ended it
 * @throws GuestRefusal, SandlotError sandbox_unreachable when the machine is gone, and the signal's reason
 */
export async function runInGuest(address: string, options: GuestCommand, port = ENVD_PORT): Promise<number> {
  const { onOutput = () => {}, signal, ...command } = options
  const decoders = { stdout: new TextDecoder(), stderr: new TextDecoder() }
  const ended = Promise.withResolvers<number>()
  const onEvent = (event: ProcessEvent) => {
    if (event.type === 'output')
      onOutput(decoders[event.from].decode(event.bytes, { stream: true }), event.from)
    else if (event.type === 'end') ended.resolve(exitCodeOf(event))
    else ended.reject(new GuestRefusal(event.code, event.message))
  }
  return withEnvd(address, port, signal, 'the machine does not answer', (envd) => {
    // resolves at the end of the process, without awaiting the rest of the answer
    envd
      .startProcess(command, { signal }, onEvent)
      .then(() => ended.reject(unreachable('the machine ended while a command ran in it')), ended.reject)
    return ended.promise
  })
}

/** Writes a file into a machine as root. @throws SandlotError sandbox_unreachable, and the signal's reason */
export function uploadToGuest(
  address: string,
  path: string,
  content: Readable,
  signal: AbortSignal,
  port = ENVD_PORT,
): Promise<void> {
  return withEnvd(address, port, signal, 'the upload was interrupted', async (envd) => {
    const request = {
      method: 'POST' as const,
      path: `/files?${new URLSearchParams({ path, username: 'root' })}`,
      headers: { 'content-type': 'application/octet-stream' },
      body: content,
    }
    const { status, words } = await envd.ask(request, { timeoutMs: UPLOAD_TIMEOUT_MS, signal })
    if (status !== 200) throw unreachable(`envd answered ${status} to an upload: ${words}`)
  })
}

/** Opens a connection for `work` and maps its failures to `sandbox_unreachable`. */
async function withEnvd<T>(
  address: string,
  port: number,
  signal: AbortSignal,
  failure: string,
  work: (envd: EnvdClient) => Promise<T>,
): Promise<T> {
  const timeouts = { connectTimeoutMs: CONNECT_TIMEOUT_MS, headTimeoutMs: HEADER_TIMEOUT_MS }
  const envd = new EnvdClient(address, port, timeouts)
  try {
    return await work(envd)
  } catch (error) {
    signal.throwIfAborted()
    if (error instanceof GuestRefusal || error instanceof SandlotError) throw error
    throw unreachable(`${failure}: ${(error as Error).message}`, error)
  } finally {
    envd.close()
  }
}

const unreachable = (message: string, cause?: unknown): SandlotError =>
  new SandlotError('sandbox_unreachable', message, { cause })

const SIGNALS: Record<string, number> = { hangup: 1, interrupt: 2, aborted: 6, killed: 9, terminated: 15 }

function exitCodeOf({ exitCode, exited, status }: ProcessEvent & { type: 'end' }): number {
  const name = /^signal: (.+)/.exec(status)?.[1]
  if (exited || name === undefined) return exitCode
  return 128 + (SIGNALS[name] ?? 0)
}
