import { setTimeout as delay } from 'node:timers/promises'
import { SandlotError } from '@sandlot/protocol'
import type { BuildEnvironment } from '@sandlot/protocol/node'
import { GuestRefusal, runInGuest } from '../guest/guest-process.ts'
import { startEnabledServices } from '../images/systemctl.ts'
import type { LiveMachine } from '../machines/machine.ts'
import type { BuildLog } from './build-work.ts'
import { LineBuffer } from './line-buffer.ts'
import { ReadyTries } from './ready-tries.ts'
import { commandIn } from './recipe.ts'

const READY_INTERVAL_MS = 2_000
const SERVICES_TIMEOUT_MS = 2 * 60_000
const READY_TIMEOUT_MS = 10 * 60_000
const DEFAULT_READY = 'sleep 20'
const LAST_LINES = 20
const TIMED_OUT = 124

export interface BringUp {
  /** Services to enable before all enabled services are started. Default: none. */
  services?: readonly string[]
  startCommand?: string
  /**
   * Retried every 2 s until it succeeds or cannot succeed, for at most 10 minutes. Default: `sleep 20` when there is a
   * start command.
   */
  readyCommand?: string
  log: BuildLog
  /** Stops waiting. */
  signal: AbortSignal
  /** Runs work that only waits, during which another build may run. Default: calls `wait` directly. */
  whileWaiting?: <T>(wait: () => Promise<T>) => Promise<T>
}

/** A start command that runs in the background. */
interface Started {
  isRunning: boolean
  failure?: Error
}

/**
 * Starts the services of a template, runs the start command, and waits until its ready command succeeds.
 * @param running stops watching the start command, which continues to run
 * @throws Error with the command and how it ended, SandlotError, and the signal's reason
 */
export async function bringUp(
  options: BringUp,
  machine: LiveMachine,
  environment: BuildEnvironment,
  running: AbortSignal,
): Promise<void> {
  const { startCommand, readyCommand = startCommand ? DEFAULT_READY : undefined } = options
  const { whileWaiting = (wait) => wait() } = options
  const { address } = machine.slot
  await startServices(options, address)
  const started = startCommand
    ? start({ ...options, startCommand }, address, environment, running)
    : { isRunning: false }
  if (!readyCommand) return
  await whileWaiting(() => untilReady({ ...options, readyCommand }, address, environment, started))
}

/** A service that does not start is a warning in the log, as it is on a machine that boots. */
async function startServices({ services = [], log, signal }: BringUp, address: string): Promise<void> {
  const lines = new LineBuffer((message) =>
    log({ level: 'warn', message: `[services] ${message}`, step: 'finalize' }),
  )
  await runInGuest(address, {
    command: startEnabledServices(services),
    user: 'root',
    cwd: '/',
    signal: AbortSignal.any([signal, AbortSignal.timeout(SERVICES_TIMEOUT_MS)]),
    onOutput: (text, from) => lines.add(text, from),
  })
  lines.end()
}

const say = (log: BuildLog, message: string) =>
  log({ level: 'info', message: `[finalize] ${message}`, step: 'finalize' })

/** Writes a line of a command's output to the build's log. */
const logLine = (log: BuildLog, of: 'start' | 'ready', message: string, from: 'stdout' | 'stderr') =>
  log({ level: from === 'stderr' ? 'warn' : 'info', message: `[${of}] ${message}`, step: 'finalize' })

function start(
  { startCommand, log }: BringUp & { startCommand: string },
  address: string,
  environment: BuildEnvironment,
  running: AbortSignal,
): Started {
  say(log, `Starting: ${startCommand}`)
  const started: Started = { isRunning: true }
  const lines = new LineBuffer((message, from) => logLine(log, 'start', message, from))
  const onOutput = (text: string, from: 'stdout' | 'stderr') => lines.add(text, from)
  runInGuest(address, { ...commandIn(environment, startCommand), signal: running, onOutput })
    .then((exitCode) => {
      if (exitCode === 0) return
      const last = lines.last(LAST_LINES)
      started.failure = new Error(
        `start command '${startCommand}' ended with exit status ${exitCode}${last ? `\n${last}` : ''}`,
      )
    })
    .catch((error: Error) => {
      if (!running.aborted) started.failure = new Error(`start command '${startCommand}': ${error.message}`)
    })
    .finally(() => {
      started.isRunning = false
    })
  return started
}

async function untilReady(
  { readyCommand, log, signal }: BringUp & { readyCommand: string },
  address: string,
  environment: BuildEnvironment,
  started: Started,
): Promise<void> {
  say(log, `Waiting for: ${readyCommand}`)
  const tries = new ReadyTries(readyCommand)
  const deadline = performance.now() + READY_TIMEOUT_MS
  const leftMs = () => Math.max(1, Math.ceil(deadline - performance.now()))
  let said = ''
  for (;;) {
    const all = new LineBuffer(() => {})
    const errors = new LineBuffer(() => {})
    const exitCode = await runInGuest(address, {
      ...commandIn(environment, readyCommand),
      signal: AbortSignal.any([signal, AbortSignal.timeout(leftMs())]),
      onOutput(text, from) {
        all.add(text, from)
        if (from === 'stderr') errors.add(text, from)
      },
    }).catch((error) => {
      signal.throwIfAborted()
      if (error instanceof SandlotError || error instanceof GuestRefusal) throw error
      return TIMED_OUT
    })
    all.end()
    errors.end()
    const output = all.last(LAST_LINES)
    // repeated output is logged only once
    if (output !== said)
      for (const line of output.split('\n'))
        if (line) logLine(log, 'ready', line, exitCode === 0 ? 'stdout' : 'stderr')
    said = output
    if (started.failure) throw started.failure
    if (exitCode === 0) return
    const failed = { exitCode, output, errors: errors.last(LAST_LINES), isStarting: started.isRunning }
    const verdict = tries.verdictOn(failed)
    if (verdict) throw new Error(verdict)
    if (leftMs() <= READY_INTERVAL_MS)
      throw new Error(
        `ready command '${readyCommand}' did not succeed within ${READY_TIMEOUT_MS / 60_000} minutes; it last ended with exit status ${exitCode}${output && `\n${output}`}`,
      )
    await delay(READY_INTERVAL_MS, undefined, { signal })
  }
}
