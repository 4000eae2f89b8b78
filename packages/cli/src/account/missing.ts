import { Failure } from '../failure.ts'

const NOT_FOUND = new Set(['NotFoundError', 'SandboxNotFoundError'])

export const isNotFound = (error: unknown): boolean => error instanceof Error && NOT_FOUND.has(error.name)

/** Message of all commands for a missing sandbox. */
export const missing = (sandboxId: string): Failure =>
  new Failure(`Sandbox ${sandboxId} wasn't found. \`e2b sandbox list -s running,paused\` shows yours.`)

/** @throws Failure when the server answers that the sandbox does not exist */
export async function orMissing<T>(sandboxId: string, answer: Promise<T>): Promise<T> {
  try {
    return await answer
  } catch (error) {
    throw isNotFound(error) ? missing(sandboxId) : error
  }
}
