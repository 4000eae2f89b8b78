import type { Readable } from 'node:stream'
import { ENVD_PORT, SandlotError } from '@sandlot/protocol'
import { EnvdClient, type ProcessEvent } from './envd-client.ts'
import type { LoginCommand } from './login-command.ts'

const CONNECT_TIMEOUT_MS = 5_000
const HEADER_TIMEOUT_MS = 60_000
const UPLOAD_TIMEOUT_MS = 30 * 60_000

export interface GuestCommand extends LoginCommand {
  onOutput?: (text: string, from: 'stdout' | 'stderr') => void
  /** Ends the waiting; the process itself goes with its machine. */
  signal: AbortSignal
}

/** envd refused to start a process: a code and words of Connect, e.g. `unauthenticated: invalid username: 'x'`. */
export class GuestRefusal extends Error {
  constructor(code: string, message: string) {
    super(`${code}: ${message}`)
    this.name = 'GuestRefusal'
  }
}

/**
 * Runs a command in a machine and passes its output on as it comes. It may be silent for as long as it likes.
 * @returns its exit code; 128 + n when signal n ended it
 * @throws GuestRefusal, SandlotError sandbox_unreachable when the machine is gone, and the signal's reason
 */
export async function runInGuest(address: string, options: GuestCommand, port = ENVD_PORT): Promise<number> {
  const { onOutput = () => {}, signal, ...command } = options
  const envd = openClient(address, port)
  const decoders = { stdout: new TextDecoder(), stderr: new TextDecoder() }
  const ended = Promise.withResolvers<number>()
  const take = (event: ProcessEvent) => {
    if (event.type === 'output')
      onOutput(decoders[event.from].decode(event.bytes, { stream: true }), event.from)
    else if (event.type === 'end') ended.resolve(exitCodeOf(event))
    else ended.reject(new GuestRefusal(event.code, event.message))
  }
  try {
    // whoever answers after the process has ended is not waited for
    envd
      .startProcess(command, { signal }, take)
      .then(
        () =>
          ended.reject(
            new SandlotError('sandbox_unreachable', 'the machine ended while a command ran in it'),
          ),
        ended.reject,
      )
    return await ended.promise
  } catch (error) {
    signal.throwIfAborted()
    if (error instanceof GuestRefusal || error instanceof SandlotError) throw error
    throw new SandlotError(
      'sandbox_unreachable',
      `the machine does not answer: ${(error as Error).message}`,
      {
        cause: error,
      },
    )
  } finally {
    envd.close()
  }
}

/** Writes a file into a machine as root. @throws SandlotError sandbox_unreachable, and the signal's reason */
export async function uploadToGuest(
  address: string,
  path: string,
  content: Readable,
  signal: AbortSignal,
  port = ENVD_PORT,
): Promise<void> {
  const envd = openClient(address, port)
  try {
    const { status, words } = await envd.ask(
      {
        method: 'POST',
        path: `/files?${new URLSearchParams({ path, username: 'root' })}`,
        headers: { 'content-type': 'application/octet-stream' },
        body: content,
      },
      { timeoutMs: UPLOAD_TIMEOUT_MS, signal },
    )
    if (status !== 200)
      throw new SandlotError('sandbox_unreachable', `envd answered ${status} to an upload: ${words}`)
  } catch (error) {
    signal.throwIfAborted()
    if (error instanceof SandlotError) throw error
    throw new SandlotError('sandbox_unreachable', `the upload broke off: ${(error as Error).message}`, {
      cause: error,
    })
  } finally {
    envd.close()
  }
}

const openClient = (address: string, port: number): EnvdClient =>
  new EnvdClient(address, port, { connectTimeoutMs: CONNECT_TIMEOUT_MS, headTimeoutMs: HEADER_TIMEOUT_MS })

const SIGNALS: Record<string, number> = { hangup: 1, interrupt: 2, aborted: 6, killed: 9, terminated: 15 }

function exitCodeOf({ exitCode, exited, status }: ProcessEvent & { type: 'end' }): number {
  const name = /^signal: (.+)/.exec(status)?.[1]
  if (exited || name === undefined) return exitCode
  return 128 + (SIGNALS[name] ?? 0)
}
