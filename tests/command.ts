import { spawn } from 'node:child_process'
import { constants, setPriority } from 'node:os'

export interface Ended {
  code: number
  output: string
}

export interface CommandOptions {
  cwd: string
  env: NodeJS.ProcessEnv
  timeoutMs: number
  /** Other commands get the processors first. */
  hasLowPriority?: boolean
  /** Gets the output piece by piece as it comes. */
  onOutput?: (text: string) => void
}

const running = new Set<number>()

/** Runs a command in a process group of its own, which a timeout ends as a whole. @returns also its whole output */
export function runCommand(file: string, args: string[], options: CommandOptions): Promise<Ended> {
  const { cwd, env, timeoutMs, onOutput } = options
  return new Promise((resolve) => {
    const child = spawn(file, args, { cwd, env, detached: true, stdio: ['ignore', 'pipe', 'pipe'] })
    const { pid } = child
    if (pid !== undefined) running.add(pid)
    if (pid !== undefined && options.hasLowPriority)
      setPriority(pid, constants.priority.PRIORITY_BELOW_NORMAL)
    let output = ''
    const capture = (text: string) => {
      output += text
      onOutput?.(text)
    }
    child.stdout.setEncoding('utf8').on('data', capture)
    child.stderr.setEncoding('utf8').on('data', capture)
    const timer = setTimeout(() => {
      onOutput?.(`timed out after ${timeoutMs / 60_000} min\n`)
      if (pid !== undefined) killGroup(pid)
    }, timeoutMs)
    const end = (ended: Ended) => {
      clearTimeout(timer)
      if (pid !== undefined) running.delete(pid)
      resolve(ended)
    }
    child.once('error', (error) => end({ code: 127, output: String(error) }))
    child.once('close', (code) => end({ code: code ?? 1, output }))
  })
}

/** Ends all commands that still run, with everything that they started. */
export function killCommands(): void {
  for (const pid of running) killGroup(pid)
}

function killGroup(pid: number): void {
  try {
    process.kill(-pid, 'SIGKILL')
  } catch {
    // the group has ended by itself
  }
}
