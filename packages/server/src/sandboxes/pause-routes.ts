import {
  connectSandbox,
  connectSandboxV2,
  forkSandbox,
  pauseSandbox,
  resumeSandbox,
} from '@sandlot/protocol/rest'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { App, Handler } from '../http/app.ts'
import { answerOnce } from '../idempotency/once.ts'
import type { Idempotency } from '../idempotency/service.ts'
import { toSandbox } from './answers.ts'
import type { Forks } from './forks.ts'
import type { Pauses } from './pauses.ts'

export interface PauseRoutesOptions {
  pauses: Pauses
  forks: Forks
  idempotency: Idempotency
  domain: string
}

/** Pauses, resumes and forks sandboxes: operations that move or copy a sandbox to another machine. */
export function pauseRoutes(app: App, options: PauseRoutesOptions): void {
  app.post('/sandboxes/:sandboxID/connect', { schema: connectSandbox }, connect(options))
  app.post('/v2/sandboxes/:sandboxID/connect', { schema: connectSandboxV2 }, connectV2(options))
  app.post('/sandboxes/:sandboxID/pause', { schema: pauseSandbox }, pause(options))
  app.post('/sandboxes/:sandboxID/resume', { schema: resumeSandbox }, resume(options))
  app.post('/sandboxes/:sandboxID/fork', { schema: forkSandbox }, fork(options))
}

const connect =
  (options: PauseRoutesOptions): Handler<typeof connectSandbox> =>
  async (request, reply) =>
    answerConnect(options, request, reply, request.params.sandboxID, request.body)

const connectV2 =
  (options: PauseRoutesOptions): Handler<typeof connectSandboxV2> =>
  async (request, reply) =>
    answerConnect(options, request, reply, request.params.sandboxID, request.body)

async function answerConnect(
  { pauses, domain }: PauseRoutesOptions,
  request: FastifyRequest,
  reply: FastifyReply,
  sandboxId: string,
  { timeout, memory }: { timeout: number; memory?: boolean },
): Promise<FastifyReply> {
  const { team } = request.caller
  const { sandbox, isResumed } = await pauses.connect(team, sandboxId, timeout, memory)
  return reply.code(isResumed ? 201 : 200).send(toSandbox(sandbox, domain))
}

const pause =
  ({ pauses }: PauseRoutesOptions): Handler<typeof pauseSandbox> =>
  async (request, reply) => {
    const { memory, requireHealthyGuest } = request.body
    await pauses.pause(request.caller.team, request.params.sandboxID, {
      hasMemory: memory !== false,
      mustBeHealthy: requireHealthyGuest === true,
    })
    return reply.code(204).send(null)
  }

const resume =
  ({ pauses, domain }: PauseRoutesOptions): Handler<typeof resumeSandbox> =>
  async (request, reply) => {
    const { timeout, memory } = request.body
    const { team } = request.caller
    const sandbox = await pauses.resume(team, request.params.sandboxID, timeout, memory)
    return reply.code(201).send(toSandbox(sandbox, domain))
  }

const fork =
  ({ forks, idempotency, domain }: PauseRoutesOptions): Handler<typeof forkSandbox> =>
  async (request, reply) => {
    const { count, timeout } = request.body
    return answerOnce(idempotency, request, reply, 201, async () => {
      const { team } = request.caller
      const made = await forks.fork(team, request.params.sandboxID, count, timeout)
      return made.map((copy) =>
        copy instanceof Error ? { error: copy.toBody() } : { sandbox: toSandbox(copy, domain) },
      )
    })
  }
