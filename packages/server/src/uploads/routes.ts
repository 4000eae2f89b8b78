import { findUpload, uploadFiles } from '@sandlot/protocol/rest'
import type { FastifyRequest } from 'fastify'
import type { App, Handler } from '../http/app.ts'
import { UPLOAD_BODY } from '../http/deadlines.ts'
import type { TemplateRegistry } from '../templates/registry.ts'
import type { StorageUsage } from '../usage/service.ts'
import type { Uploads } from './service.ts'

export interface UploadRoutesOptions {
  templates: TemplateRegistry
  uploads: Uploads
  storage: StorageUsage
}

/** Tells clients whether the files of a COPY step are stored, and where to send them. */
export function uploadRoutes(app: App, options: UploadRoutesOptions): void {
  app.get('/templates/:templateID/files/:hash', { schema: findUpload }, find(options))
}

/** Receives the files of COPY steps: without a key, with a ticket in the URL. */
export function uploadTargetRoutes(app: App, options: UploadRoutesOptions): void {
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('*', (_request, payload, done) => done(null, payload))
  app.put(
    '/templates/:templateID/files/:hash',
    { schema: uploadFiles, config: { bodyPace: UPLOAD_BODY } },
    receive(options),
  )
}

const find =
  ({ templates, uploads, storage }: UploadRoutesOptions): Handler<typeof findUpload> =>
  async (request, reply) => {
    const { team } = request.caller
    const { templateID, hash } = request.params
    const { templateId } = templates.own(templateID, team)
    const present = await uploads.has(team.teamId, hash, templateId)
    if (!present) await storage.checkQuota(team)
    const path = `/templates/${templateId}/files/${hash}?ticket=${uploads.ticket(team, templateId, hash)}`
    return reply.code(201).send({ present, url: `${originOf(request)}${path}` })
  }

const receive =
  ({ uploads }: UploadRoutesOptions): Handler<typeof uploadFiles> =>
  async (request, reply) => {
    const announcedBytes = Number(request.headers['content-length'] ?? 0)
    await uploads.receive(request.query.ticket, request.raw, announcedBytes)
    // an empty body: `null` would be sent as JSON
    return reply.code(200).send(undefined)
  }

/** Origin of this server as the client used it: an address or a name, plain or over TLS. */
const originOf = ({ protocol, host }: Pick<FastifyRequest, 'protocol' | 'host'>): string =>
  `${protocol}://${host}`
