import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Context } from './context.ts'
import { type Contexts, DEFAULT_CWD } from './contexts.ts'
import { OutputStream } from './output-stream.ts'
import { Refusal } from './refusal.ts'
import { parseCreateContext, parseExecute, readJsonObject } from './request-body.ts'
import type { sandboxEnvironment } from './sandbox-environment.ts'

const DEFAULT_LANGUAGE = 'python'
const REASON_MAX_CHARS = 500

export interface Service {
  contexts: Contexts
  /** Whether the warmed Python kernel answers. */
  isReady: () => boolean
  /** The sandbox's variables. @throws Refusal 401 when the sandbox is secure and the token is missing or wrong */
  environment: typeof sandboxEnvironment
}

const describe = ({ id, language, cwd }: Context) => ({ id, language: language.name, cwd })

/**
 * Answers one request (wire spec, section 10). Refusals are plain text: the Python SDK shows the body unchanged; the
 * JavaScript SDK shows it only for 404, and otherwise the reason phrase of the status line.
 */
export async function answer(
  service: Service,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  allowOrigins(request, response)
  try {
    await route(service, request, response)
  } catch (error) {
    if (response.destroyed) return
    if (response.headersSent) return void response.destroy()
    const status = error instanceof Refusal ? error.status : 500
    if (status === 500) console.error(error)
    // The rest of a refused body is not read, so the connection cannot be reused.
    if (!request.complete) response.setHeader('connection', 'close')
    const { message } = error as Error
    response
      .writeHead(status, reasonPhrase(message), { 'content-type': 'text/plain; charset=utf-8' })
      .end(message)
  }
}

async function route(service: Service, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const { contexts } = service
  const accessToken = request.headers['x-access-token']?.toString()
  const { pathname } = new URL(request.url ?? '/', 'http://sandbox')
  const [, id, action] = /^\/contexts\/([^/]+)(\/restart)?$/.exec(pathname) ?? []
  const pattern = id === undefined ? pathname : `/contexts/:id${action ?? ''}`
  if (pattern === '/execute' && request.method === 'POST')
    return execute(service, accessToken, request, response)
  // most official clients send the token only with /execute (docs/adr/0011), so the other routes also answer without one
  if (accessToken !== undefined) await service.environment(accessToken)
  switch (`${request.method} ${pattern}`) {
    case 'GET /health': {
      // called in each sandbox of the warm pool, so that everything is in memory at the first execution
      if (service.isReady()) await contexts.touch(DEFAULT_LANGUAGE)
      return void response.writeHead(service.isReady() ? 200 : 503).end()
    }
    case 'GET /contexts':
      return json(response, contexts.list().map(describe))
    case 'POST /contexts': {
      const { language, cwd } = parseCreateContext(await readJsonObject(request))
      return json(response, describe(await contexts.create(language ?? DEFAULT_LANGUAGE, cwd ?? DEFAULT_CWD)))
    }
    case 'DELETE /contexts/:id':
      await contexts.remove(id!)
      return void response.writeHead(204).end()
    case 'POST /contexts/:id/restart':
      await contexts.get(id!).restart()
      return void response.writeHead(204).end()
    default:
      if (request.method === 'OPTIONS') return void response.writeHead(204).end()
      throw new Refusal(404, `There is no ${request.method} ${pathname} here`)
  }
}

async function execute(
  { contexts, environment }: Service,
  accessToken: string | undefined,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const sandboxEnv = await environment(accessToken)
  const { code, contextId, language, envVars } = parseExecute(await readJsonObject(request))
  const context =
    contextId === undefined ? await contexts.defaultOf(language ?? DEFAULT_LANGUAGE) : contexts.get(contextId)
  const output = new OutputStream(response)
  await context.execute({ code, envVars, sandboxEnv }, output)
  output.end()
}

/** Keeps printable ASCII, the only text that a status line may contain everywhere. */
const reasonPhrase = (message: string): string => message.replace(/[^ -~]/g, '?').slice(0, REASON_MAX_CHARS)

function json(response: ServerResponse, value: unknown): void {
  response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(value))
}

/** Allows requests from pages of any origin, as access is protected by the token. */
function allowOrigins(request: IncomingMessage, response: ServerResponse): void {
  if (!request.headers.origin) return
  response.setHeader('access-control-allow-origin', '*')
  response.setHeader('access-control-allow-methods', 'GET, POST, DELETE, OPTIONS')
  response.setHeader('access-control-allow-headers', request.headers['access-control-request-headers'] ?? '*')
  response.setHeader('access-control-max-age', '7200')
}
