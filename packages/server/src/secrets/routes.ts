import { createSecret, deleteSecret, getSecret, listSecrets, updateSecret } from '@sandlot/protocol/rest'
import type { onSendHookHandler } from 'fastify'
import type { App, Handler } from '../http/app.ts'
import { clampLimit, decodeCursor, pageOf } from '../http/pagination.ts'
import type { Secret } from './repository.ts'
import type { SecretService } from './service.ts'

const BODY_LIMIT_BYTES = 512 * 1024

export interface SecretRoutesOptions {
  secrets: SecretService
}

export function secretRoutes(app: App, options: SecretRoutesOptions): void {
  const shared = { onSend: forbidCaches, bodyLimit: BODY_LIMIT_BYTES }
  app.get('/secrets', { schema: listSecrets, ...shared }, list(options))
  app.post('/secrets', { schema: createSecret, ...shared }, create(options))
  app.get('/secrets/:secretID', { schema: getSecret, ...shared }, get(options))
  app.post('/secrets/:secretID', { schema: updateSecret, ...shared }, update(options))
  app.delete('/secrets/:secretID', { schema: deleteSecret, ...shared }, remove(options))
}

/** Marks every answer, those of errors included (wire spec 2, A.2). */
const forbidCaches: onSendHookHandler = (_request, reply, payload, done) => {
  reply.header('cache-control', 'no-store')
  done(null, payload)
}

const list =
  ({ secrets }: SecretRoutesOptions): Handler<typeof listSecrets> =>
  async ({ caller, query }, reply) => {
    const { page, nextToken } = pageOf(await secrets.list(caller.team.teamId), cursorOf, {
      limit: clampLimit(query.limit),
      after: query.nextToken ? decodeCursor(query.nextToken) : undefined,
      isAscending: false,
    })
    if (nextToken) reply.header('x-next-token', nextToken)
    return page.map(toAnswer)
  }

const create =
  ({ secrets }: SecretRoutesOptions): Handler<typeof createSecret> =>
  async ({ caller, body }, reply) =>
    reply.code(201).send(toAnswer(await secrets.create(caller.team, body.name, body)))

const get =
  ({ secrets }: SecretRoutesOptions): Handler<typeof getSecret> =>
  async ({ caller, params }) =>
    toAnswer(await secrets.get(caller.team.teamId, params.secretID))

const update =
  ({ secrets }: SecretRoutesOptions): Handler<typeof updateSecret> =>
  async ({ caller, params, body }) =>
    toAnswer(await secrets.update(caller.team.teamId, params.secretID, body))

const remove =
  ({ secrets }: SecretRoutesOptions): Handler<typeof deleteSecret> =>
  async ({ caller, params }, reply) => {
    await secrets.delete(caller.team.teamId, params.secretID)
    return reply.code(204).send(null)
  }

/** Without the prefix of ids, which a cursor could not tell from its separator. */
const cursorOf = ({ createdAtMs, id }: Secret) => ({ timeMs: createdAtMs, id: id.slice(id.indexOf('_') + 1) })

const toAnswer = (secret: Secret) => ({
  secretID: secret.id,
  name: secret.name,
  currentVersion: secret.version,
  metadata: secret.metadata,
  createdAt: new Date(secret.createdAtMs).toISOString(),
  updatedAt: new Date(secret.updatedAtMs).toISOString(),
})
