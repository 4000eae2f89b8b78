import { SandlotError } from '@sandlot/protocol'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { errorHeaders, toSandlotError } from '../http/errors.ts'
import { limitRate } from '../http/limit-rate.ts'
import type { TeamLimits } from '../teams/limits.ts'
import type { Team } from '../teams/team.ts'
import { checkNoSnapshot, type VolumeService } from './service.ts'
import type { VolumeTokens } from './tokens.ts'

export interface VolumeContentRoutesOptions {
  volumes: VolumeService
  volumeTokens: VolumeTokens
  limits: TeamLimits
  teamOf: (teamId: string) => Promise<Team | undefined>
}

/**
 * Lets a request pass whose token is for the volume in its path.
 * @throws SandlotError unauthorized, forbidden (a token of another volume), not_found (a volume that was deleted), conflict
 * (a change of a snapshot)
 */
export const checkVolumeToken =
  ({ volumes, volumeTokens, limits, teamOf }: VolumeContentRoutesOptions) =>
  async (request: FastifyRequest, reply: FastifyReply): Promise<void> => {
    const [, token] = /^Bearer +(\S{1,4096})$/i.exec(request.headers.authorization ?? '') ?? []
    const claims = token === undefined ? undefined : await volumeTokens.verify(token)
    if (!claims)
      throw new SandlotError(
        'unauthorized',
        'the token of the volume is missing, wrong or expired: connect to the volume again to get a new one',
      )
    const { volumeID } = request.params as { volumeID: string }
    if (claims.volumeId !== volumeID)
      throw new SandlotError('forbidden', `this token is for another volume than '${volumeID.slice(0, 64)}'`)
    const volume = await volumes.get(claims.teamId, volumeID)
    if (request.method !== 'GET') checkNoSnapshot(volume)
    const team = await teamOf(claims.teamId)
    if (!team) throw new SandlotError('unauthorized', 'the team of this token does not exist any more')
    await limitRate(limits, Object.assign(request, { caller: { team, credential: { id: volumeID } } }), reply)
    const release = limits.reserveVolumeRequest(team)
    reply.raw.once('close', release)
    // the client had gone before
    if (reply.raw.destroyed || request.raw.destroyed) release()
  }

/** Sends errors as clients of the content API read them: `code` is a word. */
export function sendContentError(thrown: unknown, request: FastifyRequest, reply: FastifyReply): void {
  const error = toSandlotError(thrown, request)
  if (error.status === 500) request.log.error({ err: thrown, reqId: request.id }, error.message)
  const body = JSON.stringify({ code: error.errorName, message: error.message })
  reply
    .headers(errorHeaders(error))
    .code(error.status)
    .type('application/json; charset=utf-8')
    .serializer((text: string) => text)
    .send(body)
}
