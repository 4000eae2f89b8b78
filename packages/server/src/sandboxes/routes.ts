import { SandlotError } from '@sandlot/protocol'
import {
  createSandbox,
  createSandboxV2,
  getSandbox,
  killSandbox,
  listRunningSandboxes,
  listSandboxes,
  type NewSandbox,
  refreshSandbox,
  setSandboxTimeout,
  updateSandboxNetwork,
} from '@sandlot/protocol/rest'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { App, Handler } from '../http/app.ts'
import {
  checkUnpaged,
  clampLimit,
  decodeCursor,
  MAX_UNPAGED,
  pageOf,
  parseMetadataFilter,
} from '../http/pagination.ts'
import { answerOnce, isKeyed } from '../idempotency/once.ts'
import type { Idempotency } from '../idempotency/service.ts'
import type { Team } from '../teams/team.ts'
import type { TemplateRegistry } from '../templates/registry.ts'
import { toDetail, toListed, toSandbox } from './answers.ts'
import type { NetworkUpdates } from './network-updates.ts'
import type { LiveSandbox } from './sandbox.ts'
import type { SandboxService } from './service.ts'

const RUNNING: ReadonlySet<string> = new Set(['running'])

export interface SandboxRoutesOptions {
  sandboxes: SandboxService
  networkUpdates: NetworkUpdates
  templates: TemplateRegistry
  idempotency: Idempotency
  domain: string
}

/** Creates, finds, extends and kills sandboxes. */
export function sandboxRoutes(app: App, options: SandboxRoutesOptions): void {
  app.post('/sandboxes', { schema: createSandbox }, create(options))
  app.post('/v2/sandboxes', { schema: createSandboxV2 }, createSecure(options))
  app.get('/v2/sandboxes', { schema: listSandboxes }, list(options))
  app.get('/sandboxes', { schema: listRunningSandboxes }, listRunning(options))
  app.get('/sandboxes/:sandboxID', { schema: getSandbox }, get(options))
  app.delete('/sandboxes/:sandboxID', { schema: killSandbox }, kill(options))
  app.post('/sandboxes/:sandboxID/timeout', { schema: setSandboxTimeout }, setTimeLeft(options))
  app.post('/sandboxes/:sandboxID/refreshes', { schema: refreshSandbox }, refresh(options))
  app.put('/sandboxes/:sandboxID/network', { schema: updateSandboxNetwork }, updateNetwork(options))
}

const create =
  (options: SandboxRoutesOptions): Handler<typeof createSandbox> =>
  async (request, reply) =>
    answerCreate(options, request, reply, request.body)

/** The newer route always creates sandboxes with a token. */
const createSecure =
  (options: SandboxRoutesOptions): Handler<typeof createSandboxV2> =>
  async (request, reply) =>
    answerCreate(options, request, reply, { ...request.body, secure: true })

/**
 * Kills the sandbox when the client disconnects before the answer, because the client does not know the id and cannot
 * kill it.
 */
function answerCreate(
  { sandboxes, idempotency, domain }: SandboxRoutesOptions,
  request: FastifyRequest,
  reply: FastifyReply,
  body: NewSandbox,
): Promise<FastifyReply> {
  let isAbandoned = false
  reply.raw.once('close', () => {
    isAbandoned = !reply.raw.writableEnded
  })
  return answerOnce(idempotency, request, reply, 201, async () => {
    const sandbox = await sandboxes.create(request.caller.team, body)
    if (isAbandoned && !isKeyed(request)) sandboxes.abandon(sandbox.sandboxId)
    return toSandbox(sandbox, domain)
  })
}

const list =
  ({ sandboxes, templates }: SandboxRoutesOptions): Handler<typeof listSandboxes> =>
  async (request, reply) => {
    const { query, caller } = request
    const states = statesOf(query.state)
    let found = sandboxes.list(caller.team, new Set(states))
    if (query.metadata) found = found.filter(hasMetadata(parseMetadataFilter(query.metadata)))
    if (query.template !== undefined) {
      const templateId = templateIdOf(query.template, templates, caller.team)
      found = found.filter((sandbox) => sandbox.templateId === templateId)
    }
    if (query.startedAfter) {
      const afterMs = Date.parse(query.startedAfter)
      found = found.filter((sandbox) => sandbox.startedAtMs >= afterMs)
    }
    if (states.includes('running'))
      reply.header('x-total-running', String(found.filter(({ state }) => state === 'running').length))
    const { page, nextToken } = pageOf(
      found,
      (sandbox) => ({ timeMs: sandbox.startedAtMs, id: sandbox.sandboxId }),
      {
        limit: clampLimit(query.limit),
        after: query.nextToken ? decodeCursor(query.nextToken) : undefined,
        isAscending: query.order === 'asc',
      },
    )
    if (nextToken) reply.header('x-next-token', nextToken)
    return page.map(toListed)
  }

/** @throws SandlotError invalid_request */
function statesOf(text: string | undefined): string[] {
  if (text === undefined) return ['running', 'paused']
  const states = text.split(',').filter(Boolean)
  for (const state of states)
    if (state !== 'running' && state !== 'paused')
      throw new SandlotError(
        'invalid_request',
        `state '${state}' is unknown: use running, paused or both, separated by a comma`,
      )
  return states
}

/** @returns undefined when there is no such template @throws SandlotError invalid_request */
function templateIdOf(reference: string, templates: TemplateRegistry, team: Team): string | undefined {
  if (reference.includes(':'))
    throw new SandlotError(
      'invalid_request',
      `template '${reference}' has a tag: the filter takes an id or a name`,
    )
  return templates.find(reference, team)?.templateId
}

const hasMetadata = (filter: Array<[string, string]>) => (sandbox: LiveSandbox) =>
  filter.every(([key, value]) => Object.hasOwn(sandbox.metadata, key) && sandbox.metadata[key] === value)

const listRunning =
  ({ sandboxes }: SandboxRoutesOptions): Handler<typeof listRunningSandboxes> =>
  async (request) => {
    const { metadata } = request.query
    const isMatch = metadata ? hasMetadata(parseMetadataFilter(metadata)) : undefined
    const found = sandboxes.list(request.caller.team, RUNNING, { isMatch, limit: MAX_UNPAGED + 1 })
    checkUnpaged(found.length, 'running sandboxes', 'GET /v2/sandboxes')
    return found.map(toListed)
  }

const get =
  ({ sandboxes, domain }: SandboxRoutesOptions): Handler<typeof getSandbox> =>
  async (request) =>
    toDetail(sandboxes.get(request.caller.team, request.params.sandboxID), domain)

const kill =
  ({ sandboxes }: SandboxRoutesOptions): Handler<typeof killSandbox> =>
  async (request, reply) => {
    await sandboxes.kill(request.caller.team, request.params.sandboxID)
    return reply.code(204).send(null)
  }

const setTimeLeft =
  ({ sandboxes }: SandboxRoutesOptions): Handler<typeof setSandboxTimeout> =>
  async (request, reply) => {
    await sandboxes.setTimeout(request.caller.team, request.params.sandboxID, request.body.timeout)
    return reply.code(204).send(null)
  }

const refresh =
  ({ sandboxes }: SandboxRoutesOptions): Handler<typeof refreshSandbox> =>
  async (request, reply) => {
    const { team } = request.caller
    const { sandboxId, settings } = sandboxes.get(team, request.params.sandboxID)
    await sandboxes.extend(team, sandboxId, request.body.duration ?? settings.timeoutSeconds)
    return reply.code(204).send(null)
  }

const updateNetwork =
  ({ networkUpdates }: SandboxRoutesOptions): Handler<typeof updateSandboxNetwork> =>
  async (request, reply) => {
    await networkUpdates.update(request.caller.team, request.params.sandboxID, request.body)
    return reply.code(204).send(null)
  }
