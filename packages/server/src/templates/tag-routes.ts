import { SandlotError } from '@sandlot/protocol'
import { ErrorSchema } from '@sandlot/protocol/rest'
import Type from 'typebox'
import type { App, Services } from '../app/app.ts'
import { isRecord } from './catalogue.ts'
import { checkTag, DEFAULT_TAG, parseReference } from './reference.ts'

const tags = ['templates']
const errors = { '4xx': ErrorSchema, '5xx': ErrorSchema }
const Tags = Type.Array(Type.String({ maxLength: 128 }), { minItems: 1, maxItems: 100 })

/** Tags name builds of a template: `name:tag`. */
export function tagRoutes(app: App, { catalogue, now }: Services): void {
  app.post(
    '/templates/tags',
    {
      schema: {
        tags,
        summary: 'Give more tags to the build that has one',
        body: Type.Object({ target: Type.String({ maxLength: 256 }), tags: Tags }),
        response: {
          201: Type.Object({ tags: Type.Array(Type.String()), buildID: Type.String() }),
          ...errors,
        },
      },
    },
    async (request, reply) => {
      const { team } = request.caller
      const added = request.body.tags.map(checkTag)
      catalogue.own(request.body.target, team)
      const { build } = catalogue.resolve(request.body.target, team)
      if (!isRecord(build)) throw new SandlotError('forbidden', 'templates of this server get no tags')
      await catalogue.setTags(build, added, now())
      return reply.code(201).send({ tags: added, buildID: build.buildId })
    },
  )
  app.delete(
    '/templates/tags',
    {
      schema: {
        tags,
        summary: 'Take tags away; their builds stay',
        body: Type.Object({ name: Type.String({ maxLength: 256 }), tags: Tags }),
        response: { 204: Type.Null(), ...errors },
      },
    },
    async (request, reply) => {
      const { name, tags: removed } = request.body
      if (parseReference(name).tag !== undefined)
        throw new SandlotError(
          'invalid_request',
          `name '${name}' has a tag: write the name alone, and the tags in tags`,
        )
      if (removed.includes(DEFAULT_TAG))
        throw new SandlotError(
          'invalid_request',
          `tag '${DEFAULT_TAG}' cannot be taken away: a create without a tag needs it`,
        )
      const template = catalogue.own(name, request.caller.team)
      for (const tag of removed)
        if (!template.tags.has(tag))
          throw new SandlotError('not_found', `tag '${tag}' does not exist for template '${name}'`)
      await catalogue.removeTags(template, removed)
      return reply.code(204).send(null)
    },
  )
  app.get(
    '/templates/:id/tags',
    {
      schema: {
        tags,
        summary: 'Tags of a template',
        params: Type.Object({ id: Type.String({ maxLength: 256 }) }),
        response: {
          200: Type.Array(
            Type.Object({ tag: Type.String(), buildID: Type.String(), createdAt: Type.String() }),
          ),
          ...errors,
        },
      },
    },
    async (request) => {
      const template = catalogue.own(request.params.id, request.caller.team)
      return (await catalogue.tagsOf(template)).map(({ tag, buildId, createdAtMs }) => ({
        tag,
        buildID: buildId,
        createdAt: new Date(createdAtMs).toISOString(),
      }))
    },
  )
}
