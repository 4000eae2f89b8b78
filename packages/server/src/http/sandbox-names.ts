import { sandboxIdIn } from '@sandlot/protocol'
import type { FastifyRequest } from 'fastify'
import type { App } from './app.ts'

declare module 'fastify' {
  interface FastifyRequest {
    /** Set when the path has a longer name of a sandbox instead of the id. */
    sandboxName?: SandboxName
  }
}

interface SandboxName {
  sandboxId: string
  /** Name that the client wrote. */
  written: string
}

/** Matches the URL of every route of one sandbox. */
const SANDBOX_ROUTE = /\/sandboxes\/:sandboxID(\/|$)/
const ID_FIELDS = ['sandboxID', 'sandboxId', 'sandbox_id']

/**
 * Lets clients write names of sandboxes instead of ids (`sandboxIdIn`). Routes and services only see ids; answers contain
 * the name that the request used.
 */
export function acceptSandboxNames(app: App): void {
  app.decorateRequest('sandboxName')
  app.addHook('preValidation', async (request) => {
    const query = request.query as { sandboxID?: unknown }
    if (typeof query.sandboxID === 'string') query.sandboxID = sandboxIdIn(query.sandboxID)
    if (!SANDBOX_ROUTE.test(request.routeOptions.url ?? '')) return
    const params = request.params as { sandboxID: string }
    const written = params.sandboxID
    const sandboxId = sandboxIdIn(written)
    if (sandboxId === written) return
    request.sandboxName = { sandboxId, written }
    params.sandboxID = sandboxId
  })
  app.addHook('preSerialization', async (request, _reply, payload) => {
    const { sandboxName } = request
    if (!sandboxName) return payload
    const rename = renaming(sandboxName, joinsIds(request))
    return Array.isArray(payload) ? payload.map(rename) : rename(payload)
  })
}

/** Replaces the id in the message of an error by the name that the client wrote. */
export function withSandboxName(message: string, { sandboxName }: FastifyRequest): string {
  if (!sandboxName) return message
  const { sandboxId, written } = sandboxName
  return message.replace(new RegExp(`(?<=["'/])${sandboxId}(?=["'/])`, 'g'), () => written)
}

/** Splits the name, which clients 1.x join again from the sandboxID and the clientID of an answer. */
const joinsIds = ({ headers }: FastifyRequest): boolean => String(headers.package_version).startsWith('1.')

const renaming =
  ({ sandboxId, written }: SandboxName, isJoined: boolean) =>
  (answer: unknown): unknown => {
    if (typeof answer !== 'object' || answer === null) return answer
    const field = ID_FIELDS.find((name) => (answer as Record<string, unknown>)[name] === sandboxId)
    if (!field) return answer
    return isJoined && 'clientID' in answer
      ? { ...answer, clientID: written.slice(sandboxId.length + 1) }
      : { ...answer, [field]: written }
  }
