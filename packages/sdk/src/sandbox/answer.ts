import { type ApiAnswer, apiErrorOf } from '../api/error.ts'
import { SandboxError, SandboxNotFoundError } from '../errors.ts'

/** @throws SandboxNotFoundError for a 404, and the matching error for any other answer outside 2xx */
export function assertDone(answer: ApiAnswer, sandboxId: string): void {
  if (answer.response.status === 404) throw new SandboxNotFoundError(`Sandbox ${sandboxId} not found`)
  const error = apiErrorOf(answer)
  if (error) throw error
}

/** @throws SandboxError when the server sent no body, and whatever {@link assertDone} throws */
export function bodyOf<Body>(answer: ApiAnswer & { data?: Body }, sandboxId: string): Body {
  assertDone(answer, sandboxId)
  if (answer.data === undefined) throw new SandboxError('Body of the request is undefined')
  return answer.data
}
