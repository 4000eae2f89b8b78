import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { constants } from 'node:os'
import { Failure } from '../failure.ts'

/**
 * Runs the `ssh` of this machine with this process' terminal.
 * @param words further options, and the command
 * @returns its exit code
 * @throws Failure when there is no `ssh`
 */
export async function runSsh(
  options: readonly [name: string, value: string][],
  destination: string,
  words: readonly string[],
): Promise<number> {
  const child = spawn(
    'ssh',
    [...options.flatMap(([name, value]) => ['-o', `${name}=${value}`]), destination, ...words],
    {
      stdio: 'inherit',
    },
  )
  // the terminal sends Ctrl-C to both; only ssh acts on it
  process.on('SIGINT', () => {})
  for (const signal of ['SIGTERM', 'SIGHUP'] as const) process.on(signal, () => child.kill(signal))
  try {
    const [code, signal] = (await once(child, 'close')) as [number | null, NodeJS.Signals | null]
    return code ?? 128 + constants.signals[signal!]
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
    throw new Failure('ssh was not found. Install the OpenSSH client, or use `e2b sandbox connect`.', {
      cause: error,
    })
  }
}
