import { execFile } from 'node:child_process'
import { promisify } from 'node:util'

export interface Step {
  step: string
  ok?: boolean
  /** The client has no such call. */
  absent?: boolean
  error?: string
}

const MAX_OUTPUT_BYTES = 32 * 1024 * 1024

/**
 * Runs a program that writes a line of JSON for each step.
 * @param last the step with which the program ends; a program that ends earlier has failed. Default: any
 */
export async function runSteps(
  [file, ...args]: string[],
  options: { env: NodeJS.ProcessEnv; timeoutMs: number; last?: string },
): Promise<Step[]> {
  const { env, timeoutMs, last } = options
  const { stdout, stderr, code } = await promisify(execFile)(file!, args, {
    env,
    timeout: timeoutMs,
    killSignal: 'SIGKILL',
    maxBuffer: MAX_OUTPUT_BYTES,
  }).then(
    (output) => ({ ...output, code: 0 }),
    (error: { stdout?: string; stderr?: string; code?: number }) => ({
      stdout: error.stdout ?? '',
      stderr: error.stderr ?? String(error),
      code: error.code ?? -1,
    }),
  )
  const steps = stdout
    .split('\n')
    .filter((line) => line.startsWith('{"step"'))
    .map((line) => JSON.parse(line) as Step)
  const isWhole = last ? steps.at(-1)?.step === last : code === 0 && steps.length > 0
  if (!isWhole && !steps.some(({ ok }) => ok === false))
    steps.push({ step: 'end', ok: false, error: stderr.trim().slice(-300) || 'it ended early' })
  return steps
}

export const failuresOf = (steps: Step[] | undefined): Step[] => steps?.filter(({ ok }) => ok === false) ?? []

/** Formats steps for a cell of a table. */
export function resultOf(steps: Step[] | undefined): string {
  const failed = failuresOf(steps)
  return failed.length === 0 ? 'all' : `not ${failed.map(({ step }) => step).join(', ')}`
}
