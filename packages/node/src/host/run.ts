import { spawn } from 'node:child_process'
import { accessSync, constants, writeFileSync } from 'node:fs'
import { setPriority } from 'node:os'
import type { Readable, Writable } from 'node:stream'

const MAX_CAPTURED_BYTES = 1024 * 1024
const IONICE = '/usr/bin/ionice'
/** Command prefix for the lowest processor priority; unlike a later change of priority, children inherit it at once. */
const LAST_FOR_PROCESSOR = ['nice', '-n', '19']

export interface RunOptions {
  /** Time after which the process is killed (SIGKILL). Default 30 000 ms. */
  timeoutMs?: number
  /** Written to standard input, which is then closed. */
  input?: string
  env?: NodeJS.ProcessEnv
  cwd?: string
  /** Receives each line of standard output and standard error as it arrives, for progress. */
  onLine?: (line: string) => void
  /** Standard output and error go to /dev/null: for processes whose children keep the pipes open. */
  discardOutput?: boolean
  /** Standard output goes to this open file, which must not be closed before the process starts. */
  stdout?: { readonly fd: number }
  /** Scheduling priority, -20 (first) to 19 (last), inherited by children. Default 0. */
  niceness?: number
  /** Runs at idle priority for the processor and, with util-linux's `ionice`, for the disk. */
  isBackground?: boolean
  /** How readily Linux kills the process when memory is short, up to 1000 (first), inherited by children. Default: that of this process. */
  oomScoreAdj?: number
  /** Kills the process (SIGKILL) when aborted; the call rejects when it is dead. */
  signal?: AbortSignal
  /** Called with the id of the process before it can have done anything. */
  onPid?: (pid: number) => void
}

export interface RunResult {
  stdout: string
  stderr: string
}

/** A process could not be started, failed or exceeded its time limit. */
export class CommandError extends Error {
  readonly command: string
  readonly exitCode: number | null
  readonly stderr: string
  readonly timedOut: boolean

  constructor(command: string, exitCode: number | null, stderr: string, timedOut: boolean, cause?: unknown) {
    const how = timedOut
      ? 'timed out'
      : exitCode === null
        ? 'did not start or was killed'
        : `exit code ${exitCode}`
    const tail = stderr.trim().split('\n').slice(-5).join('\n')
    super(`${command}: ${how}${tail ? `: ${tail}` : ''}`, { cause })
    this.name = 'CommandError'
    this.command = command
    this.exitCode = exitCode
    this.stderr = stderr
    this.timedOut = timedOut
  }
}

/** The one way to run a process: with a timeout, bounded captured output and a typed error. */
export function run(file: string, args: readonly string[], options: RunOptions = {}): Promise<RunResult> {
  const {
    timeoutMs = 30_000,
    input,
    env,
    cwd,
    onLine,
    discardOutput = false,
    stdout,
    isBackground = false,
    niceness = 0,
    oomScoreAdj,
    signal,
    onPid,
  } = options
  const command = [file.split('/').at(-1), ...args.slice(0, 4)].join(' ')
  return new Promise((resolve, reject) => {
    const output = discardOutput ? 'ignore' : 'pipe'
    const [program, ...rest] = isBackground
      ? [...LAST_FOR_PROCESSOR, ...lastForDisk(), file, ...args]
      : [file, ...args]
    const child = spawn(program!, rest, {
      env,
      cwd,
      signal,
      killSignal: 'SIGKILL',
      stdio: [input === undefined ? 'ignore' : 'pipe', stdout ? openFd(stdout) : output, output],
    })
    if (child.pid !== undefined) {
      adjust(child.pid, niceness, oomScoreAdj)
      onPid?.(child.pid)
    }
    let timedOut = false
    const timer = setTimeout(() => {
      timedOut = true
      child.kill('SIGKILL')
      child.stdout?.destroy()
      child.stderr?.destroy()
    }, timeoutMs)
    const captured = { stdout: '', stderr: '' }
    for (const name of ['stdout', 'stderr'] as const) {
      const split = onLine && lineSplitter(onLine)
      child[name]?.setEncoding('utf8').on('data', (chunk: string) => {
        captured[name] = (captured[name] + chunk).slice(-MAX_CAPTURED_BYTES)
        split?.(chunk)
      })
    }
    child.stdin?.on('error', () => {})
    child.stdin?.end(input)
    child.once('error', (cause) => {
      // a running process was aborted: `close` follows when it is dead
      if (child.pid !== undefined) return
      clearTimeout(timer)
      reject(new CommandError(command, null, String(cause), timedOut, cause))
    })
    child.once('close', (code) => {
      clearTimeout(timer)
      if (code === 0 && !timedOut) resolve(captured)
      else reject(new CommandError(command, code, captured.stderr, timedOut))
    })
  })
}

/** @returns takes pieces of text, and calls `onLine` with each line that has ended and is not empty */
function lineSplitter(onLine: (line: string) => void): (chunk: string) => void {
  let partial = ''
  return (chunk) => {
    const lines = (partial + chunk).split(/[\r\n]+/)
    partial = lines.pop()!.slice(-10_000)
    for (const line of lines) if (line) onLine(line)
  }
}

/**
 * Runs a process that `talk` talks to and kills it when `talk` has ended. Standard error is discarded.
 * @throws what `talk` throws, the signal's reason, CommandError when the process does not start
 */
export async function converse<T>(
  file: string,
  args: readonly string[],
  talk: (stdin: Writable, stdout: Readable) => Promise<T>,
  { signal, oomScoreAdj }: { signal: AbortSignal; oomScoreAdj?: number },
): Promise<T> {
  signal.throwIfAborted()
  const command = [file.split('/').at(-1), ...args.slice(0, 4)].join(' ')
  const child = spawn(file, args, { stdio: ['pipe', 'pipe', 'ignore'] })
  if (child.pid !== undefined) adjust(child.pid, 0, oomScoreAdj)
  const failed = new Promise<never>((_, reject) => {
    child.once('error', (cause) => reject(new CommandError(command, null, String(cause), false, cause)))
    signal.addEventListener('abort', () => reject(signal.reason), { once: true })
  })
  try {
    return await Promise.race([talk(child.stdin, child.stdout), failed])
  } finally {
    child.kill('SIGKILL')
    child.stdout.destroy()
  }
}

/** Command prefix for the lowest disk priority, if available. */
function lastForDisk(): string[] {
  try {
    accessSync(IONICE, constants.X_OK)
    return [IONICE, '-c', 'idle', '-t']
  } catch {
    return []
  }
}

/** @throws Error when the file is closed, because its number may belong to another file */
function openFd({ fd }: { readonly fd: number }): number {
  if (fd < 0) throw new Error('the file for the standard output is closed')
  return fd
}

/** Sets priority and OOM score of a process, which may have exited already. */
function adjust(pid: number, niceness: number, oomScoreAdj: number | undefined): void {
  try {
    if (niceness !== 0) setPriority(pid, niceness)
    if (oomScoreAdj !== undefined) writeFileSync(`/proc/${pid}/oom_score_adj`, String(oomScoreAdj))
  } catch {}
}
