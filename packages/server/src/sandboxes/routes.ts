import { SandlotError, sandboxIdIn } from '@sandlot/protocol'
import {
  ConnectSandbox,
  ConnectSandboxV2,
  ErrorSchema,
  ListedSandbox,
  NewSandbox,
  NewSandboxV2,
  Refresh,
  Sandbox,
  SandboxDetail,
  SandboxMetric,
  SetTimeout,
} from '@sandlot/protocol/rest'
import Type from 'typebox'
import type { App } from '../http/app.ts'
import {
  checkUnpaged,
  clampLimit,
  decodeCursor,
  MAX_UNIX_MS,
  MAX_UNPAGED,
  pageOf,
  parseMetadataFilter,
} from '../http/pagination.ts'
import { answerOnce, IdempotencyHeaders, isKeyed } from '../idempotency/once.ts'
import type { Idempotency } from '../idempotency/service.ts'
import type { SandboxMetrics } from '../metrics/metrics.ts'
import type { TemplateRegistry } from '../templates/registry.ts'
import { toDetail, toListed, toSandbox } from './answers.ts'
import type { Pauses } from './pauses.ts'
import type { LiveSandbox } from './sandbox.ts'
import type { SandboxService } from './service.ts'

const Id = Type.Object({ id: Type.String() })
const errors = { '4xx': ErrorSchema, '5xx': ErrorSchema }
const tags = ['sandboxes']
const MAX_METRIC_IDS = 100
const RUNNING: ReadonlySet<string> = new Set(['running'])

export interface SandboxRoutesOptions {
  sandboxes: SandboxService
  pauses: Pauses
  metrics: SandboxMetrics
  templates: TemplateRegistry
  idempotency: Idempotency
  domain: string
  now: () => number
}

export function sandboxRoutes(
  app: App,
  { sandboxes, pauses, metrics, templates, idempotency, domain, now }: SandboxRoutesOptions,
): void {
  for (const [url, body] of [
    ['/sandboxes', NewSandbox],
    ['/v2/sandboxes', NewSandboxV2],
  ] as const)
    app.post(
      url,
      {
        schema: {
          tags,
          summary: 'Create a sandbox',
          headers: IdempotencyHeaders,
          body,
          response: { 201: Sandbox, ...errors },
        },
      },
      async (request, reply) => {
        let isAbandoned = false
        reply.raw.once('close', () => {
          isAbandoned = !reply.raw.writableEnded
        })
        const body = request.body as NewSandbox
        // the newer route knows no sandboxes without a token
        const secure = url === '/v2/sandboxes' || body.secure === true
        return answerOnce(idempotency, request, reply, 201, async () => {
          const sandbox = await sandboxes.create(request.caller.team, { ...body, secure })
          if (isAbandoned && !isKeyed(request)) sandboxes.abandon(sandbox.sandboxId)
          return toSandbox(sandbox, domain)
        })
      },
    )

  const ListQuery = Type.Object({
    metadata: Type.Optional(
      Type.String({ maxLength: 8192, description: 'k=v&k2=v2, each part percent-encoded; all must match' }),
    ),
    state: Type.Optional(
      Type.String({ maxLength: 64, description: 'running, paused or both, separated by commas' }),
    ),
    order: Type.Optional(Type.Union([Type.Literal('asc'), Type.Literal('desc')])),
    startedAfter: Type.Optional(Type.String({ format: 'date-time' })),
    template: Type.Optional(Type.String({ maxLength: 256 })),
    limit: Type.Optional(Type.Integer()),
    nextToken: Type.Optional(Type.String({ maxLength: 1024 })),
  })
  app.get(
    '/v2/sandboxes',
    {
      schema: {
        tags,
        summary: 'List sandboxes',
        querystring: ListQuery,
        response: { 200: Type.Array(ListedSandbox), ...errors },
      },
    },
    async (request, reply) => {
      const { query } = request
      const states =
        query.state === undefined ? ['running', 'paused'] : query.state.split(',').filter(Boolean)
      for (const state of states)
        if (state !== 'running' && state !== 'paused')
          throw new SandlotError(
            'invalid_request',
            `state '${state}' is unknown: use running, paused or both, separated by a comma`,
          )
      const isRunningAsked = states.includes('running')
      let found = sandboxes.list(request.caller.team, new Set(states))
      if (query.metadata) found = found.filter(matches(parseMetadataFilter(query.metadata)))
      if (query.template !== undefined) {
        if (query.template.includes(':'))
          throw new SandlotError(
            'invalid_request',
            `template '${query.template}' has a tag: the filter takes an id or a name`,
          )
        const template = templates.find(query.template, request.caller.team)
        found = found.filter((sandbox) => sandbox.templateId === template?.templateId)
      }
      if (query.startedAfter) {
        const afterMs = Date.parse(query.startedAfter)
        found = found.filter((sandbox) => sandbox.startedAtMs >= afterMs)
      }
      if (isRunningAsked)
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
    },
  )

  app.get(
    '/sandboxes',
    {
      schema: {
        tags,
        summary: 'List running sandboxes (old)',
        querystring: Type.Pick(ListQuery, ['metadata']),
        response: { 200: Type.Array(ListedSandbox), ...errors },
      },
    },
    async (request) => {
      const { metadata } = request.query
      const isMatch = metadata ? matches(parseMetadataFilter(metadata)) : undefined
      const found = sandboxes.list(request.caller.team, RUNNING, { isMatch, limit: MAX_UNPAGED + 1 })
      checkUnpaged(found.length, 'running sandboxes', 'GET /v2/sandboxes')
      return found.map(toListed)
    },
  )

  const MetricsQuery = Type.Object({
    sandbox_ids: Type.String({ maxLength: 8192, description: 'At most 100 ids, separated by commas' }),
  })
  app.get(
    '/sandboxes/metrics',
    {
      schema: {
        tags,
        summary: 'Newest metrics of several sandboxes',
        querystring: MetricsQuery,
        response: { 200: Type.Object({ sandboxes: Type.Record(Type.String(), SandboxMetric) }), ...errors },
      },
    },
    async (request) => {
      const names = request.query.sandbox_ids.split(',').filter(Boolean)
      if (names.length > MAX_METRIC_IDS)
        throw new SandlotError(
          'invalid_request',
          `sandbox_ids has ${names.length} ids: at most ${MAX_METRIC_IDS} are allowed`,
        )
      const found = names.flatMap((name): Array<[string, SandboxMetric]> => {
        const id = sandboxIdIn(name)
        const metric = sandboxes.isRunning(request.caller.team, id) ? metrics.latest(id) : undefined
        return metric ? [[name, metric]] : []
      })
      return { sandboxes: Object.fromEntries(found) }
    },
  )

  app.get(
    '/sandboxes/:id',
    { schema: { tags, summary: 'One sandbox', params: Id, response: { 200: SandboxDetail, ...errors } } },
    async (request) => toDetail(sandboxes.get(request.caller.team, request.params.id), domain),
  )

  app.delete(
    '/sandboxes/:id',
    { schema: { tags, summary: 'Kill a sandbox', params: Id, response: { 204: Type.Null(), ...errors } } },
    async (request, reply) => {
      await sandboxes.kill(request.caller.team, request.params.id)
      return reply.code(204).send(null)
    },
  )

  for (const [url, body] of [
    ['/sandboxes/:id/connect', ConnectSandbox],
    ['/v2/sandboxes/:id/connect', ConnectSandboxV2],
  ] as const)
    app.post(
      url,
      {
        schema: {
          tags,
          summary: 'Connect to a sandbox: extends its time, resumes it when it is paused',
          params: Id,
          body,
          response: { 200: Sandbox, 201: Sandbox, ...errors },
        },
      },
      async (request, reply) => {
        const { timeout, memory } = request.body
        const { sandbox, isResumed } = await pauses.connect(
          request.caller.team,
          request.params.id,
          timeout,
          memory,
        )
        return reply.code(isResumed ? 201 : 200).send(toSandbox(sandbox, domain))
      },
    )

  app.post(
    '/sandboxes/:id/timeout',
    {
      schema: {
        tags,
        summary: 'Set the time to live from now',
        params: Id,
        body: SetTimeout,
        response: { 204: Type.Null(), ...errors },
      },
    },
    async (request, reply) => {
      await sandboxes.setTimeout(request.caller.team, request.params.id, request.body.timeout)
      return reply.code(204).send(null)
    },
  )

  app.post(
    '/sandboxes/:id/refreshes',
    {
      schema: {
        tags,
        summary: 'Extend the time to live',
        params: Id,
        body: Refresh,
        response: { 204: Type.Null(), ...errors },
      },
    },
    async (request, reply) => {
      const { id } = request.params
      const sandbox = sandboxes.get(request.caller.team, id)
      await sandboxes.extend(
        request.caller.team,
        id,
        request.body.duration ?? sandbox.settings.timeoutSeconds,
      )
      return reply.code(204).send(null)
    },
  )

  const UnixSeconds = Type.Integer({
    minimum: 0,
    maximum: MAX_UNIX_MS / 1000,
    description: 'Unix seconds, inclusive',
  })
  const RangeQuery = Type.Object({
    start: Type.Optional(UnixSeconds),
    end: Type.Optional(UnixSeconds),
  })
  app.get(
    '/sandboxes/:id/metrics',
    {
      schema: {
        tags,
        summary: 'Metrics of a sandbox, every 5 s',
        params: Id,
        querystring: RangeQuery,
        response: { 200: Type.Array(SandboxMetric), ...errors },
      },
    },
    async (request) => {
      const { sandboxId } = sandboxes.get(request.caller.team, request.params.id)
      const { start = 0, end } = request.query
      if (end !== undefined && end < start)
        throw new SandlotError('invalid_request', `end ${end} is before start ${start}`)
      return metrics.range(sandboxId, start * 1000, end === undefined ? now() : end * 1000 + 999)
    },
  )

  app.put(
    '/sandboxes/:id/network',
    { schema: { tags, summary: 'updateNetwork (not yet)', params: Id, response: errors } },
    async (request) => {
      sandboxes.get(request.caller.team, request.params.id)
      throw new SandlotError('not_implemented', 'updateNetwork is not part of this version of Sandlot yet')
    },
  )
}

const matches = (filter: Array<[string, string]>) => (sandbox: LiveSandbox) =>
  filter.every(([key, value]) => Object.hasOwn(sandbox.metadata, key) && sandbox.metadata[key] === value)
