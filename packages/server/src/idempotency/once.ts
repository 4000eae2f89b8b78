import type { FastifyReply, FastifyRequest } from 'fastify'
import { errorHeaders, toSandlotError } from '../http/errors.ts'
import type { Answer } from './sealed-answer.ts'
import type { Idempotency } from './service.ts'

declare module 'fastify' {
  interface FastifyRequest {
    /** SHA-256 of the raw body, for requests with an `Idempotency-Key`. */
    bodyHash?: string
  }
}

/** Whether the request has an `Idempotency-Key`, so that the caller may repeat it after a lost answer. */
export const isKeyed = ({ headers }: FastifyRequest): boolean => headers['idempotency-key'] !== undefined

/**
 * Sends what `work` returns. With an `Idempotency-Key`, `work` runs once, and a repeated request gets the first answer
 * again. Without the header nothing is recorded.
 */
export async function answerOnce(
  idempotency: Idempotency,
  request: FastifyRequest,
  reply: FastifyReply,
  status: number,
  work: () => Promise<object>,
): Promise<FastifyReply> {
  if (!isKeyed(request)) return reply.code(status).send(await work())
  const key = [request.headers['idempotency-key']].flat().join(',')
  const content = `${request.method} ${request.url} ${request.bodyHash}`
  const answer = await idempotency.run(
    { teamId: request.caller.team.teamId, key, content },
    async () => ({ status, headers: {}, body: JSON.stringify(await work()) }),
    (error) => answerOf(error, request),
  )
  return reply
    .code(answer.status)
    .headers(answer.headers)
    .type('application/json; charset=utf-8')
    .serializer((text: string) => text)
    .send(answer.body)
}

function answerOf(thrown: unknown, request: FastifyRequest): { answer: Answer; mayHaveActed: boolean } {
  const error = toSandlotError(thrown, request)
  const { status, mayHaveActed } = error
  return {
    answer: { status, headers: errorHeaders(error), body: JSON.stringify(error.toBody()) },
    mayHaveActed,
  }
}
