import { type ChildProcess, spawn } from 'node:child_process'
import type { Kernelspec } from './kernelspec.ts'

export type StreamName = 'stdout' | 'stderr'

/** The process group of one kernel. */
export interface KernelProcess {
  /** Resolves with how the process ended. */
  ended: Promise<string>
  /** Signals the whole group, as a terminal does, including processes that the code started. */
  signal(name: 'SIGINT' | 'SIGSTOP' | 'SIGCONT' | 'SIGKILL'): void
}

export interface LaunchOptions {
  spec: Kernelspec
  connectionFile: string
  cwd: string
  env: Record<string, string | undefined>
  /** Output of the kernel and its children to stdout and stderr, outside of Jupyter. */
  onText: (stream: StreamName, text: string) => void
}

export function launch(options: LaunchOptions): KernelProcess {
  const { spec, connectionFile, cwd, env, onText } = options
  const argv = spec.argv.map((word) => word.replaceAll('{connection_file}', connectionFile))
  // A kernel must not outlive the service, because it could not be reached any more.
  const child = spawn('setpriv', ['--pdeathsig', 'KILL', '--', ...argv], {
    cwd,
    env: { ...env, ...spec.env },
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  child.stdout.setEncoding('utf8').on('data', (text: string) => onText('stdout', text))
  child.stderr.setEncoding('utf8').on('data', (text: string) => onText('stderr', text))
  return {
    ended: ending(child),
    signal(name) {
      if (child.pid === undefined) return
      try {
        process.kill(-child.pid, name)
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
      }
    },
  }
}

function ending(child: ChildProcess): Promise<string> {
  const { promise, resolve } = Promise.withResolvers<string>()
  child.once('error', (error) => resolve(`could not be started: ${error.message}`))
  child.once('exit', (code, signal) =>
    resolve(signal ? `was ended by ${signal}` : `ended with exit code ${code}`),
  )
  return promise
}
