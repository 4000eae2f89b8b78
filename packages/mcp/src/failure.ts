import { stripVTControlCharacters } from 'node:util'
import {
  AuthenticationError,
  CheckpointNotFoundError,
  FileNotFoundError,
  NotEnoughSpaceError,
  RateLimitError,
  SandboxError,
  SandboxNotFoundError,
  ServiceBusyError,
} from './sdk.ts'

/** A failure that a model can mend; its message says what was wrong and what to do. */
export class ToolFailure extends Error {
  override readonly name = 'ToolFailure'
}

const MAX_MESSAGE_CHARS = 2_000

type ErrorClass = abstract new (...args: never[]) => Error

/** What to do next, by the class of the SDK's error; the first that fits. */
const advice: ReadonlyArray<[ErrorClass, string]> = [
  [
    AuthenticationError,
    "The API key is missing or not valid: the user must set it in this MCP server's configuration (E2B_API_KEY, or the header Authorization).",
  ],
  [
    SandboxNotFoundError,
    'The sandbox was killed, ran out of time, or belongs to another team: list_sandboxes shows what there is, create_sandbox makes another one.',
  ],
  [CheckpointNotFoundError, 'list_checkpoints shows the checkpoints that there are.'],
  [FileNotFoundError, 'list_files shows what there is in a directory.'],
  [NotEnoughSpaceError, "The sandbox's disk is full: delete files with run_command, or use another sandbox."],
  [
    RateLimitError,
    'Wait some seconds and repeat; if a limit of sandboxes is reached, kill those that are not needed.',
  ],
  [ServiceBusyError, 'The server has no room at the moment: wait some seconds and repeat the call.'],
]

/** Describes an error of a tool for the model that called it. */
export function describeFailure(error: unknown): string {
  const { message } = error instanceof Error ? error : new Error(String(error))
  const cause =
    error instanceof TypeError ? ` (${(error.cause as Error | undefined)?.message ?? 'no cause'})` : ''
  const text = withoutControls(`${message}${cause}`.slice(0, MAX_MESSAGE_CHARS))
  const hint = advice.find(([Class]) => error instanceof Class)?.[1]
  return hint ? `${text}\n${hint}` : text
}

/** Parts of messages come from sandboxes, and clients show messages in terminals. */
const withoutControls = (text: string): string =>
  stripVTControlCharacters(text).replace(/(?![\n\t])\p{Cc}/gu, '')

/** @returns the error of an answer of the REST API; undefined when it was successful */
export function apiFailure({ response, error }: { response: Response; error?: unknown }): Error | undefined {
  if (response.ok) return undefined
  const message = String((error as { message?: unknown } | undefined)?.message ?? response.statusText)
  if (response.status === 401) return new AuthenticationError(message)
  if (response.status === 429) return new RateLimitError(message)
  if (response.status === 503) return new ServiceBusyError(message)
  return new SandboxError(`${response.status}: ${message}`)
}
