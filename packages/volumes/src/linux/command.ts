import { execFile } from 'node:child_process'

const TIMEOUT_MS = 60_000
const MAX_OUTPUT_BYTES = 1024 * 1024

/** Runs a program. @returns its standard output @throws Error with the end of its standard error */
export function runCommand(
  program: string,
  args: readonly string[],
  timeoutMs = TIMEOUT_MS,
): Promise<string> {
  // callers look for English messages
  const env = { ...process.env, LC_ALL: 'C' }
  const options = { timeout: timeoutMs, killSignal: 'SIGKILL', maxBuffer: MAX_OUTPUT_BYTES, env } as const
  return new Promise((resolve, reject) => {
    execFile(program, args, options, (error, stdout, stderr) => {
      if (!error) return resolve(stdout)
      const how = error.killed
        ? `took longer than ${timeoutMs} ms`
        : stderr.trim().slice(-500) || error.message
      reject(new Error(`${program} ${args.join(' ')}: ${how}`, { cause: error }))
    })
  })
}
