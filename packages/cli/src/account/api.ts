import { Failure, formatApiError } from '../failure.ts'
import type { Connection } from './connection.ts'

/** Returns the typed REST client, for routes without a method in the SDK's classes. */
export const apiOf = ({ sdk, opts }: Connection) => new sdk.ApiClient(new sdk.ConnectionConfig(opts)).api

interface Answer<T> {
  data?: T
  error?: unknown
  response: Response
}

/** @throws Failure `[404] Not Found: <message>` */
export function dataOf<T>(answer: Answer<T>): T {
  if (answer.response.ok) return answer.data as T
  throw new Failure(formatApiError(answer.response.status, messageOf(answer.error)))
}

function messageOf(error: unknown): string {
  if (typeof error === 'string') return error
  const { message } = (error ?? {}) as { message?: unknown }
  return typeof message === 'string' ? message : 'the server gave no message'
}
