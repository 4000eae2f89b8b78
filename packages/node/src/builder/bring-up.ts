import { setTimeout as delay } from 'node:timers/promises'
import { SandlotError } from '@sandlot/protocol'
import { GuestRefusal, runInGuest } from '../guest-process.ts'
import type { LiveMachine } from '../machines.ts'
import type { BuildLog } from './builder.ts'
import { LineBuffer } from './line-buffer.ts'
import { type BuildEnvironment, commandIn } from './recipe.ts'

const READY_INTERVAL_MS = 2_000
const READY_TIMEOUT_MS = 10 * 60_000
const DEFAULT_READY = 'sleep 20'
const LAST_LINES = 20

export interface BringUp {
  startCommand?: string
  /** Retried every 2 s for 10 minutes until it succeeds. Default: `sleep 20` when there is a start command. */
  readyCommand?: string
  log: BuildLog
  /** Ends the waiting. */
  signal: AbortSignal
}

/**
 * Runs a template's start command and waits until its ready command succeeds.
 * @param running ends the watch over the start command, which itself goes on
 * @throws Error with the command and how it ended, SandlotError, and the signal's reason
 */
export async function bringUp(
  { startCommand, readyCommand = startCommand ? DEFAULT_READY : undefined, log, signal }: BringUp,
  machine: LiveMachine,
  environment: BuildEnvironment,
  running: AbortSignal,
): Promise<void> {
  const { address } = machine.slot
  const say = (message: string) => log({ level: 'info', message: `[finalize] ${message}`, step: 'finalize' })
  let startFailure: Error | undefined
  if (startCommand) {
    say(`Starting: ${startCommand}`)
    const lines = new LineBuffer((message, from) =>
      log({ level: from === 'stderr' ? 'warn' : 'info', message: `[start] ${message}`, step: 'finalize' }),
    )
    const onOutput = (text: string, from: 'stdout' | 'stderr') => lines.add(text, from)
    runInGuest(address, { ...commandIn(environment, startCommand), signal: running, onOutput })
      .then((exitCode) => {
        if (exitCode === 0) return
        const last = lines.last(LAST_LINES)
        startFailure = new Error(
          `start command '${startCommand}' ended with exit status ${exitCode}${last ? `\n${last}` : ''}`,
        )
      })
      .catch((error: Error) => {
        if (!running.aborted) startFailure = new Error(`start command '${startCommand}': ${error.message}`)
      })
  }
  if (!readyCommand) return
  say(`Waiting for: ${readyCommand}`)
  const deadline = performance.now() + READY_TIMEOUT_MS
  const leftMs = () => Math.max(1, Math.ceil(deadline - performance.now()))
  for (;;) {
    const exitCode = await runInGuest(address, {
      ...commandIn(environment, readyCommand),
      signal: AbortSignal.any([signal, AbortSignal.timeout(leftMs())]),
    }).catch((error) => {
      signal.throwIfAborted()
      if (error instanceof SandlotError || error instanceof GuestRefusal) throw error
      return 124
    })
    if (startFailure) throw startFailure
    if (exitCode === 0) return
    if (leftMs() <= READY_INTERVAL_MS)
      throw new Error(
        `ready command '${readyCommand}' did not succeed within ${READY_TIMEOUT_MS / 60_000} minutes; it last ended with exit status ${exitCode}`,
      )
    await delay(READY_INTERVAL_MS, undefined, { signal })
  }
}
