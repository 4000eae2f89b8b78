import { spawn } from 'node:child_process'
import { Refusal } from './refusal.ts'

const KEPT_CHARACTERS = 2000

interface CommandOptions {
  folder: string
  environment: Record<string, string>
  timeoutMs: number
  /** User and group to run as; default: those of this process. */
  identity?: { uid: number; gid: number }
  signal?: AbortSignal
}

/**
 * Runs a command to its end, without input. Its whole process group is killed after `timeoutMs` and on abort.
 * @throws {Refusal} if it fails, with the end of what it printed
 */
export function runCommand(command: string, args: string[], options: CommandOptions): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      cwd: options.folder,
      env: options.environment,
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
      ...options.identity,
    })
    let printed = ''
    let isTooLate = false
    const keep = (chunk: Buffer) => {
      printed = (printed + chunk.toString()).slice(-KEPT_CHARACTERS)
    }
    const kill = () => {
      if (child.pid !== undefined) killGroup(child.pid, 'SIGKILL')
    }
    const timer = setTimeout(() => {
      isTooLate = true
      kill()
    }, options.timeoutMs)
    options.signal?.addEventListener('abort', kill, { once: true })
    child.stdout.on('data', keep)
    child.stderr.on('data', keep)
    child.on('error', (error) => reject(new Refusal(`'${command}' could not be started: ${error.message}`)))
    child.on('close', (code, signal) => {
      clearTimeout(timer)
      options.signal?.removeEventListener('abort', kill)
      if (code === 0) return resolve()
      const how = isTooLate
        ? `did not end within ${options.timeoutMs / 1000} s`
        : `ended with ${code === null ? signal : `exit code ${code}`}`
      const line = [command, ...args].join(' ').slice(0, 200)
      reject(new Refusal(`'${line}' ${how}${printed.trim() === '' ? '' : `: ${printed.trim()}`}`))
    })
  })
}

/** Sends a signal to all processes of a group, if there are any. */
export function killGroup(id: number, signal: NodeJS.Signals): void {
  try {
    process.kill(-id, signal)
  } catch {
    // the group has ended
  }
}
