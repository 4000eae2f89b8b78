import { SandlotError } from '@sandlot/protocol'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { TeamLimits } from '../teams/limits.ts'

export const RATE_HEADERS = ['RateLimit-Limit', 'RateLimit-Remaining', 'RateLimit-Reset']

/** Counts a request, and sends the state of the nearest limit in headers of the answer. @throws SandlotError rate_limited */
export async function limitRate(
  limits: TeamLimits,
  { caller, method, routeOptions }: FastifyRequest,
  reply: FastifyReply,
): Promise<void> {
  const route = `${method} ${routeOptions.url}`
  const rate = limits.countRequest(caller.team, caller.credential.id, route)
  reply.headers({
    'ratelimit-limit': String(rate.limit),
    'ratelimit-remaining': String(rate.remaining),
    'ratelimit-reset': String(rate.resetSeconds),
  })
  // clients compare this message: when to retry is in the headers
  if (rate.waitSeconds > 0)
    throw new SandlotError('rate_limited', 'Rate limit exceeded', { retryAfterSeconds: rate.waitSeconds })
}
